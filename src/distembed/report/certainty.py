"""How far the vectors of a report can be trusted: a few sentences from their covariances."""

from __future__ import annotations

from collections.abc import Collection as Container
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from distembed.evaluation.coverage import noise_share
from distembed.inference.calibrated import conformal_ratios
from distembed.inference.population.density import UNUSUAL
from distembed.model.engine import FEW_ATOMS

if TYPE_CHECKING:
    from distembed.geometry.distance import Calibration
    from distembed.inference.population.density import Population
    from distembed.model.embeddings import Embeddings

__all__ = ["Finding", "calibration_band", "findings"]

_NAMED = 10
_SETS = 1000


@dataclass(frozen=True)
class Finding:
    """One sentence, and the sets that it is about.

    Attributes:
        title: What it is about.
        text: The sentence.
        ids: Names of sets, the most telling first.
        more: How many further sets are not named.
    """

    title: str
    text: str
    ids: tuple[str, ...] = ()
    more: int = 0


def calibration_band(calibration: Calibration) -> tuple[float, float] | None:
    """Return the 95 % interval of W2 over what is predicted; None of too few held-out pairs."""
    if not calibration.pairs:
        return None
    try:
        return conformal_ratios(calibration.low_ratios, calibration.high_ratios, 0.95)
    except ValueError:
        return None


def findings(
    embeddings: Embeddings,
    population: Population | None,
    seen: Container[str] = (),
) -> tuple[Finding, ...]:
    """Say how much of distances is noise, which sets are unusual, and which have few atoms.

    Args:
        embeddings: Of the sets; without covariances nothing is known.
        population: What the model knows of sets.
        seen: Ids of sets that it was trained on, of which it cannot say how usual they are.
    """
    if embeddings.cov is None:
        return ()
    return tuple(
        finding
        for found in (
            _noise(embeddings),
            _unusual(embeddings, population, seen),
            _few_atoms(embeddings),
        )
        for finding in found
    )


def _noise(embeddings: Embeddings) -> Iterator[Finding]:
    known = np.flatnonzero(np.isfinite(embeddings.covariances).all((1, 2)))
    known = known[:: -(-len(known) // _SETS) or 1]
    share = noise_share(embeddings, known[np.stack(np.triu_indices(len(known), 1), 1)])
    if np.isfinite(share):
        yield Finding(
            "Noise",
            f"{_percent(share)} of the squared distance of two sets is noise of sampling (the "
            "median over pairs); distances of the model have it taken off",
        )


def _unusual(
    embeddings: Embeddings, population: Population | None, seen: Container[str]
) -> Iterator[Finding]:
    if embeddings.p_unusual is None:
        return
    title, ids = "Unlike the training", np.asarray(embeddings.ids).astype(str)
    p = np.where([name in seen for name in ids], np.nan, embeddings.p_unusual)
    judged = int(np.isfinite(p).sum())
    known = sum(map(len, population.scores)) if population is not None else None
    if not judged:
        return
    if known is not None and (known + 1) * UNUSUAL < 1:
        yield Finding(
            title, f"the model knows {known} typical sets, too few for a p-value of {UNUSUAL}"
        )
        return
    order = np.argsort(p, kind="stable")  # NaN comes last
    low = order[: int((p <= UNUSUAL).sum())]
    number = f"{len(low):,}" if len(low) else "none"
    yield Finding(
        title,
        f"{number} of {judged:,} sets {'has' if len(low) == 1 else 'have'} p ≤ {UNUSUAL} of being "
        f"drawn like the sets of the training; chance gives {judged * UNUSUAL:.1f}",
        tuple(ids[low[:_NAMED]].tolist()),
        max(0, len(low) - _NAMED),
    )


def _few_atoms(embeddings: Embeddings) -> Iterator[Finding]:
    few = int((embeddings.effective_sizes < FEW_ATOMS).sum())
    without = int((~np.isfinite(embeddings.covariances).all((1, 2))).sum())
    text = f"every set has {FEW_ATOMS} effective atoms or more"
    if few:
        text = (
            f"{few:,} of {len(embeddings):,} sets {'has' if few == 1 else 'have'} fewer than "
            f"{FEW_ATOMS} effective atoms, and error bars that are known to be too small"
        )
    if without:
        text += f"; {without:,} {'has' if without == 1 else 'have'} none at all"
    yield Finding("Few atoms" if few else "Atoms enough", text)


def _percent(share: float) -> str:
    return f"{100 * share:#.2g} %" if share < 0.1 else f"{100 * share:.0f} %"
