"""Choose the features of a table where none are named, and say which columns are passed over.

| A column is passed over | because |
|---|---|
| without a name | a data frame writes its index so |
| constant within every set | it is metadata |
| a number of the row, in the table or within its set | it says nothing of an atom |
| not numeric | of the type that is named: text, dates, decimal commas, mostly missing, ... |

Columns of few whole numbers stay features, because counts are such, and so do columns that rise
from row to row in every set, because times are; they may also be codes of categories or an index,
and are named.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence

import numpy as np

from distembed.data.readers.tabular import Table

__all__ = ["say_passed", "varying"]

logger = logging.getLogger(__name__)

_UNNAMED = re.compile(r"\s*|Unnamed: \d+|__index_level_\d+__")
"""Names that pandas gives to an index in a file: the number of a row is no feature of an atom."""


def varying(
    table: Table, keep: Sequence[str], code: np.ndarray | None
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Load the features where none are chosen.

    Args:
        table: The table.
        keep: Columns that are no features.
        code: Number of the set of each row, `(R,)`; None where sets are not known.

    Returns:
        The features by name, and the names of the columns without one.

    Raises:
        ValueError: If no column is a feature, or a feature holds another value than numbers.
    """
    numeric = [n for n in table.names if n in table.numeric and n not in keep]
    unnamed = [n for n in numeric if _UNNAMED.fullmatch(n)]
    named = [n for n in numeric if n not in unnamed]
    try:
        x = dict(zip(named, table.load(named, "numbers"), strict=True))
        values = x
    except ValueError:  # a blank is an error in a feature, and none in metadata
        x, values = {}, dict(zip(named, table.load(named, "candidates"), strict=True))
    fixed = _constant(values, code) if code is not None else []
    index = _numbering({n: v for n, v in values.items() if n not in fixed}, code)
    reasons = [
        f"{', '.join(map(repr, names))} ({why})"
        for names, why in (
            (unnamed, "without a name, as a data frame writes its index"),
            (fixed, "constant within every set, as metadata are"),
            (index, "a number of the row, in the table or within its set"),
        )
        if names
    ]
    features = [n for n in named if n not in fixed and n not in index]
    if not features:
        why = " and ".join(reasons) or "those that name sets or metadata"
        what = "varies within a set" if fixed or index else "holds numbers"
        why += "".join(f"; {name!r} holds {text}" for name, text in table.others.items() if text)
        raise ValueError(
            f"No column {what}, apart from {why}. The columns are: "
            f"{', '.join(map(repr, table.names))}; name the features in `columns`."
        )
    for reason in reasons:
        logger.warning("not a feature: %s; name it in `columns` to keep it", reason)
    if not x:
        x = dict(zip(features, table.load(features, "numbers"), strict=True))
    numbers = {n: x[n] for n in features}
    _say_doubtful(numbers, code)
    return numbers, unnamed


def say_passed(
    table: Table, columns: Mapping[str, np.ndarray], keep: Sequence[str], code: np.ndarray | None
) -> None:
    """Log the columns that are neither features, because of their type, nor metadata.

    Columns of text with one value a set are metadata, and not named.

    Args:
        table: The table.
        columns: Columns that are loaded to become metadata.
        keep: Columns that are requested.
        code: Number of the set of each row, `(R,)`; None where sets are not known.
    """
    loaded = {n: v for n, v in columns.items() if n in table.others}
    metadata = [] if code is None else _constant(loaded, code, enough=True)
    reasons: dict[str, list[str]] = {}
    for name, why in table.others.items():
        # without sets, every column that is loaded is kept as annotation
        requested = name in keep or name in metadata or code is None and name in loaded
        if not requested and (name in loaded or why):  # text that nobody asked for is not named
            reasons.setdefault(why or "text", []).append(name)
    for why, names in reasons.items():
        logger.warning("neither a feature nor metadata: %s (%s)", ", ".join(map(repr, names)), why)


