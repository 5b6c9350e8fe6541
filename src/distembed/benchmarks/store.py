"""Time and memory of a store, against the number of cells.

A generated `.h5ad` of 2,000 genes in 500 sets, a tenth of whose values are not zero, in random
order, becomes 50 principal components of log-normalised counts (`distembed.build_store`), and a
model is fitted to it. Every stage runs in a process of its own, of one thread, whose peak memory
is that of the operating system; it includes the libraries (`libraries` is a process that imports
them and ends). `read` holds the same file in memory, sparse, as `distembed.read` does.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch

from distembed.benchmarks.bench import Bench, Task, Trial
from distembed.benchmarks.cell_files import write_cells
from distembed.data.store import open_store
from distembed.evaluation.result import Score
from distembed.model.gde import GDE
from distembed.sets.build import build_store
from distembed.sets.read import read
from distembed.training.config import TrainConfig
from distembed.training.estimate import peak_bytes

__all__ = ["BENCH", "TASKS", "Settings", "lacks_anndata", "measured", "run_stage"]


@dataclass(frozen=True)
class Settings:
    """Sizes.

    Attributes:
        training: Of the model, which is not trained to its end.
        cells: Number of cells, by task.
        genes: Number of genes.
        sets: Number of sets.
        components: Principal components of the store.
        apart: Whether stages run in processes of their own.
    """

    training: TrainConfig = field(
        default_factory=lambda: TrainConfig(steps=30, warmup=5, every=15, threads=1, patience=0)
    )
    cells: dict[str, int] = field(
        default_factory=lambda: {"small": 10**4, "medium": 10**5, "large": 10**6}
    )
    genes: int = 2000
    sets: int = 500
    components: int = 50
    apart: bool = True


Stage = Callable[..., dict[str, float]]


def _build(source: str, store: str, components: int) -> dict[str, float]:
    began = time.perf_counter()
    build_store(source, store, by="sample", pca=components, target_sum=1e4, log1p=True)
    seconds = time.perf_counter() - began
    return {"build_seconds": seconds, "build_peak_mb": _peak_mb(), "store_mb": _megabytes(store)}


def _copy(source: str, store: str, options: dict[str, Any]) -> dict[str, float]:
    began = time.perf_counter()
    build_store(source, store, by="sample", **options)
    seconds = time.perf_counter() - began
    return {"build_seconds": seconds, "build_peak_mb": _peak_mb(), "store_mb": _megabytes(store)}


def _megabytes(store: str) -> float:
    files: dict[str, dict[str, int]] = open_store(store).header["files"]
    return sum(record["bytes"] for record in files.values()) / 1e6


def _fit(store: str, training: dict[str, Any]) -> dict[str, float]:
    began = time.perf_counter()
    sets = read(store)
    opened = 1000 * (time.perf_counter() - began)
    GDE().fit(sets, TrainConfig(**training), progress=False)
    return {"open_ms": opened, "fit_peak_mb": _peak_mb()}


def _read(source: str, options: dict[str, Any]) -> dict[str, float]:
    read(source, by="sample", **options)
    return {"build_peak_mb": _peak_mb()}


def _import() -> dict[str, float]:
    import anndata  # noqa: F401

    return {"build_peak_mb": _peak_mb()}


STAGES: dict[str, Stage] = {
    "build": _build,
    "copy": _copy,
    "fit": _fit,
    "read": _read,
    "import": _import,
}


def _peak_mb() -> float:
    """Return the peak memory of this process since it was started, in MB."""
    try:
        # getrusage starts from the memory of the process that started this one
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        return int(status.partition("VmHWM:")[2].split()[0]) / 1000 * 1.024
    except (OSError, IndexError, ValueError):
        return peak_bytes() / 1e6


def run_stage(text: str) -> None:
    """Run a stage, given as JSON, and write what it measured as JSON to standard output."""
    stage, *arguments = json.loads(text)
    torch.set_num_threads(1)
    sys.stdout.write(json.dumps(STAGES[stage](*arguments)))


def measured(apart: bool, stage: str, *arguments: Any) -> dict[str, float]:
    """Run a stage, in a process of its own if `apart`.

    Args:
        apart: Whether to start a process.
        stage: Its name.
        arguments: Its arguments, which JSON can hold.

    Raises:
        RuntimeError: If the process fails.
    """
    if not apart:
        return STAGES[stage](*arguments)
    code = "import sys; from distembed.benchmarks.store import run_stage; run_stage(sys.argv[1])"
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps([stage, *arguments])],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    )
    if done.returncode:
        raise RuntimeError(f"The stage {stage} failed: {done.stderr[-2000:]}")
    values: dict[str, float] = json.loads(done.stdout)
    return values


def _measure(trial: Trial[Settings]) -> Iterator[Score]:
    settings = trial.settings
    run = partial(measured, settings.apart)
    training = trial.training.model_dump(mode="json")
    with tempfile.TemporaryDirectory() as folder:
        source, store = f"{folder}/cells.h5ad", f"{folder}/cells.store"
        cells = settings.cells[trial.name]
        values = write_cells(Path(source), cells, settings.genes, settings.sets, trial.seed)
        share = values / (cells * settings.genes)
        trial.log(f"{trial.name}: {cells} cells, {share:.3f} of the values are not zero")
        stages: dict[str, Callable[[], dict[str, float]]] = {
            "gde": lambda: (
                run("build", source, store, settings.components) | run("fit", store, training)
            ),
            "read": lambda: run("read", source, {}),
            "libraries": lambda: run("import"),
        }
        for method, stage in stages.items():
            scores = [Score(name, method, value) for name, value in stage().items()]
            yield from trial.report(method, scores)


def lacks_anndata() -> str | None:
    """Return why files of cells cannot be written; None if they can."""
    try:
        import anndata  # noqa: F401
    except ImportError:
        return "It writes .h5ad files, and anndata is not installed: pip install anndata."
    return None


TASKS = {name: Task(_measure, missing=lacks_anndata) for name in ("small", "medium", "large")}
BENCH = Bench(
    "store",
    TASKS,
    {
        "tiny": Settings(
            TrainConfig(
                steps=2, every=2, warmup=0, batch=4, target=4, context=(8, 16), validation=0
            ),
            cells={"small": 200, "medium": 300, "large": 400},
            genes=30,
            sets=8,
            components=4,
            apart=False,
        ),
        "quick": Settings(cells={"small": 10**3, "medium": 10**4, "large": 5 * 10**4}, sets=100),
        "full": Settings(),
    },
    serial=True,
)
