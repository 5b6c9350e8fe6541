r"""The maximum mean discrepancy under Gaussian kernels of several bandwidths.

    MMD^2(P, Q) = E k(X, X') + E k(Y, Y') - 2 E k(X, Y),
    k(x, y)     = mean over bandwidths s of exp(-|x - y|^2 / (2 s^2)).

Over all pairs of atoms, a point with itself included, this V-statistic is the squared distance of
two kernel means: never negative, and biased upwards by the noise of a sample. Its root is a metric
where the bandwidths are fixed. Without the pairs of a point with itself the U-statistic is an
unbiased estimate of MMD^2, which is negative about half of the time where P = Q.

The median rule counts bandwidths in medians of |x - y| over pairs of an atom of each set.

| A kernel two-sample test (Gretton et al., 2012), Lemma 6
| A note on the median heuristic: Large sample analysis of the median heuristic
  (Garreau, Jitkrittum, Kanagawa, 2018)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from distembed.batch import SetBatch
from distembed.divergences.pairing import Points, aligned, expected, points, root
from distembed.divergences.sliced import directions

__all__ = ["MMD", "median_distance"]

_MEDIAN_ATOMS = 512
_TIE = 1e-9  # a level that half of the pairs reach up to rounding is shared by two of them


@dataclass(frozen=True)
class MMD:
    """Maximum mean discrepancy between the b-th sets of two batches; differentiable.

    Args:
        bandwidths: Deviations of the kernels; multiples of the median distance with `relative`.
        relative: Whether bandwidths follow the sets (the median passes no gradient), so that units
            do not matter: the value then does not change when both sets grow in proportion.
        unbiased: Return the unbiased estimate of the *squared* MMD, which may be negative, in
            place of the MMD. It describes samples and not distributions: duplicating atoms changes
            it, and each set needs two atoms of positive weight. Weights may differ if they do not
            depend on the atoms, and bandwidths must not either: use `relative=False`.

    Raises:
        ValueError: If there is no bandwidth or one is not positive.

    Example:
        >>> a = SetBatch.from_list([[[0.0]]])
        >>> b = SetBatch.from_list([[[1.0]]])
        >>> far = MMD((1e-3,), relative=False)  # the kernel means of far points are orthogonal
        >>> round(far(a, b).square().item(), 6)
        2.0
    """

    bandwidths: Sequence[float] = (0.25, 0.5, 1.0, 2.0)
    relative: bool = True
    unbiased: bool = False

    def __post_init__(self) -> None:
        if not self.bandwidths or not all(s > 0 for s in self.bandwidths):
            raise ValueError(
                f"bandwidths = {tuple(self.bandwidths)}; at least one, all positive, are needed."
            )

    def __call__(self, a: SetBatch, b: SetBatch) -> Tensor:
        """Compare set by set, `(B,)`, in the type of the atoms: the MMD, or an estimate of MMD^2.

        Raises:
            ValueError: If `unbiased` and a set has a single atom.
        """
        dtype = aligned(a, b)
        pairs = zip(points(a), points(b), strict=True)
        squared = torch.stack([self._squared(p, q, i) for i, (p, q) in enumerate(pairs)])
        return (squared if self.unbiased else root(squared)).to(dtype)

    def _squared(self, p: Points, q: Points, index: int) -> Tensor:
        unit = median_distance(p, q) if self.relative else p.x.new_ones(())
        inside = [self._kernel(s, s, unit) for s in (p, q)]
        if self.unbiased:
            alone = [s.w.square().sum() for s in (p, q)]
            if any(float(c.detach()) > 1 - _TIE for c in alone):
                raise ValueError(
                    f"Set {index} has a single atom of positive weight; the unbiased estimate "
                    "compares different atoms of a set, so it needs two. Drop the set, or use "
                    "MMD(unbiased=False)."
                )
            # the kernel of an atom with itself is one
            inside = [(k - c) / (1 - c) for k, c in zip(inside, alone, strict=True)]
        return inside[0] + inside[1] - 2 * self._kernel(p, q, unit)

    def _kernel(self, p: Points, q: Points, unit: Tensor) -> Tensor:
        rates = [1 / (2 * (s * unit) ** 2) for s in self.bandwidths]

        def kernel(distance: Tensor) -> Tensor:
            squared = distance.square()
            return torch.stack([torch.exp(-rate * squared) for rate in rates]).mean(0)

        return expected(kernel, p, q)


@torch.no_grad()
def median_distance(p: Points, q: Points) -> Tensor:
    """Return the weighted median of |x - y| over pairs, a number that passes no gradient.

    Where half of the pairs coincide it is the root mean square, and one where all do. More than
    512 atoms are represented by 512 at equal steps of their weight along a fixed direction.
    """
    p, q = _thinned(p), _thinned(q)
    distance, order = torch.cdist(p.x, q.x).flatten().sort()
    mass = torch.outer(p.w, q.w).flatten()[order].cumsum(0)
    levels = mass.new_tensor([0.5 - _TIE, 0.5 + _TIE]) * mass[-1]
    median = distance[torch.searchsorted(mass, levels)].mean()
    spread = expected(torch.square, p, q).sqrt()
    usual = torch.where(median > 0, median, spread)
    return torch.where(usual > 0, usual, 1)


def _thinned(p: Points) -> Points:
    if len(p.x) <= _MEDIAN_ATOMS:
        return p
    order = (p.x @ directions(p.x.shape[1], 1, 0).to(p.x))[:, 0].argsort()
    cdf = p.w[order].cumsum(0)
    level = (torch.arange(_MEDIAN_ATOMS, device=cdf.device) + 0.5) / _MEDIAN_ATOMS
    rows = order[torch.searchsorted(cdf, level.to(cdf) * cdf[-1])]
    return Points(p.x[rows], torch.full_like(p.w[rows], 1 / len(rows)))
