"""Join the entries of a file with a table that has one row an entry, by their ids."""

from __future__ import annotations

import logging
from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from distembed.data.file_rows import choose
from distembed.data.labels import as_text
from distembed.data.observations import Observations, refuse_unknown
from distembed.data.readers.base import Request, type_of
from distembed.data.readers.columns import open_table
from distembed.data.readers.tabular import Table

__all__ = ["annotated", "annotation_columns", "key_column", "labelled", "repeated"]

logger = logging.getLogger(__name__)

Columns = dict[str, np.ndarray]


def annotated(
    name: str, columns: Mapping[str, np.ndarray], source: Any, key: str | None, request: Request
) -> tuple[Columns, Columns]:
    """Add the columns of a table with one row an entry.

    Args:
        name: Name of the file of the entries, for messages.
        columns: Columns of the entries, `id` among them, each `(R,)`.
        source: The table.
        key: Column of the table with the ids; the one that has most of them where None.
        request: Names the columns of labels, and of weights.

    Returns:
        All columns, and those of labels as text.

    Raises:
        FileNotFoundError: If there is no such table.
        ValueError: If ids repeat, or an entry has no row.
    """
    ids, where = columns["id"].tolist(), Path(type_of(source)).name
    if twice := repeated(ids):
        raise ValueError(
            f"Two sequences of {name} have the id {twice!r}, so that it is not clear which row of "
            f"{where} is whose. Ids are the headers up to the first blank; make them unique."
        )
    table = open_table(source)
    what = "An id is the header up to the first blank"
    key, keys = key_column(name, ids, where, table, key, what)
    own = set(ids)
    if twice := repeated([k for k in keys if k in own]):
        raise ValueError(f"{where} has several rows for {twice!r} in {key!r}; one is needed.")
    row = {k: i for i, k in enumerate(keys)}
    if missing := [k for k in ids if k not in row]:
        raise ValueError(
            f"{where} has no row for {len(missing)} of {len(ids)} sequences of {name}, the first "
            f"being {missing[0]!r}; ids are compared with {key!r}. Add the rows, or drop these "
            "sequences."
        )
    if others := [k for k in keys if k not in own]:
        logger.info(
            "%d rows of %s have no sequence in %s, the first being %r",
            *(len(others), where, name, others[0]),
        )
    added, exact = annotation_columns(
        table, columns, request, np.array([row[k] for k in ids], np.int64)
    )
    return {**columns, **added}, exact


def annotation_columns(
    table: Table, taken: Container[str], request: Request, index: np.ndarray
) -> tuple[Columns, Columns]:
    """Load the columns of a table, and choose its rows.

    Args:
        table: The table.
        taken: Names of columns that are left out.
        request: Names the columns of labels, and of weights.
        index: Row of the table of each entry, `(R,)`.

    Returns:
        All columns, and those of labels as text.
    """
    names = [n for n in table.names if n not in taken]
    labels = [n for n in names if n in request.labels]
    weights = [n for n in names if n == request.weights]
    values = [n for n in names if n not in {*labels, *weights}]
    exact = dict(zip(labels, map(as_text, table.load(labels, "exact")), strict=True))
    added = dict(zip(weights, table.load(weights, "numbers"), strict=True))
    added |= dict(zip(values, table.load(values, "values"), strict=True)) | exact
    return {n: added[n][index] for n in names}, {n: c[index] for n, c in exact.items()}


def labelled(
    name: str, observations: Observations, labels: Sequence[str], noun: str = "sequence"
) -> Observations:
    """Leave out the atoms without a label, and log how many.

    Args:
        name: Name of the file, for the log.
        observations: The atoms.
        labels: The columns of labels.
        noun: What an atom is.

    Raises:
        ValueError: If no atom is left.
    """
    kept = np.ones(observations.rows, bool)
    for label in labels:
        blank = observations.labels(label) == ""
        if blank.any():
            logger.warning(
                "%d of %d %ss of %s have no %r, and are left out",
                *(blank.sum(), len(blank), noun, name, label),
            )
        kept &= ~blank
    if kept.all():
        return observations
    if not kept.any():
        raise ValueError(f"No {noun} of {name} has a label in {', '.join(map(repr, labels))}.")
    both = observations.columns, observations.exact
    columns, exact = ({n: v[kept] for n, v in part.items()} for part in both)
    x = choose(observations.x, kept)
    return Observations(x, columns, observations.features, exact)


def key_column(
    name: str, ids: Sequence[str], where: str, table: Table, key: str | None, what: str
) -> tuple[str, list[str]]:
    """Return the column of a table that holds the ids, and its values.

    Args:
        name: Name of the file of the entries.
        ids: Their ids.
        where: Name of the table.
        table: The table.
        key: The column; the one that has most of the ids where None.
        what: What an id is, for the message ("An id is ...").

    Raises:
        ValueError: If there is no such column, or none that has an id.
    """
    if key is not None:
        refuse_unknown([key], table.names, f"column of {where}")
    candidates, own = table.names if key is None else [key], set(ids)
    values = {n: as_text(table.load([n], "exact")[0]).tolist() for n in candidates}
    best = max(candidates, key=lambda n: len(own.intersection(values[n])))
    if not own.intersection(values[best]):
        examples = ", ".join(f"{n} = {v[0]!r}" for n, v in list(values.items())[:4])
        raise ValueError(
            f"No id of {name}, such as {ids[0]!r}, is in {where}, whose first row has {examples}. "
            f"{what}, and has to be the same in both."
        )
    return best, values[best]


def repeated(names: Sequence[str]) -> str | None:
    """Return the first name that occurs twice."""
    before: set[str] = set()
    for name in names:
        if name in before:
            return name
        before.add(name)
    return None
