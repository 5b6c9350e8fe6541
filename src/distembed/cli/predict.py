"""`distembed predict`: a cross-validated prediction of a column of the metadata."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from distembed.cli.console import listed, say, stage
from distembed.cli.options import Data, Force, Ids, Model, SafeCsv, Seed, takes_data
from distembed.files import claim
from distembed.registry import need

if TYPE_CHECKING:
    from distembed.heads.cross_validation import CrossValidation
    from distembed.model.embeddings import Embeddings
    from distembed.model.gde import GDE

__all__ = ["Task", "Training", "predict"]


class Task(StrEnum):
    """What the target is."""

    auto = "auto"
    classify = "classify"
    regress = "regress"


class Training(StrEnum):
    """What is done with sets that the model was trained on, as `trained` of `cross_validated`."""

    fit = "fit"
    score = "score"
    refuse = "refuse"


@takes_data
def predict(
    model: Model,
    data: Data = None,
    target: Annotated[
        str, typer.Option(help="Column of the metadata to predict, with one value a set.")
    ] = ...,  # type: ignore[assignment]
    group: Annotated[
        str | None,
        typer.Option(help="Column of groups that folds keep together, as patients of samples."),
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="A .csv, .tsv or .parquet file.")
    ] = Path("predictions.csv"),
    task: Annotated[
        Task, typer.Option(help="auto: text and two values are classes, other numbers are not.")
    ] = Task.auto,
    training: Annotated[
        Training,
        typer.Option(
            "--training-sets",
            help="Sets that the model was trained on. fit: heads are fitted to them, and they are "
            "not scored. score: they are scored, which flatters. refuse: an error.",
        ),
    ] = Training.fit,
    folds: Annotated[int, typer.Option(min=2, help="Number of folds.")] = 5,
    repeats: Annotated[int, typer.Option(min=1, help="Number of divisions into folds.")] = 5,
    permutations: Annotated[
        int, typer.Option(min=0, help="Permutations of the target for the p-value; 0 for none.")
    ] = 99,
    level: Annotated[
        float, typer.Option(min=0.5, max=0.999, help="Coverage of prediction intervals.")
    ] = 0.9,
    calibration: Annotated[
        float,
        typer.Option(
            min=0, max=0.9, help="Share of the groups held out for intervals; 0 for none."
        ),
    ] = 0.25,
    ids: Ids = None,
    drop_missing: Annotated[
        bool, typer.Option("--drop-missing", help="Leave out sets whose target is missing.")
    ] = False,
    seed: Seed = 0,
    safe_csv: SafeCsv = False,
    force: Force = False,
    *,
    data_options: Mapping[str, Any],
) -> None:
    """Predict a column of the metadata from embeddings, and report cross-validated scores.

    The head is a ridge or a logistic regression that takes the error bars of embeddings into
    account. Scores have 95 % intervals, and stand beside those of the same head on the mean of the
    atoms of each set, on the same folds. The table has predictions of heads that were not fitted
    to the set: for numbers with prediction intervals `low` to `high`, for classes with
    probabilities.

    DATA may also be a table that `distembed embed --covariances` wrote; it has no atoms, and so
    no mean of atoms to compare with.

    Example: distembed predict run --target age --group clinic -o predictions.csv
    """
    claim(output, (".csv", ".tsv", ".parquet"), force)
    need("sklearn", "sklearn")
    from distembed.cli.tables import write_table
    from distembed.heads.cross_validation import cross_validated
    from distembed.heads.estimators import SetClassifier, SetRegressor
    from distembed.heads.folds import is_classes
    from distembed.model.gde import GDE

    gde = GDE.load(model)
    # a column that names the sets makes each a group of its own
    group = None if [group] == _option(gde, "by", data_options) else group
    _refuse_leaks(gde, target, data_options)
    table, baseline = _tables(gde, data, data_options, target, group, ids)
    if drop_missing:
        table, baseline = _complete(table, baseline, target)
    classes = task is Task.classify or (task is Task.auto and is_classes(table.meta[target]))
    head: Any = SetClassifier() if classes else SetRegressor(calibration=calibration)
    options: dict[str, Any] = {
        "estimator": head, "folds": folds, "repeats": repeats, "level": level,
        "trained": training.value, "rng": seed,
    }  # fmt: skip
    with stage(f"cross-validating {target}"):
        result = cross_validated(table, target, group, permutations=permutations, **options)
    mean = None
    if baseline is not None:
        with stage("cross-validating the mean of atoms"):
            mean = cross_validated(baseline, target, group, **options)
    typer.echo(_report(table, result, mean, target, permutations))
    write_table(output, _columns(table, result, target, group), safe_csv)
    say(f"{output}: predictions of {result.scored.sum()} sets")


def _refuse_leaks(model: GDE, target: str, data_options: Mapping[str, Any]) -> None:
    """Refuse a target that names the sets, or is a feature of their atoms.

    Raises:
        ValueError: If it is one of these.
    """
    if _option(model, "by", data_options) == [target]:
        raise ValueError(
            f"--target {target} is the column that names the sets, and no set can predict the "
            "name of another. Name a column of the metadata that sets share."
        )
    if target in (model.features or ()):
        raise ValueError(
            f"--target {target} is a feature of the atoms that the model was fitted to, and an "
            "embedding contains it. Name a column of the metadata, or fit a model without it."
        )


def _tables(
    model: GDE,
    data: str | None,
    data_options: Mapping[str, Any],
    target: str,
    group: str | None,
    ids: Sequence[str] | None,
) -> tuple[Embeddings, Embeddings | None]:
    """Return embeddings and means of atoms; the latter are None if there are no atoms.

    Raises:
        ValueError: If there is no such column.
    """
    from distembed.cli.loading import choose, open_sets, stored_embeddings
    from distembed.data.observations import refuse_unknown
    from distembed.heads.baseline import mean_table

    named = [name for name in (target, group) if name]
    table = stored_embeddings(model, data, ids)
    if table is not None:
        refuse_unknown(named, table.meta, "column of the metadata")
        return table, None
    by = _option(model, "by", data_options)
    kept = _option(model, "meta", data_options)
    meta = [name for name in dict.fromkeys([*kept, *named]) if name not in by]
    sets = open_sets(model, data, {**data_options, "meta": meta})
    sets = sets.select(choose(sets.ids, ids)) if ids else sets
    with stage(f"embedding {len(sets)} sets"):
        table = model.embed(sets)
    if not sets.dtype.is_floating_point:
        return table, None
    return table, mean_table(sets, table.trained)


def _option(model: GDE, key: str, data_options: Mapping[str, Any]) -> list[str]:
    """Return the columns that an option of the data names, or the model's own."""
    notes = model.notes.get("data", {})
    own = notes.get(key) if isinstance(notes, Mapping) else None
    names = data_options.get(key) or own or []
    return [names] if isinstance(names, str) else list(names)


