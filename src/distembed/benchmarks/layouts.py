"""Peak memory of a store that is built of cells in other layouts than `.h5ad`.

The generated cells of `distembed.benchmarks.store` are written as 10x `.h5`, as a folder with
`matrix.mtx`, as MuData and as Zarr, and the first genes of all cells become a store. Every stage
runs in a process of its own. `read` holds the same file in memory, sparse, before it chooses the
genes, as a build did that did not read in parts.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from distembed.benchmarks.bench import Bench, Task, Trial
from distembed.benchmarks.cell_files import write_cells
from distembed.benchmarks.cell_layouts import LAYOUTS, write_layout
from distembed.benchmarks.store import lacks_anndata, measured
from distembed.evaluation.result import Score
from distembed.training.config import TrainConfig

__all__ = ["BENCH", "TASKS", "Settings"]


@dataclass(frozen=True)
class Settings:
    """Sizes.

    Attributes:
        training: Of no model; every benchmark has it.
        cells: Number of cells.
        genes: Number of genes.
        kept: Number of genes of the store.
        sets: Number of sets.
        apart: Whether stages run in processes of their own.
    """

    training: TrainConfig = field(default_factory=TrainConfig)
    cells: int = 2 * 10**5
    genes: int = 2000
    kept: int = 50
    sets: int = 500
    apart: bool = True


def _measure(trial: Trial[Settings]) -> Iterator[Score]:
    settings = trial.settings
    run = partial(measured, settings.apart)
    with tempfile.TemporaryDirectory() as folder:
        source, store = Path(folder) / "cells.h5ad", f"{folder}/cells.store"
        write_cells(source, settings.cells, settings.genes, settings.sets, trial.seed)
        path, options = write_layout(source, trial.name)
        options |= {"genes": [f"gene{g}" for g in range(settings.kept)]}
        stages: dict[str, Callable[[], dict[str, float]]] = {
            "gde": lambda: run("copy", str(path), store, options),
            "read": lambda: run("read", str(path), options),
            "libraries": lambda: run("import"),
        }
        for method, stage in stages.items():
            scores = [Score(name, method, value) for name, value in stage().items()]
            yield from trial.report(method, scores)


TASKS = {name: Task(_measure, missing=lacks_anndata) for name in LAYOUTS}
BENCH = Bench(
    "layouts",
    TASKS,
    {
        "tiny": Settings(cells=200, genes=30, kept=4, sets=8, apart=False),
        "quick": Settings(cells=10**4, sets=100),
        "full": Settings(),
    },
    serial=True,
)
