r"""Numbers of the k-mers of token sequences.

The k-mer $(a_1, \dots, a_k)$ of tokens 1 to V has the number $\sum_j (a_j - 1) V^{k - j}$, from 0
to $V^k - 1$. A sequence of length l has $l - k + 1$ of them, and none if it is shorter than k.
"""

from __future__ import annotations

from torch import Tensor

__all__ = ["hashed", "kmers"]


def kmers(x: Tensor, k: int, vocab: int) -> Tensor:
    """Number the k-mers of sequences in their order, -1 where a pad is in the way.

    Args:
        x: Tokens, `(N, T)`, pads 0 at the end.
        k: Symbols of a k-mer.
        vocab: Size V of the alphabet.

    Returns:
        `(N, max(0, T - k + 1))` int64.

    Raises:
        ValueError: If there are more k-mers than int64 has numbers.

    Example:
        >>> import torch
        >>> kmers(torch.tensor([[1, 2, 2], [2, 1, 0]]), 2, vocab=2).tolist()
        [[1, 3], [2, -1]]
    """
    if vocab**k > 2**63:
        raise ValueError(
            f"k = {k}: there are {vocab}^{k} k-mers of {vocab} symbols, more than int64 numbers. "
            "Choose a smaller k."
        )
    x = x.long()
    count = max(0, x.shape[1] - k + 1)
    number = x.new_zeros(x.shape[0], count)
    for j in range(k):
        number = number * vocab + x[:, j : j + count] - 1
    # pads come at the end: the last symbol decides
    return number.where(x[:, k - 1 : k - 1 + count] > 0, -1)


def hashed(number: Tensor, buckets: int) -> tuple[Tensor, Tensor]:
    """Hash numbers to buckets and signs, so that inner products stay unbiased.

    The signed buckets are a count sketch (Charikar, Chen and Farach-Colton, 2002).

    Args:
        number: Any shape, from 0 to 2^31.
        buckets: Number of buckets.

    Returns:
        Buckets, int64, and signs 1 and -1, float64.
    """
    mixed = (number * 2654435761 + 12345) % 2147483647
    sign = 1 - 2 * ((mixed // buckets) % 2)
    return mixed % buckets, sign.double()