def _complete(
    table: Embeddings, baseline: Embeddings | None, target: str
) -> tuple[Embeddings, Embeddings | None]:
    """Leave out the sets whose target is missing, and name them."""
    from distembed.heads.folds import missing_labels

    missing = missing_labels(table.meta[target])
    if not missing.any():
        return table, baseline
    say(
        f"{missing.sum()} of {len(table)} sets have no {target} and are left out: "
        f"{listed(table.ids[missing].tolist())}"
    )
    return table.select(~missing), None if baseline is None else baseline.select(~missing)


def _report(
    table: Embeddings,
    result: CrossValidation,
    mean: CrossValidation | None,
    target: str,
    permutations: int,
) -> str:
    """Return the report as text."""
    scored, count = int(result.scored.sum()), len(result.ids)
    lines = [f"{target}: {scored} of {count} sets scored, in {result.fold.max() + 1} folds"]
    if scored < count:
        names = listed(table.ids[~result.scored].tolist())
        lines.append(
            f"Heads were also fitted to {count - scored} sets that the model was trained on or "
            f"that share a group with one: {names}"
        )
    elif table.trained is not None and table.trained.any():
        names = listed(table.ids[table.trained].tolist())
        lines.append(
            f"The model was trained on {table.trained.sum()} of them: {names}. Scores flatter."
        )
    rows = [["score", "embedding", *(["mean of atoms", "difference"] if mean else []), "chance"]]
    for score in result.scores:
        cells = [score.name, str(score)]
        if mean is not None:
            cells += [str(mean[score.name]), str(result.difference(mean, score.name))]
        rows.append([*cells, "" if np.isnan(score.chance) else f"{score.chance:.3g}"])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines += [
        "",
        *("  ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)).rstrip() for r in rows),
    ]
    lines += ["", "Ranges are 95 % intervals of repeated folds (Nadeau and Bengio, 2003)."]
    if result.p_value is not None:
        lines.append(
            f"p = {result.p_value:.3g}: the share of {permutations} permutations of the target "
            f"whose {result.scores[0].name} is as high, the observed one included"
        )
    if result.low is not None and np.isinf(result.low).any():
        lines.append(
            f"Prediction intervals at {result.level:.0%} take {_needed(result.level)} groups or "
            "more that heads are not fitted to, and in some folds there were fewer: these are "
            "infinite. Raise --calibration, lower --level, or hold more sets out of the model."
        )
    elif result.low is not None:
        lines.append(
            f"{result.level:.0%} prediction intervals contain {result.covered:.1%} of the targets"
        )
    chosen = Counter(choice.correction for choice in result.choices).most_common()
    lines.append("Corrections: " + ", ".join(f"{name} in {n} fits" for name, n in chosen))
    return "\n".join(lines)


def _needed(level: float) -> int:
    """Return the fewest groups of calibration sets of which an interval is finite."""
    return int(np.ceil(level / (1 - level) - 1e-9))


def _columns(
    table: Embeddings, result: CrossValidation, target: str, group: str | None
) -> dict[str, np.ndarray]:
    """Return the columns of the table of predictions, one row a scored set."""
    columns: dict[str, np.ndarray] = {"id": result.ids}
    columns |= {"group": np.asarray(table.meta[group])} if group else {}
    columns |= {"target": result.target, "prediction": result.prediction, "fold": result.fold}
    if result.low is not None and result.high is not None:
        columns |= {"low": result.low, "high": result.high}
    if result.classes is not None and result.probability is not None:
        names = (f"p_{label}" for label in result.classes)
        columns |= dict(zip(names, result.probability.T, strict=True))
    return {name: column[result.scored] for name, column in columns.items()}
