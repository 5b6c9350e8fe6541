"""Heads of `distembed predict`: fitted to all sets, stored, and applied to new sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from distembed.cli.console import counted, listed, say, stage
from distembed.data.observations import refuse_unknown

if TYPE_CHECKING:
    from distembed.model.embeddings import Embeddings
    from distembed.model.gde import GDE

__all__ = ["apply_head", "feature_columns", "fit_to_all", "store_head", "target_of"]


def feature_columns(meta: Mapping[str, np.ndarray], names: Sequence[str]) -> np.ndarray:
    """Return columns of metadata as numbers, text as columns of 0 and 1, `(S, F)`.

    Raises:
        ValueError: If there is no such column, or a value is missing.
    """
    from distembed.heads.folds import missing_labels

    refuse_unknown(names, meta, "column of the metadata")
    columns = []
    for name in names:
        values = np.asarray(meta[name])
        if (missing := missing_labels(values)).any():
            raise ValueError(
                f"--feature {name} is missing for {missing.sum()} of {len(values)} sets. Fill it "
                "in the metadata, or leave these sets out with --id."
            )
        if values.dtype.kind in "iufb":
            columns.append(values.astype(np.float64))
            continue
        # one category is the one that the others are compared with
        for label in np.unique(values.astype(str))[1:]:
            columns.append((values.astype(str) == label).astype(np.float64))
    return np.stack(columns, axis=1)


def target_of(table: Embeddings, target: str, event: str | None) -> np.ndarray:
    """Return a column of the metadata as a target, with the events of a second one for times.

    Raises:
        ValueError: If times or events are none, or are missing.
    """
    y = np.asarray(table.meta[target])
    if event is None:
        return y
    from distembed.heads.hazards import event_times

    happened = np.asarray(table.meta[event])
    if happened.dtype.kind in "OU":
        # true and false of a table with missing values are text
        truth = {"true": 1, "false": 0, "1": 1, "0": 0}
        texts = [str(value).strip().lower() for value in happened.tolist()]
        if all(text in truth for text in texts):
            happened = np.array([truth[text] for text in texts])
    return event_times(y, happened)


def fit_to_all(
    estimator: Any, table: Embeddings, y: np.ndarray, group: str | None, training: str
) -> Any:
    """Fit a head to all sets, with intervals if sets are left for them."""
    import dataclasses

    from distembed.heads.base import clone

    head = clone(estimator)
    table = dataclasses.replace(table, trained=None) if training == "score" else table
    groups = None if group is None else table.meta[group]
    return head.fit(table, y, groups)


def store_head(path: Path, head: Any, model: GDE, table: Embeddings, target: str) -> None:
    """Write a head."""
    from distembed.heads.stored import StoredHead

    StoredHead.of(head, target, model, table.ids.tolist()).write(path)
    say(f"{path}: a head of {target}, fitted to {counted(len(table), 'set')}")


def apply_head(
    model: Path,
    data: str | None,
    data_options: Mapping[str, Any],
    file: Path,
    ids: Sequence[str] | None,
    output: Path,
    level: float,
    safe_csv: bool,
) -> None:
    """Predict sets by a stored head, and write a table."""
    from distembed.cli.loading import choose, open_sets, stored_embeddings
    from distembed.cli.tables import write_table
    from distembed.heads.stored import read_head
    from distembed.model.gde import GDE

    stored, gde = read_head(file), GDE.load(model)
    stored.check(gde)
    table = stored_embeddings(gde, data, ids)
    if table is None:
        sets = open_sets(gde, data, data_options)
        sets = sets.select(choose(sets.ids, ids)) if ids else sets
        with stage(f"embedding {counted(len(sets), 'set')}"):
            table = gde.embed(sets)
    seen = stored.was_fitted_to(table.ids.tolist())
    if seen.any():
        say(
            f"The head was fitted to {seen.sum()} of these {counted(len(seen), 'set')}, whose "
            f"predictions flatter: {listed(table.ids[seen].tolist())}"
        )
    write_table(output, _predicted(stored.estimator, table, level), safe_csv)
    say(f"{output}: {stored.target} of {counted(len(table), 'set')}")


def _predicted(head: Any, table: Embeddings, level: float) -> dict[str, np.ndarray]:
    """Return the columns of predictions."""
    columns = {"id": table.ids, "prediction": head.predict(table)}
    if hasattr(head, "classes_"):
        p = head.predict_proba(table)
        return columns | {f"p_{label}": p[:, c] for c, label in enumerate(head.classes_)}
    if len(getattr(head, "conformity_scores_", ())):
        columns["low"], columns["high"] = head.predict_interval(table, level)
        if np.isinf(columns["low"]).any():
            say(
                f"Intervals at {level:.0%} are infinite: the head has too few calibration groups. "
                "Lower --level, or fit it to more sets."
            )
    return columns
