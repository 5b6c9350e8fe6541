"""`distembed distance`: how far apart the sets are, in units of the Wasserstein distance."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from distembed.cli.console import say, stage
from distembed.cli.options import Data, Force, Ids, Model, takes_data
from distembed.files import claim

__all__ = ["distance"]


@takes_data
def distance(
    model: Model,
    data: Data = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="A .csv, .tsv or .parquet file.")
    ] = Path("distances.csv"),
    long: Annotated[
        bool, typer.Option("--long", help="One row a pair, rather than a square matrix.")
    ] = False,
    latent: Annotated[
        bool,
        typer.Option("--latent", help="Plain latent distance, without the calibration to W2."),
    ] = False,
    ids: Ids = None,
    force: Force = False,
    *,
    chosen: Mapping[str, Any],
) -> None:
    """Write the distance of every pair of sets, calibrated to W2 in the model's ground space.

    DATA may also be a table that `distembed embed` wrote.

    Example: distembed distance run z.parquet --long -o pairs.csv
    """
    claim(output, (".csv", ".tsv", ".parquet"), force)
    from distembed.cli.loading import embeddings
    from distembed.cli.tables import write_table
    from distembed.model import GDE

    gde = GDE.load(model)
    table = embeddings(gde, data, chosen, ids)
    with stage(f"comparing {len(table)} sets"):
        distances = gde.distances(table, calibrated=not latent)
    if long:
        first, second = np.triu_indices(len(table), k=1)
        pairs = {"a": table.ids[first], "b": table.ids[second]}
        write_table(output, pairs | {"distance": distances[first, second]})
    else:
        write_table(output, {"id": table.ids} | dict(zip(table.ids, distances.T, strict=True)))
    units = f"W2 in {gde.calibration.ground} space" if gde.calibration.pairs else "latent units"
    say(f"{output}: distances of {len(table)} sets, {'latent units' if latent else units}")
