"""`distembed distance`: how far apart the sets are, in units of the Wasserstein distance."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from distembed.cli.console import say, stage
from distembed.cli.options import Data, Force, Ids, Model, takes_data
from distembed.files import claim

if TYPE_CHECKING:
    from distembed.model.embeddings import Embeddings
    from distembed.model.gde import GDE

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
    level: Annotated[
        float, typer.Option(min=0.5, max=0.999, help="Coverage of the intervals of --long.")
    ] = 0.95,
    ids: Ids = None,
    force: Force = False,
    *,
    chosen: Mapping[str, Any],
) -> None:
    """Write the distance of every pair of sets, calibrated to W2 in the model's ground space.

    What sampling adds to distances is taken off. With --long there are intervals, `low` to `high`:
    for the true W2, or with --latent for the latent distance that more and more atoms would give.
    They are left empty for sets that the model was trained on.

    DATA may also be a table that `distembed embed` wrote; noise and intervals need the columns of
    --covariances, and training sets are known by the column `trained`.

    Example: distembed distance run z.parquet --long -o pairs.csv
    """
    claim(output, (".csv", ".tsv", ".parquet"), force)
    from distembed.cli.loading import embeddings, say_unmarked
    from distembed.cli.tables import write_table
    from distembed.model.gde import GDE

    gde = GDE.load(model)
    table = embeddings(gde, data, chosen, ids, covariance=True)
    with stage(f"comparing {len(table)} sets"):
        distances = gde.distances(table, calibrated=not latent)
    if long:
        first, second = np.triu_indices(len(table), k=1)
        columns: dict[str, np.ndarray] = {"a": table.ids[first], "b": table.ids[second]}
        columns["distance"] = distances[first, second]
        with stage(f"intervals of {len(first)} pairs"):
            columns |= _intervals(gde, table, level, calibrated=not latent)
        if table.trained is None and "low" in columns:
            say_unmarked(data)
        write_table(output, columns)
    else:
        write_table(output, {"id": table.ids} | dict(zip(table.ids, distances.T, strict=True)))
    units = f"W2 in {gde.calibration.ground} space" if gde.calibration.pairs else "latent units"
    say(f"{output}: distances of {len(table)} sets, {'latent units' if latent else units}")
    if table.cov is None:
        say(
            f"sampling noise is not taken off: {data} holds no covariances (distembed embed "
            "--covariances)"
        )


def _intervals(
    model: GDE, table: Embeddings, level: float, calibrated: bool
) -> dict[str, np.ndarray]:
    """Ends of the intervals of all pairs, NaN for training sets; no columns where there are none.

    Why there are none is said, because distances are there all the same.
    """
    pairs = np.stack(np.triu_indices(len(table), k=1), 1)
    trained = np.zeros(len(table), bool) if table.trained is None else table.trained
    fresh, seen = ~trained[pairs].any(1), table.ids[trained].tolist()
    try:
        found = model.distance_intervals(table, pairs[fresh], level=level, calibrated=calibrated)
    except ValueError as error:
        say(f"no intervals: {error}{' Or --latent, in its own units.' if calibrated else ''}")
        return {}
    low, high = np.full((2, len(pairs)), np.nan)
    low[fresh], high[fresh] = found.low, found.high
    if not fresh.all():
        say(
            f"{(~fresh).sum()} of {len(pairs)} pairs have no interval, because the model was "
            f"trained on one of their sets: {', '.join(seen[:5])}{', ...' if seen[5:] else ''}"
        )
    return {"low": low, "high": high}
