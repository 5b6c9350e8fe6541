"""`distembed distance`: distances of all pairs of sets, in units of the Wasserstein distance."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from distembed.cli.console import counted, listed, say, stage
from distembed.cli.options import Data, Force, Ids, Model, SafeCsv, takes_data
from distembed.files import claim

if TYPE_CHECKING:
    from distembed.model.embeddings import Embeddings
    from distembed.model.gde import GDE

__all__ = ["Denoising", "distance"]


class Denoising(StrEnum):
    """What is done about sampling noise, as `denoise` of `GDE.distances`."""

    posterior = "posterior"
    unbiased = "unbiased"
    none = "none"


@takes_data
def distance(
    model: Model,
    data: Data = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="A .csv, .tsv or .parquet file.")
    ] = Path("distances.csv"),
    long: Annotated[
        bool, typer.Option("--long", help="One row a pair instead of a square matrix.")
    ] = False,
    latent: Annotated[
        bool,
        typer.Option("--latent", help="Latent distance, not calibrated to W2."),
    ] = False,
    denoise: Annotated[
        Denoising,
        typer.Option(
            help="posterior: what is expected given the atoms. unbiased: tr V is subtracted."
        ),
    ] = Denoising.posterior,
    level: Annotated[
        float, typer.Option(min=0.5, max=0.999, help="Coverage of the intervals of --long.")
    ] = 0.95,
    ids: Ids = None,
    safe_csv: SafeCsv = False,
    force: Force = False,
    *,
    data_options: Mapping[str, Any],
) -> None:
    """Write the distance of every pair of sets, calibrated to W2 in the model's ground space.

    Distances are corrected for sampling noise (--denoise). With --long the table has confidence
    intervals `low` to `high`: of the true W2, or with --latent of the latent distance at
    infinitely many atoms. They are empty for sets that the model was trained on. A model of too
    few sets is not calibrated, and its distances are latent ones.

    DATA may also be a table that `distembed embed` wrote. The correction and the intervals need
    its columns of --covariances, and its column `trained` marks the training sets.

    Example: distembed distance run z.parquet --long -o pairs.csv
    """
    claim(output, (".csv", ".tsv", ".parquet"), force)
    from distembed.cli.loading import embeddings, say_unusual
    from distembed.cli.tables import write_table
    from distembed.data.spaces import w2_name
    from distembed.geometry.distance import error_sentence
    from distembed.model.gde import GDE

    gde = GDE.load(model)
    table = embeddings(gde, data, data_options, ids, covariance=True)
    if not long and "id" in table.ids.tolist():
        raise ValueError(
            "A set is named 'id', as the column of ids of the matrix is. Write pairs with --long, "
            "or give the set another id."
        )
    calibrated = gde.calibration.pairs > 0 and not latent
    with stage(f"comparing {counted(len(table), 'set')}"):
        distances = gde.distances(table, calibrated=calibrated, denoise=denoise.value)
    if long:
        columns = _pairs(gde, table, distances, level, calibrated, data)
    else:
        columns = {"id": table.ids} | dict(zip(table.ids, distances.T, strict=True))
    write_table(output, columns, safe_csv)
    units = "latent units"
    if not (calibrated or latent):
        units = f"latent units, which compare sets of this model alone. {_uncalibrated(gde)}"
    elif calibrated:
        sentence = error_sentence(gde.calibration.error, gde.calibration.deciles)
        units = f"{w2_name(gde.atoms)} in {gde.calibration.ground} space, {sentence}"
    say(f"{output}: distances of {counted(len(table), 'set')}, {units}")
    say_unusual(gde, table)
    if table.cov is None:
        say(
            f"distances are not corrected for sampling noise, because {data} has no covariances; "
            "distembed embed --covariances writes them"
        )


def _uncalibrated(model: GDE) -> str:
    """State why the distances of a model are not calibrated."""
    try:
        model.attachment("calibration")
    except ValueError as error:
        return f"W2 is not calibrated: {error}"
    return ""


def _pairs(
    model: GDE,
    table: Embeddings,
    distances: np.ndarray,
    level: float,
    calibrated: bool,
    data: str | None,
) -> dict[str, np.ndarray]:
    """Return one row a pair, with intervals if there are any."""
    from distembed.cli.loading import say_unmarked

    first, second = np.triu_indices(len(table), k=1)
    columns: dict[str, np.ndarray] = {"a": table.ids[first], "b": table.ids[second]}
    columns["distance"] = distances[first, second]
    with stage(f"intervals of {counted(len(first), 'pair')}"):
        intervals = _intervals(model, table, level, calibrated)
    if table.trained is None and intervals:
        say_unmarked(data)
    return columns | intervals


def _intervals(
    model: GDE, table: Embeddings, level: float, calibrated: bool
) -> dict[str, np.ndarray]:
    """Return the ends of the intervals of all pairs, NaN for training sets.

    If intervals cannot be computed, there are no columns, and a message with the reason: the
    distances are valid without them.
    """
    pairs = np.stack(np.triu_indices(len(table), k=1), 1)
    trained = np.zeros(len(table), bool) if table.trained is None else table.trained
    held_out, names = ~trained[pairs].any(1), table.ids[trained].tolist()
    try:
        intervals = model.distance_intervals(
            table, pairs[held_out], level=level, calibrated=calibrated
        )
    except ValueError as error:
        fix = " --latent gives intervals in latent units." if calibrated else ""
        say(f"no intervals: {error}{fix}")
        return {}
    low, high = np.full((2, len(pairs)), np.nan)
    low[held_out], high[held_out] = intervals.low, intervals.high
    if not held_out.all():
        say(
            f"{(~held_out).sum()} of {len(pairs)} pairs have no interval, because the model was "
            f"trained on one of their sets: {listed(names)}"
        )
    return {"low": low, "high": high}
