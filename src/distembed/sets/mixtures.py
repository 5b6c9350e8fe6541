r"""Sparse mixtures of sets, with exact proportions.

A k-sparse mixture of sets $P_1 .. P_S$ is $\sum_c \pi_c P_c$ over k of them, with
$\pi \sim Dirichlet(\alpha)$. Its $n_c \ge 1$ atoms of component c weigh $\pi_c / n_c$ each, so
that its proportions are $\pi$ itself and not the frequencies of a draw. From components of unequal
weights, as those of kernels, atom i is drawn $n_c w_i$ times on average, at equal steps through
the weights (Madow, 1949).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from distembed.rng import Rng, as_generator
from distembed.sets.collection import Sets
from distembed.sets.construct import normalised
from distembed.sets.draw import ranks, without_replacement
from distembed.sets.recipe import recipe_of

__all__ = ["mixtures"]


def mixtures(
    sets: Sets,
    n: int,
    k: int,
    *,
    alpha: float = 1.0,
    size: tuple[int, int] = (64, 256),
    rng: Rng = 0,
    name: str = "mixture",
) -> Sets:
    """Construct n mixtures of k sets each, with exact Dirichlet proportions.

    Atoms are drawn without replacement inside a component as far as it has as many; from weighted
    components in proportion to their weights.

    Args:
        sets: The components.
        n: Number of mixtures.
        k: Components of each, chosen without replacement.
        alpha: Concentration of the Dirichlet distribution.
        size: Least and greatest number of atoms, drawn uniformly.
        rng: Source of every draw.
        name: Mixtures are called name0, name1, ...

    Returns:
        Weighted sets over the same observations. A column of metadata `weight_<id>` for every
        component holds its proportion, zero where it is absent.

    Raises:
        ValueError: If there are fewer than k components, a mixture may have fewer than k atoms, or
            a number is not positive.

    Example:
        >>> from distembed.data.observations import Observations
        >>> from distembed.sets.construct import by_label
        >>> obs = Observations(np.arange(6.0)[:, None], {"c": np.array(list("aabbcc"))})
        >>> mixed = mixtures(by_label(obs, "c"), n=5, k=2, size=(4, 4))
        >>> total = sum(mixed.meta.values())
        >>> len(mixed), bool(np.allclose(total, 1))
        (5, True)
    """
    _check(sets, n, k, alpha, size)
    generator = as_generator(rng)
    draw = np.random.default_rng(int(torch.randint(2**62, (), generator=generator)))
    part = without_replacement(np.full(n, len(sets)), np.full(n, k), generator).reshape(n, k)
    share = draw.dirichlet(np.full(k, alpha), n)
    counts = _apportioned(share, draw.integers(size[0], size[1] + 1, n))
    group = np.repeat(np.arange(n * k), counts.ravel())
    if sets.w is None:
        places = _places(sets.sizes[part.ravel()], counts.ravel(), generator, draw)
        positions = sets.offsets[part.ravel()][group] + places
    else:
        bounds = sets.offsets[part.ravel()], sets.offsets[part.ravel() + 1]
        positions = _weighted(np.asarray(sets.w), *bounds, counts.ravel(), draw)
    proportions = np.zeros((n, len(sets)))
    np.put_along_axis(proportions, part, share, axis=1)
    offsets = np.concatenate([[0], counts.sum(1).cumsum()])
    columns = zip(sets.ids, proportions.T, strict=True)
    return replace(
        sets,
        rows=sets.rows[positions],
        offsets=offsets,
        ids=np.array([f"{name}{i}" for i in range(n)]),
        w=normalised((share / counts).ravel()[group], offsets),
        meta={f"weight_{component}": column for component, column in columns},
        group=None,
        recipe=recipe_of("mixtures", {"n": n, "k": k, "alpha": alpha, "size": size})
        + (f" of {sets.recipe}" if sets.recipe else ""),
    )


def _check(sets: Sets, n: int, k: int, alpha: float, size: tuple[int, int]) -> None:
    """Raise a ValueError if the numbers of a mixture are invalid."""
    low, high = size
    if not 1 <= k <= len(sets) or not k <= low <= high or n < 1 or not alpha > 0:
        raise ValueError(
            f"n = {n}, k = {k}, size = {size} and alpha = {alpha} with {len(sets)} components: "
            "needed are 1 <= k <= components, k <= size[0] <= size[1], n >= 1 and alpha > 0."
        )


def _places(
    sizes: np.ndarray, counts: np.ndarray, rng: torch.Generator, draw: np.random.Generator
) -> np.ndarray:
    """Draw `counts[g]` positions below `sizes[g]` for each component g of a mixture.

    Positions are different as long as there are as many; the others are repeated at random.
    """
    distinct = np.minimum(sizes, counts)
    group, rank = np.repeat(np.arange(len(sizes)), counts), ranks(counts)
    places: np.ndarray = (draw.random(len(group)) * sizes[group]).astype(np.int64)
    places[rank < distinct[group]] = without_replacement(sizes, distinct, rng)
    return places


def _weighted(
    w: np.ndarray,
    first: np.ndarray,
    last: np.ndarray,
    counts: np.ndarray,
    draw: np.random.Generator,
) -> np.ndarray:
    """Draw `counts[g]` positions in `first[g]` to `last[g]` at equal steps through the weights."""
    total = np.concatenate([[0], w.cumsum()])
    group, rank = np.repeat(np.arange(len(counts)), counts), ranks(counts)
    step = (rank + draw.random(len(counts))[group]) / counts[group]
    point = total[first][group] + step * (total[last] - total[first])[group]
    hit = np.searchsorted(total, point, side="right") - 1
    places: np.ndarray = np.clip(hit, first[group], last[group] - 1)
    return places


def _apportioned(share: np.ndarray, m: np.ndarray) -> np.ndarray:
    """Assign each of k components one atom, and the others by largest remainders."""
    k = share.shape[1]
    exact = share * (m - k)[:, None]
    counts = np.floor(exact).astype(np.int64)
    remainder = m - k - counts.sum(1)
    place = np.argsort(np.argsort(counts - exact, axis=1), axis=1)
    total: np.ndarray = 1 + counts + (place < remainder[:, None])
    return total
