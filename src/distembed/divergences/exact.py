r"""The exact Wasserstein distance of two weighted sets, a linear programme.

    W_2^2 = min over couplings p of sum_{ij} p_ij |x_i - y_j|^2.

POT's network simplex finds the coupling; at most n + m - 1 of its entries are positive. The cost
is then summed over these in the coordinates themselves: accurate where the matrix of squared
distances cancels, zero for equal sets, and differentiable in the atoms by the envelope theorem.
Two sets of 100 atoms take about 2 ms and two of 500 about 80 ms, on one core.

| Computational optimal transport (Peyre, Cuturi, 2019), section 3.5
| POT: Python Optimal Transport (Flamary et al., 2021)
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from distembed.batch import SetBatch
from distembed.divergences.pairing import aligned, pieces, root

__all__ = ["ExactW2", "Plan", "optimal_plan", "pairwise_w2"]

_ITERATIONS = 10_000_000


@dataclass(frozen=True)
class ExactW2:
    """W2 between the b-th sets of two batches.

    Args:
        threads: Problems solved at the same time; as many as torch has threads by default.

    Example:
        >>> a = SetBatch.from_list([[[0.0], [1.0]]])
        >>> b = SetBatch.from_list([[[2.0], [3.0], [2.0], [3.0]]])
        >>> ExactW2()(a, b).item()
        2.0
    """

    threads: int | None = None

    def __call__(self, a: SetBatch, b: SetBatch) -> Tensor:
        """Compare set by set, `(B,)`, in the type of the atoms."""
        return _distances(a, b, [(i, i) for i in range(len(a))], self.threads)


def pairwise_w2(batch: SetBatch, pairs: Tensor, threads: int | None = None) -> Tensor:
    """Return W2 between pairs of sets of one batch.

    Args:
        batch: The sets.
        pairs: Indices of two sets each, `(P, 2)`.
        threads: Problems solved at the same time; as many as torch has threads by default.

    Returns:
        `(P,)`, in the type of the atoms.

    Raises:
        ValueError: If the solver did not converge.
        ValueError: If `pairs` has another shape.
    """
    if pairs.ndim != 2 or pairs.shape[1] != 2:
        raise ValueError(f"pairs has shape {tuple(pairs.shape)}; expected (P, 2).")
    return _distances(batch, batch, [(int(i), int(j)) for i, j in pairs], threads)


class _Points(NamedTuple):
    x: np.ndarray
    w: np.ndarray


class Plan(NamedTuple):
    """Positive entries of a coupling."""

    rows: np.ndarray
    columns: np.ndarray
    mass: np.ndarray


def _distances(
    a: SetBatch, b: SetBatch, pairs: list[tuple[int, int]], threads: int | None
) -> Tensor:
    dtype = aligned(a, b)
    xs, ys = (pieces(s, s.x.flatten(1).to(dtype)) for s in (a, b))
    left, right = _points(xs, a), _points(ys, b)

    def plan(pair: tuple[int, int]) -> Plan:
        return _optimal_plan(left[pair[0]], right[pair[1]])

    # the solver releases the GIL, so threads are enough
    with ThreadPoolExecutor(threads or torch.get_num_threads()) as pool:
        plans = list(pool.map(plan, pairs))
    squared = [a.x.new_zeros((0,), dtype=dtype)]
    for (i, j), (rows, columns, mass) in zip(pairs, plans, strict=True):
        gap = xs[i][rows] - ys[j][columns]
        squared.append((torch.as_tensor(mass).to(gap) @ gap.square()).sum()[None])
    return root(torch.cat(squared))


def _optimal_plan(a: _Points, b: _Points, iterations: int = _ITERATIONS) -> Plan:
    """Return the positive entries of an optimal coupling."""
    centre = a.x.mean(0)
    x, y = a.x - centre, b.x - centre
    cost = (x**2).sum(1)[:, None] + (y**2).sum(1) - 2 * x @ y.T
    return optimal_plan(a.w, b.w, cost, iterations)


def optimal_plan(
    u: np.ndarray, v: np.ndarray, cost: np.ndarray, iterations: int = _ITERATIONS
) -> Plan:
    """Return the positive entries of the coupling of weights u and v of the least cost.

    Raises:
        ValueError: If the solver did not converge.
    """
    from ot.lp import emd

    plan, log = emd(u, v, cost, numItermax=iterations, log=True)
    if log["result_code"] != 1:
        raise ValueError(
            f"The exact optimal transport of {len(u)} and {len(v)} atoms did not converge: "
            f"{log['warning']}. Compare subsamples, or use the sliced distance."
        )
    rows, columns = plan.nonzero()
    return Plan(rows, columns, plan[rows, columns])


def _points(atoms: list[Tensor], batch: SetBatch) -> list[_Points]:
    weights = [_float64(w) for w in pieces(batch, batch.w)]
    return [_Points(_float64(x), w / w.sum()) for x, w in zip(atoms, weights, strict=True)]


def _float64(t: Tensor) -> np.ndarray:
    array: np.ndarray = t.detach().cpu().double().numpy()
    return array
