r"""Comparisons of sets of sequences: lengths, columns that vary together, copies, a classifier.

- `length_distance`: W1 of the laws of the lengths, $\int |F(l) - G(l)|\,dl$, in symbols. A plug-in
  distance, too large by the noise of sampling.
- `column_correlation`: for aligned sequences, the Pearson correlation of the connected
  correlations $f_{ij}(a, b) - f_i(a) f_j(b)$ of two sets, over all pairs of columns $i < j$ and of
  symbols. Noise of sampling lowers it, so it is read beside the value of a second sample.
- `copies`: the share of the atoms of one set that occur in another.
- `kmer_accuracy`: the accuracy of the nearest neighbour (`distembed.divergences.c2st`) on shares
  of k-mers, k = 1 to 3.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import one_hot, pad

from distembed.batch import SetBatch
from distembed.divergences.c2st import neighbour_accuracy
from distembed.divergences.pairing import pieces
from distembed.divergences.spectrum import largest_token, paired_tokens
from distembed.nn.kmers import hashed, kmers

__all__ = ["column_correlation", "copies", "kmer_accuracy", "length_distance"]

_COLUMNS = 64  # columns whose pairs are compared: the most variable ones
_BUCKETS = 512  # k-mers of one k that the classifier sees


def length_distance(a: SetBatch, b: SetBatch) -> Tensor:
    """Return W1 between the lengths of the b-th sets of two batches, `(B,)` float64.

    Raises:
        ValueError: If atoms are no tokens.

    Example:
        >>> a = SetBatch.from_list([torch.tensor([[1, 2, 2]])])
        >>> b = SetBatch.from_list([torch.tensor([[1, 0, 0], [1, 2, 2]])])
        >>> length_distance(a, b).item()
        1.0
    """
    paired_tokens(a, b)
    longest = max(a.x.shape[1], b.x.shape[1])
    reach = torch.arange(1, longest + 1, device=a.x.device)
    survival = [
        part.mean(((part.x > 0).sum(1, keepdim=True) >= reach).double()) for part in (a, b)
    ]
    return (survival[0] - survival[1]).abs().sum(1)


def column_correlation(a: SetBatch, b: SetBatch) -> Tensor:
    """Return the correlation of the connected correlations of columns, `(B,)` float64.

    Of more than 64 columns those of the highest variance in the set of `b` are compared. The value
    is NaN where sequences differ in length, or no two columns vary together.

    Raises:
        ValueError: If atoms are no tokens.

    Example:
        >>> a = SetBatch.from_list([torch.tensor([[1, 1], [2, 2], [1, 1], [2, 2]])])
        >>> b = SetBatch.from_list([torch.tensor([[1, 2], [2, 1]])])
        >>> column_correlation(a, a).item(), column_correlation(a, b).item()
        (1.0, -1.0)
    """
    paired_tokens(a, b)
    values = []
    for x, u, y, v in zip(
        pieces(a, a.x), pieces(a, a.w), pieces(b, b.x), pieces(b, b.w), strict=True
    ):
        width = int((y > 0).sum(1).max())
        same = [((part > 0).sum(1) == width).all() for part in (x, y)]
        if width < 2 or not all(same):
            values.append(torch.full((), torch.nan, dtype=torch.float64))
            continue
        vocab = int(max(x.max(), y.max()))
        chosen = _variable_columns(y[:, :width], v, vocab)
        c, d = (_connected(z[:, chosen] - 1, w, vocab) for z, w in ((x, u), (y, v)))
        values.append(_pearson(c, d))
    return torch.stack(values)


def copies(a: SetBatch, b: SetBatch) -> Tensor:
    """Return the share of the sequences of `a` that occur in `b`, set by set, `(B,)` float64.

    Raises:
        ValueError: If atoms are no tokens.

    Example:
        >>> a = SetBatch.from_list([torch.tensor([[1, 2], [2, 2], [1, 1], [1, 0]])])
        >>> b = SetBatch.from_list([torch.tensor([[1, 2, 0], [1, 0, 0]])])
        >>> copies(a, b).item()
        0.5
    """
    paired_tokens(a, b)
    longest = max(a.x.shape[1], b.x.shape[1])
    shares = []
    rows = zip(pieces(a, a.x), pieces(a, a.w), pieces(b, b.x), pieces(b, b.w), strict=True)
    for x, u, y, v in rows:
        both = torch.cat([pad(x, (0, longest - x.shape[1])), pad(y, (0, longest - y.shape[1]))])
        row = both.unique(dim=0, return_inverse=True)[1]
        share = u.double() / u.double().sum()
        # an atom of weight zero is no atom
        shares.append((share * torch.isin(row[: len(x)], row[len(x) :][v > 0])).sum())
    return torch.stack(shares)


def kmer_accuracy(a: SetBatch, b: SetBatch) -> Tensor:
    """Return the accuracy of the nearest neighbour on shares of k-mers, `(B,)`.

    Raises:
        ValueError: If atoms are no tokens, or two sets differ in size or weights.
    """
    paired_tokens(a, b)
    vocab = largest_token(a, b)
    return neighbour_accuracy(a.replace(x=_shares(a.x, vocab)), b.replace(x=_shares(b.x, vocab)))


def _shares(x: Tensor, vocab: int) -> Tensor:
    """Return root shares of k-mers, k = 1 to 3, `(N, F)`: Euclidean distances are Hellinger's."""
    parts = []
    for k in (1, 2, 3):
        number = kmers(x, k, vocab)
        inside = (number >= 0).double()
        size = min(vocab**k, _BUCKETS)
        column = number.clamp_min(0)
        column = column if vocab**k <= _BUCKETS else hashed(column, _BUCKETS)[0]
        count = inside.new_zeros(len(x), size).scatter_add_(1, column, inside)
        parts.append((count / count.sum(1, keepdim=True).clamp_min(1)).sqrt())
    return torch.cat(parts, 1)


def _variable_columns(x: Tensor, w: Tensor, vocab: int) -> Tensor:
    """Return the columns of the highest variance, in their order."""
    u = w.double() / w.double().sum()
    variance = 1 - sum((u @ (x == s).double()).square() for s in range(1, vocab + 1))
    assert isinstance(variance, Tensor)
    # of equal ones the first: a sort that keeps the order
    order = variance.argsort(descending=True, stable=True)
    chosen: Tensor = order[:_COLUMNS].sort().values
    return chosen


def _connected(x: Tensor, w: Tensor, vocab: int) -> Tensor:
    """Return f_ij(a, b) - f_i(a) f_j(b) of all pairs of columns i < j, flat."""
    u = w.double() / w.double().sum()
    h = one_hot(x.long(), vocab).double().flatten(1)
    centred = h - u @ h
    cov = (centred * u[:, None]).T @ centred
    column = torch.arange(x.shape[1], device=x.device).repeat_interleave(vocab)
    return cov[column[:, None] < column]


def _pearson(c: Tensor, d: Tensor) -> Tensor:
    c, d = c - c.mean(), d - d.mean()
    norm = c.norm() * d.norm()
    # covariances of columns that do not vary are rounding
    defined = (c.norm() > 1e-12) & (d.norm() > 1e-12)
    return torch.where(defined, (c @ d) / norm.clamp_min(1e-300), torch.nan)
