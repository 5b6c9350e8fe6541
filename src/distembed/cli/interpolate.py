"""`distembed interpolate`: samples along a path from one set to another."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from distembed.cli.console import counted, say, stage
from distembed.cli.options import Count, Data, Force, Model, Seed, takes_data
from distembed.files import claim

__all__ = ["interpolate"]


@takes_data
def interpolate(
    model: Model,
    data: Data = None,
    *,
    start: Annotated[str, typer.Option("--from", help="Id of the first set.")],
    end: Annotated[str, typer.Option("--to", help="Id of the last set.")],
    steps: Annotated[
        int, typer.Option(min=2, help="Points of the path, both ends included.")
    ] = 11,
    n: Count = 500,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="A .csv, .tsv, .parquet or .npz file.")
    ] = Path("path.csv"),
    seed: Seed = 0,
    force: Force = False,
    data_options: Mapping[str, Any],
) -> None:
    """Draw atoms along the path from one set to another; `t` runs from 0 to 1.

    All points are drawn with the same noise, so that atom i moves along the path.
    Tokens are written as strings.

    DATA may also be a table that `distembed embed` wrote.

    Example: distembed interpolate run --from P017 --to P230 --steps 5 -o path.csv
    """
    claim(output, (".csv", ".tsv", ".parquet", ".npz"), force)
    if start == end:
        raise ValueError(
            f"--from and --to are both {start!r}, and a path needs two sets. `distembed sample` "
            "draws atoms of one set."
        )
    from distembed.cli.loading import embeddings
    from distembed.cli.tables import write_samples
    from distembed.model.gde import GDE

    gde = GDE.load(model)
    z = embeddings(gde, data, data_options, [start, end]).z
    with stage(f"drawing {counted(n, 'atom')} at {counted(steps, 'point')}"):
        path, strings = gde.interpolate(z[0], z[1], steps), gde.atoms.name == "tokens"
        x = np.array(gde.sample(path, n, rng=seed, common_noise=True, as_data=strings))
    names = ("sequence",) if strings else gde.features
    write_samples(output, {"t": np.linspace(0, 1, steps)}, x, names)
    say(f"{output}: {counted(steps, 'point')} from {start} to {end}, {counted(n, 'atom')} each")
