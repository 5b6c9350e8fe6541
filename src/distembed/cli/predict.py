"""`distembed predict`: a cross-validated prediction of a column of the metadata."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from distembed.cli.console import counted, listed, say, stage
from distembed.cli.heads import (
    apply_head,
    feature_columns,
    fit_to_all,
    store_head,
    target_of,
)
from distembed.cli.labelled import (
    Task,
    Training,
    default_folds,
    estimator_of,
    option,
    read_tables,
    refuse_leaks,
    with_target,
)
from distembed.cli.options import Data, Force, Ids, Model, SafeCsv, Seed, takes_data
from distembed.cli.scores import report_text
from distembed.files import claim
from distembed.registry import need

if TYPE_CHECKING:
    from distembed.heads.cross_validation import CrossValidation
    from distembed.model.embeddings import Embeddings

__all__ = ["predict"]


@takes_data
def predict(
    model: Model,
    data: Data = None,
    target: Annotated[
        str | None, typer.Option(help="Column of the metadata to predict, with one value a set.")
    ] = None,
    event: Annotated[
        str | None,
        typer.Option(
            help="Column that says, by 1 or 0, whether the event happened at the time --target "
            "or not until then: a Cox regression."
        ),
    ] = None,
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
    folds: Annotated[
        int | None,
        typer.Option(min=2, help="Number of folds; default 5, or fewer of four scored sets each."),
    ] = None,
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
    features: Annotated[
        list[str] | None,
        typer.Option(
            "--feature",
            help="Column of the metadata that predicts beside the embedding, as sex; repeatable. "
            "The report states what the embedding adds.",
        ),
    ] = None,
    save_head: Annotated[
        Path | None,
        typer.Option(help="A .safetensors file for a head that is fitted to all sets."),
    ] = None,
    head: Annotated[
        Path | None,
        typer.Option(help="A file of --save-head, to predict sets whose target is not known."),
    ] = None,
    page: Annotated[
        Path | None,
        typer.Option("--report", help="An .html file: predictions, calibration, explanation."),
    ] = None,
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

    The head is a ridge, a logistic or, with --event, a Cox regression that takes the error bars of
    embeddings into account. Scores have 95 % intervals, and stand beside those of the same head on
    the mean of the atoms of each set, on the same folds. The table has predictions of heads that
    were not fitted to the set: for numbers with prediction intervals `low` to `high`, for classes
    with probabilities, for times log hazard ratios.

    With --head, sets are predicted by a head that --save-head wrote, and nothing is fitted.

    DATA may also be a table that `distembed embed --covariances` wrote; it has no atoms, and so
    no mean of atoms to compare with.

    Example: distembed predict run --target age --group clinic -o predictions.csv

    Then: distembed predict run new.csv --head age.safetensors -o new_predictions.csv
    """
    claim(output, (".csv", ".tsv", ".parquet"), force)
    need("sklearn", "sklearn")
    if head is not None:
        _refuse_with_head(target, group, save_head, page, features, event)
        apply_head(model, data, data_options, head, ids, output, level, safe_csv)
        return
    if target is None:
        raise typer.BadParameter(
            "name the column to predict, or a stored head with --head FILE.", param_hint="--target"
        )
    if target in (features or ()):
        raise typer.BadParameter(
            f"{target} is the target, and would predict itself. Leave it out.",
            param_hint="--feature",
        )
    if save_head is not None:
        claim(save_head, (".safetensors",), force)
    if page is not None:
        claim(page, (".html",), force)
        need("matplotlib", "report")
        need("jinja2", "report")
    from distembed.cli.tables import write_table
    from distembed.heads.added import added_value
    from distembed.heads.cross_validation import cross_validated
    from distembed.model.gde import GDE

    gde = GDE.load(model)
    # a column that names the sets makes each a group of its own
    group = None if [group] == option(gde, "by", data_options) else group
    refuse_leaks(gde, target, data_options)
    named = [name for name in (target, event, group, *(features or ())) if name]
    sets, table, baseline = read_tables(gde, data, data_options, named, ids)
    for column in (target, event) if drop_missing else ():
        if column is not None:
            sets, table, baseline = with_target(sets, table, baseline, column)
    y = target_of(table, target, event)
    folds = default_folds(table, y, training, group) if folds is None else folds
    estimator = estimator_of(task, y, calibration)
    options: dict[str, Any] = {
        "estimator": estimator, "folds": folds, "repeats": repeats, "level": level,
        "trained": training.value, "rng": seed,
    }  # fmt: skip
    null = f", also permuted {permutations} times (fast: --permutations 0)" if permutations else ""
    with stage(f"cross-validating {target}{null}"):
        result = cross_validated(table, y, group, permutations=permutations, **options)
    mean = None
    if baseline is not None:
        with stage("cross-validating the mean of atoms"):
            mean = cross_validated(baseline, y, group, **options)
    added = None
    if features:
        with stage(f"cross-validating {listed(features)}, with and without the embedding"):
            columns = feature_columns(table.meta, features)
            added = added_value(table, columns, y, group, **options)
    typer.echo(report_text(table, result, mean, target, permutations, added))
    write_table(output, _columns(table, result, group), safe_csv)
    say(f"{output}: predictions of {counted(int(result.scored.sum()), 'set')}")
    if save_head is None and page is None:
        return
    with stage("fitting a head to all sets"):
        fitted = fit_to_all(estimator, table, y, group, training.value)
    if save_head is not None:
        store_head(save_head, fitted, gde, table, target)
    if page is not None:
        from distembed.report.prediction import write_prediction

        with stage("explaining and drawing"):
            write_prediction(page, gde, sets, table, fitted, result, mean, target, group, seed)
        say(f"Open {page} in a browser.")


def _refuse_with_head(target: str | None, *others: object) -> None:
    """Refuse options that fit something beside a head that is stored."""
    if target is not None or any(others):
        raise ValueError(
            "--head predicts with a stored head and fits nothing, so that --target, --event, "
            "--group, --feature, --save-head and --report have no use beside it. Leave them out, "
            "or leave --head out to fit."
        )


def _columns(
    table: Embeddings, result: CrossValidation, group: str | None
) -> dict[str, np.ndarray]:
    """Return the columns of the table of predictions, one row a scored set."""
    columns: dict[str, np.ndarray] = {"id": result.ids}
    columns |= {"group": np.asarray(table.meta[group])} if group else {}
    if result.target.dtype.names is None:
        columns["target"] = result.target
    else:
        columns |= {name: result.target[name] for name in ("time", "event")}
    columns |= {"prediction": result.prediction, "fold": result.fold}
    if result.low is not None and result.high is not None:
        columns |= {"low": result.low, "high": result.high}
    if result.classes is not None and result.probability is not None:
        names = (f"p_{label}" for label in result.classes)
        columns |= dict(zip(names, result.probability.T, strict=True))
    return {name: column[result.scored] for name, column in columns.items()}
