r"""What is known of the true label of an atom: an observed label, or a probability of each.

Both become the likelihood of what was observed of atom i if it were of set s, up to a factor an
atom: $C_{s o_i}$ of a confusion matrix, and $p_i(s) / \pi_s$ of probabilities under a prior.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distembed.data.observations import Observations, refuse_unknown

__all__ = ["of_confusion", "of_probabilities"]

logger = logging.getLogger(__name__)

Array = NDArray[np.float64]


def of_confusion(
    observations: Observations, by: str, confusion: Mapping[str, Mapping[str, float]] | Any
) -> tuple[list[str], Array]:
    """Return the true labels, and the likelihood of the observed label of each atom, `(R, S)`.

    Raises:
        ValueError: If a row does not sum to one, a label has no column, or labels tell nothing.
    """
    refuse_unknown([by], observations.columns, "column")
    names, columns, matrix = _confusion(confusion)
    observed = observations.labels(by, check=True)
    refuse_unknown(np.unique(observed).tolist(), columns, "observed label in the confusion matrix")
    _check_informative(names, matrix)
    code = np.array([columns.index(o) for o in observed])
    return names, matrix[:, code].T


def of_probabilities(
    observations: Observations, by: str | Sequence[str], prior: Mapping[str, float] | None
) -> tuple[list[str], Array]:
    """Return the true labels, and the likelihood of the evidence on each atom, `(R, S)`.

    Args:
        observations: The atoms, with a column of probabilities for each true label.
        by: The columns, whose names are the labels.
        prior: Share of each label under which the probabilities were computed; their mean where
            left out.

    Raises:
        ValueError: If there are fewer than two columns, the probabilities of an atom do not sum to
            one, a prior is not positive, or the probabilities of all atoms are nearly equal.
    """
    names = [by] if isinstance(by, str) else list(by)
    refuse_unknown(names, observations.columns, "column")
    if len(names) < 2:
        raise ValueError(
            f"by = {names}, and no confusion matrix is given. Give the probability of an observed "
            "label given the true one, confusion={true: {observed: p}}; or name two or more "
            "columns, each with the probability of a true label."
        )
    kinds = [observations.columns[n].dtype.kind for n in names]
    if not set(kinds) <= set("biuf"):
        text = names[next(i for i, kind in enumerate(kinds) if kind not in "biuf")]
        raise ValueError(f"Column {text!r} holds text, and probabilities are numbers.")
    p: Array = np.stack([observations.columns[n].astype(np.float64) for n in names], axis=1)
    total = p.sum(1)
    wrong = ~np.isfinite(total) | (p < 0).any(1) | (np.abs(total - 1) > 1e-3)
    if wrong.any():
        row = int(np.argmax(wrong))
        values = ", ".join(f"{n} {v:g}" for n, v in zip(names, p[row], strict=True))
        raise ValueError(
            f"The probabilities of the labels in row {row} ({values}) sum to {total[row]:.6g}; "
            "those of an atom are not negative and sum to one. Add the columns of all labels, or "
            "divide by the sum if the atom is of one of these labels for certain."
        )
    p /= total[:, None]
    if np.abs(p - p.mean(0)).sum(1).mean() / 2 < 0.01:
        raise ValueError(
            "The probabilities tell nothing of the true labels: those of all atoms are nearly "
            "equal. There is nothing to invert."
        )
    share: Array = p.mean(0)
    if prior is not None:
        refuse_unknown(names, prior, "label in the prior")
        share = np.array([float(prior[n]) for n in names])
    if not np.isfinite(share).all() or (share <= 0).any() or abs(share.sum() - 1) > 1e-3:
        values = ", ".join(f"{n} {v:g}" for n, v in zip(names, share, strict=True))
        raise ValueError(
            f"The shares of the labels are {values}; each is positive, and they sum to one. Leave "
            "out the column of a label that no atom has."
        )
    return names, p / share


def _confusion(confusion: Any) -> tuple[list[str], list[str], Array]:
    """Return the true labels, the observed ones, and the matrix `(S, O)`, checked."""
    if hasattr(confusion, "iterrows"):
        confusion = {
            str(s): {str(o): v for o, v in row.items()} for s, row in confusion.iterrows()
        }
    if not isinstance(confusion, Mapping) or not confusion:
        raise ValueError(
            "confusion is a mapping from a true label to the probabilities of observed ones, "
            f"not a {type(confusion).__name__}."
        )
    names = [str(s) for s in confusion]
    columns = list(dict.fromkeys(str(o) for row in confusion.values() for o in row))
    rows = [{str(o): float(v) for o, v in row.items()} for row in confusion.values()]
    matrix = np.array([[row.get(o, 0.0) for o in columns] for row in rows])
    total = matrix.sum(1)
    if (matrix < 0).any() or not np.allclose(total, 1, atol=1e-6):
        s = int(np.argmax(np.abs(total - 1) + (matrix < 0).any(1)))
        raise ValueError(
            f"The probabilities of the labels of {names[s]!r} sum to {total[s]:.6g}, and the "
            f"least is {matrix[s].min():.6g}; those of a row are not negative and sum to one."
        )
    return names, columns, matrix


def _check_informative(names: Sequence[str], matrix: Array, least: float = 0.05) -> None:
    """Refuse labels that tell nothing, and name true labels that they do not tell apart."""
    if len(names) < 2:
        raise ValueError("There is one true label; an inversion is among at least two.")
    apart = np.abs(matrix[:, None] - matrix).sum(-1) / 2
    i, j = np.triu_indices(len(names), 1)
    close = apart[i, j] < least
    if close.all():
        raise ValueError(
            "The observed labels tell nothing of the true ones: all rows of the confusion matrix "
            "are nearly equal. There is nothing to invert."
        )
    if close.any():
        pairs = ", ".join(
            f"{names[a]} and {names[b]}" for a, b in zip(i[close], j[close], strict=True)
        )
        logger.warning("the labels hardly tell apart %s; their sets will be alike", pairs)
