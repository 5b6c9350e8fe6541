"""What `distembed predict` reads: sets with labels, embeddings, and the head that suits them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np
import typer

from distembed.cli.console import counted, listed, say, stage

if TYPE_CHECKING:
    from distembed.model.embeddings import Embeddings
    from distembed.model.gde import GDE
    from distembed.sets.collection import Sets

__all__ = [
    "Task",
    "Training",
    "default_folds",
    "estimator_of",
    "option",
    "read_tables",
    "refuse_leaks",
    "with_target",
]


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


def refuse_leaks(model: GDE, target: str, data_options: Mapping[str, Any]) -> None:
    """Refuse a target that names the sets, or is a feature of their atoms.

    Raises:
        ValueError: If it is one of these.
    """
    if option(model, "by", data_options) == [target]:
        raise ValueError(
            f"--target {target} is the column that names the sets, and no set can predict the "
            "name of another. Name a column of the metadata that sets share."
        )
    if target in (model.features or ()):
        raise ValueError(
            f"--target {target} is a feature of the atoms that the model was fitted to, and an "
            "embedding contains it. Name a column of the metadata, or fit a model without it."
        )


def read_tables(
    model: GDE,
    data: str | None,
    data_options: Mapping[str, Any],
    named: Sequence[str],
    ids: Sequence[str] | None,
) -> tuple[Sets | None, Embeddings, Embeddings | None]:
    """Return sets, embeddings and means of atoms; None of the first and last without atoms.

    Raises:
        ValueError: If there is no column of a name.
    """
    from distembed.cli.loading import choose, open_sets, stored_embeddings
    from distembed.data.observations import refuse_unknown
    from distembed.heads.baseline import mean_table

    table = stored_embeddings(model, data, ids)
    if table is not None:
        refuse_unknown(named, table.meta, "column of the metadata")
        return None, table, None
    by = option(model, "by", data_options)
    kept = option(model, "meta", data_options)
    meta = [name for name in dict.fromkeys([*kept, *named]) if name not in by]
    sets = open_sets(model, data, {**data_options, "meta": meta})
    sets = sets.select(choose(sets.ids, ids)) if ids else sets
    with stage(f"embedding {counted(len(sets), 'set')}"):
        table = model.embed(sets)
    if not sets.dtype.is_floating_point:
        return sets, table, None
    return sets, table, mean_table(sets, table.trained)


def option(model: GDE, key: str, data_options: Mapping[str, Any]) -> list[str]:
    """Return the columns that an option of the data names, or the model's own."""
    notes = model.notes.get("data", {})
    own = notes.get(key) if isinstance(notes, Mapping) else None
    names = data_options.get(key) or own or []
    return [names] if isinstance(names, str) else list(names)


def with_target(
    sets: Sets | None, table: Embeddings, baseline: Embeddings | None, target: str
) -> tuple[Sets | None, Embeddings, Embeddings | None]:
    """Leave out the sets whose target is missing, and name them."""
    from distembed.heads.folds import missing_labels

    missing = missing_labels(table.meta[target])
    if not missing.any():
        return sets, table, baseline
    say(
        f"{missing.sum()} of {len(table)} sets have no {target} and are left out: "
        f"{listed(table.ids[missing].tolist())}"
    )
    kept = ~missing
    return (
        None if sets is None else sets.select(kept),
        table.select(kept),
        None if baseline is None else baseline.select(kept),
    )


def default_folds(table: Embeddings, y: np.ndarray, training: Training, group: str | None) -> int:
    """Return the number of folds, 2 to 5: of four scored sets or groups, and of every class."""
    from distembed.heads.folds import is_classes, spread_over_folds

    units = np.arange(len(table))
    if group is not None:
        units = np.unique(table.meta[group], return_inverse=True)[1]
    scored = np.ones(len(table), dtype=bool)
    if training is not Training.score and table.trained is not None:
        scored = ~np.isin(units, units[table.trained])
    count = len(np.unique(units[scored]))
    if count < 20 and scored.mean() < 0.5:
        say(
            f"{counted(int(scored.sum()), 'set')} can be scored, because the model was trained on "
            "the others. Scores of few sets vary much: fit with split.test=0.5 to hold more out."
        )
    most = count // 4
    classes = spread_over_folds(y)
    if is_classes(classes):
        names = np.unique(classes)
        rarest = min(len(np.unique(units[scored & (classes == name)])) for name in names)
        most = min(most, rarest)
    return int(np.clip(most, 2, 5))


def estimator_of(task: Task, y: np.ndarray, calibration: float) -> Any:
    """Return the head that is cross-validated."""
    from distembed.heads.estimators import SetClassifier, SetRegressor
    from distembed.heads.folds import is_classes
    from distembed.heads.survival import SetSurvival

    if y.dtype.names is not None:
        if task is not Task.auto:
            raise typer.BadParameter(
                "--event makes the target a time, which is no class and no plain number. Leave "
                "one of both out.",
                param_hint="--task",
            )
        return SetSurvival()
    classes = task is Task.classify or (task is Task.auto and is_classes(y))
    return SetClassifier() if classes else SetRegressor(calibration=calibration)
