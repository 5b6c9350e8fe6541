"""`distembed sample`: new atoms from the distribution of every set."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from distembed.cli.console import say, stage
from distembed.cli.options import Count, Data, Force, Ids, Model, Seed, takes_data
from distembed.files import claim

__all__ = ["sample"]


@takes_data
def sample(
    model: Model,
    data: Data = None,
    n: Count = 1000,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="A .csv, .tsv, .parquet or .npz file.")
    ] = Path("samples.csv"),
    ids: Ids = None,
    seed: Seed = 0,
    force: Force = False,
    *,
    chosen: Mapping[str, Any],
) -> None:
    """Draw new atoms of every set, in the units and with the column names of the data.

    DATA may also be a table that `distembed embed` wrote.

    Example: distembed sample run z.parquet --id P017 --n 500 -o samples.csv
    """
    claim(output, (".csv", ".tsv", ".parquet", ".npz"), force)
    from distembed.cli.loading import embeddings
    from distembed.cli.tables import write_samples
    from distembed.model import GDE

    gde = GDE.load(model)
    table, _ = embeddings(gde, data, chosen, ids)
    with stage(f"drawing {n} atoms of {len(table)} sets"):
        x = gde.sample(table, n, rng=seed)
    write_samples(output, {"set": table.ids}, x, gde.features)
    say(f"{output}: {len(table)} sets, {n} atoms each")