def _say_doubtful(
    columns: Mapping[str, np.ndarray], code: np.ndarray | None, listed: int = 5
) -> None:
    """Log the features that may be codes of categories, or may number the rows."""
    doubtful = (
        ("of few whole numbers each", "the code of a category", _few(columns)),
        ("rising from row to row", "an index or a time", _rising(columns, code)),
    )
    for what, other, names in doubtful:
        if names:
            more = f" and {len(names) - listed} more" if len(names) > listed else ""
            logger.warning(
                "taken as quantities, though %s: %s%s; leave out of `columns` what is %s",
                what, ", ".join(names[:listed]), more, other,
            )  # fmt: skip


def _few(columns: Mapping[str, np.ndarray], most: int = 12) -> list[str]:
    """Return the columns of at least 3 and at most so many whole numbers, with their range."""
    few = []
    for name, values in columns.items():
        for part in (values[:1000], values):
            levels = np.unique(part)
            if not 2 < len(levels) <= most or (levels != np.round(levels)).any():
                break
        else:
            few.append(f"{name!r} ({levels[0]:g} to {levels[-1]:g})")
    return few


def _rising(
    columns: Mapping[str, np.ndarray], code: np.ndarray | None, least: int = 10
) -> list[str]:
    """Return the columns that rise from row to row in every set, if there are enough rows."""
    if code is None or len(code) - len(np.unique(code)) < least:
        return []
    rising = [n for n, v in columns.items() if _rises(v[:1000], code[:1000])]
    return [repr(n) for n in rising if _rises(columns[n], code)]


def _rises(values: np.ndarray, code: np.ndarray) -> bool:
    order = np.argsort(code, kind="stable")
    inside = np.diff(code[order]) == 0
    return bool((np.diff(values[order].astype(np.float64))[inside] > 0).all())


def _constant(
    columns: Mapping[str, np.ndarray], code: np.ndarray, head: int = 1000, enough: bool = False
) -> list[str]:
    """Return the columns with one value a set.

    Most features vary within the first rows, which are compared before all are. One set, or one
    row a set, says nothing of a feature: then none is returned, unless it is `enough`.
    """
    candidates = dict(columns)
    for count in (head, len(code)):
        if not candidates:
            return []
        _, first, part = np.unique(code[:count], return_index=True, return_inverse=True)
        candidates = {n: v for n, v in candidates.items() if _same(v[:count], v[first][part])}
    return list(candidates) if enough or 1 < len(first) < len(code) else []


def _numbering(
    columns: Mapping[str, np.ndarray], code: np.ndarray | None, least: int = 10
) -> list[str]:
    """Return the columns that number the rows of a table, or those of each set.

    Numbers are whole. Those of a table rise, perhaps with gaps, or are consecutive in any order;
    those of a set are consecutive from 0 or from 1, in any order. Of fewer rows than `least`, in
    the table and in the largest set, nothing is said.
    """
    whole = {
        name: v.astype(np.float64)
        for name, v in columns.items()
        if v.dtype.kind in "iuf" and len(v) >= least and bool((v == np.round(v)).all())
    }
    if not whole:
        return []
    code = np.zeros(len(next(iter(whole.values()))), np.int64) if code is None else code
    sizes = np.bincount(code)
    start = np.repeat(np.cumsum(sizes) - sizes, sizes)
    inside = np.arange(len(code)) - start
    numbering = []
    for name, v in whole.items():
        ranked = np.sort(v)
        consecutive = bool((np.diff(ranked) == 1).all())
        rises = bool((np.diff(v) > 0).all())
        within = v[np.lexsort((v, code))] - inside
        of_sets = sizes.max() >= least and bool(np.isin(within, (0, 1)).all())
        of_sets = of_sets and len(np.unique(within)) == 1
        if consecutive or rises or of_sets:
            numbering.append(name)
    return numbering


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    return bool(((a == b) | ((a != a) & (b != b))).all())
