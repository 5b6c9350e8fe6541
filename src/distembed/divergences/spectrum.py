r"""The spectrum distance of two sets of sequences: how much their k-mers differ.

    phi_k(x) = c_k(x) / |c_k(x)|,      D_k^2(P, Q) = |E phi_k(X) - E phi_k(Y)|^2,
    D^2 = mean over k of D_k^2,

where c_k(x) are the counts of the k-mers of a sequence, k = 1 to 6 (the normalised spectrum
kernel; Leslie, Eskin and Noble, 2002). Every k has kernel values between 0 and 1, so that none
dominates; a sequence shorter than k has phi_k = 0. With weights u of the atoms of P and v of those
of Q, which sum to one, and means mu = sum u_i phi(x_i) and nu,

    V-statistic   D_k^2 = |mu - nu|^2
    U-statistic   D_k^2 = S(P) + S(Q) - 2 <mu, nu>,
                  S(P) = (|mu|^2 - sum_i u_i^2 |phi(x_i)|^2) / (1 - sum_i u_i^2).

The V-statistic is zero for equal sets, and too large by the noise of a sample. The U-statistic
leaves out the pairs of an atom with itself, and is unbiased: its expectation is zero where laws
have equal spectra, and it may be negative. No k-mer is hashed: means are kept for the k-mers that
occur.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from distembed.batch import SetBatch
from distembed.divergences.pairing import pieces, root
from distembed.nn.kmers import kmers

__all__ = ["SpectrumDistance", "largest_token", "paired_tokens", "unbiased_spectrum"]

_SINGLE = 1e-9  # rounding of the sum of squared weights


@dataclass(frozen=True)
class SpectrumDistance:
    """Distance D of the k-mer spectra of the b-th sets of two batches, from 0 to sqrt(2).

    Args:
        orders: The k that are averaged over.
        unbiased: Return the unbiased estimate of D^2 in place of D, which may be negative.

    Raises:
        ValueError: If there is no k, or one is not positive.

    Example:
        >>> a = SetBatch.from_list([torch.tensor([[1, 1, 1]])])
        >>> b = SetBatch.from_list([torch.tensor([[2, 2, 2]])])
        >>> distance = SpectrumDistance(orders=(1, 2))
        >>> distance(a, a).item(), round(distance(a, b).item() ** 2, 6)
        (0.0, 2.0)
    """

    orders: Sequence[int] = (1, 2, 3, 4, 5, 6)
    unbiased: bool = False

    def __post_init__(self) -> None:
        if not self.orders or min(self.orders) < 1:
            raise ValueError(
                f"orders = {tuple(self.orders)}; they are the k of k-mers, one at least, all "
                "positive."
            )

    def __call__(self, a: SetBatch, b: SetBatch) -> Tensor:
        """Compare set by set, `(B,)` float64: D, or an estimate of D^2.

        Raises:
            ValueError: If atoms are no tokens, or `unbiased` and a set has a single atom.
        """
        paired_tokens(a, b)
        vocab = largest_token(a, b)
        values = [
            torch.stack([self._squared(x, u, y, v, k, vocab, i) for k in self.orders]).mean()
            for i, (x, u, y, v) in enumerate(
                zip(pieces(a, a.x), pieces(a, a.w), pieces(b, b.x), pieces(b, b.w), strict=True)
            )
        ]
        squared = torch.stack(values)
        return squared if self.unbiased else root(squared.clamp_min(0))

    def _squared(
        self, x: Tensor, u: Tensor, y: Tensor, v: Tensor, k: int, vocab: int, index: int
    ) -> Tensor:
        p, q = _normalised(x, u, k, vocab), _normalised(y, v, k, vocab)
        kind, place = torch.cat([p.kmer, q.kmer]).unique(return_inverse=True)
        means = torch.zeros(2, len(kind), dtype=torch.float64, device=x.device)
        means[0].index_add_(0, place[: len(p.kmer)], p.share)
        means[1].index_add_(0, place[len(p.kmer) :], q.share)
        if not self.unbiased:
            squared: Tensor = (means[0] - means[1]).square().sum()
            return squared
        inside = []
        for mean, part in zip(means, (p, q), strict=True):
            if float(part.alone) > 1 - _SINGLE:
                raise ValueError(
                    f"Set {index} has a single atom of positive weight; the unbiased spectrum "
                    "distance averages over pairs of different atoms and needs two. Drop the set, "
                    "or use SpectrumDistance()."
                )
            inside.append((mean.square().sum() - part.itself) / (1 - part.alone))
        unbiased: Tensor = inside[0] + inside[1] - 2 * means[0] @ means[1]
        return unbiased


def unbiased_spectrum(a: SetBatch, b: SetBatch) -> Tensor:
    """Estimate the squared spectrum distance without bias, `(B,)`; it may be negative.

    Raises:
        ValueError: If atoms are no tokens, or a set has a single atom of positive weight.
    """
    return SpectrumDistance(unbiased=True)(a, b)


def paired_tokens(a: SetBatch, b: SetBatch) -> None:
    """Check that the sets of two batches correspond, and that their atoms are tokens.

    Raises:
        ValueError: If the number of sets differs, or atoms are no token sequences.
    """
    for batch in (a, b):
        if batch.x.is_floating_point() or batch.x.ndim != 2:
            raise ValueError(
                f"The atoms are of type {batch.x.dtype} and shape {batch.event_shape}; token "
                "sequences are whole numbers of shape (T,). Distances of other atoms are: energy, "
                "mmd, sliced."
            )
    if len(a) != len(b):
        raise ValueError(
            f"The batches have {len(a)} and {len(b)} sets; set b of one is compared with set b "
            "of the other."
        )


def largest_token(a: SetBatch, b: SetBatch) -> int:
    """Return the largest token of two batches, at least one."""
    return max(1, int(a.x.max()), int(b.x.max()))


@dataclass(frozen=True)
class _Normalised:
    """K-mers of all sequences of a set, and what each adds to the mean of phi.

    `alone` is the sum of the squared weights, `itself` that of u_i^2 |phi(x_i)|^2.
    """

    kmer: Tensor
    share: Tensor
    alone: Tensor
    itself: Tensor


def _normalised(x: Tensor, w: Tensor, k: int, vocab: int) -> _Normalised:
    u = w.double() / w.double().sum()
    number = kmers(x, k, vocab).sort(1).values
    inside = number >= 0
    # a run of r equal numbers has r^2 pairs: 1 + 3 + 5 + ... over the places in the run
    place = torch.arange(number.shape[1], device=x.device).expand_as(number)
    first = number[:, 1:] != number[:, :-1]
    start = pad(first, (1, 0), value=True)
    in_run = place - (place * start).cummax(1).values if number.shape[1] else place
    squared = ((2 * in_run + 1) * inside).sum(1).double()
    weight = u / squared.sqrt().clamp_min(1)
    share = weight[:, None].expand_as(number)[inside]
    itself = (u.square() * (squared > 0)).sum()
    return _Normalised(number[inside], share, u.square().sum(), itself)
