r"""A column of metadata, and the selection of the one that an embedding tells most of.

A column is informative if neighbours in the embedding share its value. The skill of a categorical
column is the agreement of each set with its k nearest neighbours beyond chance (Cohen's kappa),
$(a - \sum_c p_c^2) / (1 - \sum_c p_c^2)$. The skill of a numeric column is the fraction of the
variance of its ranks that the mean of the neighbours explains. Both are 1 for a perfect map, and 0
in expectation for an embedding that is independent of the column.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from distembed.report.dates import date_text, days_of, is_dates
from distembed.report.levels import MISSING, Kind, is_numeric, kind_of, level_texts

__all__ = ["Column", "choose_column", "skill"]


@dataclass(frozen=True)
class Column:
    """A column of metadata, and the reason for its selection.

    Attributes:
        name: Its title.
        values: `(S,)`.
        why: The reason.
        among: Number of columns among which it was selected by the embeddings; 1 if it was
            requested, 0 if it is no metadata.
        names: Whether the values are names without an order, even where they are numerals.
    """

    name: str
    values: np.ndarray
    why: str
    among: int = 1
    names: bool = False

    @property
    def kind(self) -> Kind:
        """What the values are."""
        return "categorical" if self.names else kind_of(self.values)

    def write(self, value: float) -> str:
        """Write a number of `quantities` as a value of the column."""
        return date_text(value) if is_dates(np.asarray(self.values)) else f"{value:.3g}"


def choose_column(
    z: np.ndarray, meta: Mapping[str, np.ndarray], sizes: np.ndarray, name: str | None = None
) -> Column:
    """Return the named column, or the one with the largest `skill`.

    Mixtures, whose `weight_*` columns sum to one, are coloured by their largest component. If no
    column has a skill above 0.05, the column is the number of atoms.

    Args:
        z: Embeddings, `(S, L)`.
        meta: Columns `(S,)`.
        sizes: Number of atoms, `(S,)`.
        name: A column of `meta`, or "size".

    Raises:
        ValueError: If there is no such column.
    """
    if name == "size" and "size" not in meta:
        return Column("number of atoms", np.asarray(sizes, dtype=float), "as requested", 0)
    if name is not None:
        if name not in meta:
            raise ValueError(
                f"There is no metadata column {name!r} to colour by; there are: "
                f"{', '.join([*meta, 'size'])}."
            )
        return Column(name, np.asarray(meta[name]), "as requested")
    largest = _largest_component(meta)
    if largest is not None:
        return Column("largest component", largest, "the sets are mixtures", names=True)
    skills = {name: skill(z, np.asarray(values)) for name, values in meta.items()}
    best = max(skills, key=skills.__getitem__, default=None)
    if best is not None and skills[best] > 0.05:
        why = f"the column that neighbours predict best, with skill {skills[best]:.2f} of 1"
        return Column(best, np.asarray(meta[best]), why, len(skills))
    why = "no metadata column varies with the embedding" if skills else "the sets have no metadata"
    return Column("number of atoms", np.asarray(sizes, dtype=float), why, 0)


def skill(z: np.ndarray, values: np.ndarray) -> float:
    """Measure how well the nearest neighbours predict a column, as at the top of the module.

    Args:
        z: Embeddings, `(S, L)`.
        values: `(S,)`; missing values are ignored.

    Returns:
        At most 1; 0 for chance agreement, and for a column that is constant or almost unique.
    """
    text = np.array(level_texts(values))
    if is_dates(values):
        values = days_of(values)
    numeric = is_numeric(values)
    rows = np.flatnonzero(np.isfinite(values) if numeric else text != MISSING)
    rows = rows[:: max(1, len(rows) // 2000)]
    levels, codes = np.unique(text[rows], return_inverse=True)
    if len(levels) < 2 or len(rows) < 6 or not (numeric or len(rows) >= 3 * len(levels)):
        return 0.0
    points = np.asarray(z, dtype=float)[rows]
    square = (points**2).sum(1)
    distance = square[:, None] + square - 2 * points @ points.T
    np.fill_diagonal(distance, np.inf)
    k = min(len(rows) - 1, max(3, min(10, len(rows) // 20)))
    near = np.argpartition(distance, k - 1, axis=1)[:, :k]
    if numeric:
        rank = np.argsort(np.argsort(values[rows], kind="stable")).astype(float)
        return float(1 - ((rank - rank[near].mean(1)) ** 2).mean() / rank.var())
    chance = float(((np.bincount(codes) / len(codes)) ** 2).sum())
    return float(((codes[near] == codes[:, None]).mean() - chance) / (1 - chance))


def _largest_component(meta: Mapping[str, np.ndarray]) -> np.ndarray | None:
    names = [n for n in meta if n.startswith("weight_") and np.asarray(meta[n]).dtype.kind == "f"]
    if len(names) < 2:
        return None
    weights = np.stack([np.asarray(meta[n], dtype=float) for n in names], axis=1)
    if not np.allclose(weights.sum(1), 1, atol=1e-4):
        return None
    parts = np.array([n.removeprefix("weight_") for n in names])
    largest: np.ndarray = parts[weights.argmax(1)]
    return largest
