r"""The exact Wasserstein distance of two weighted sets.

    W_2^2 = min over couplings p of sum_{ij} p_ij |x_i - y_j|^2.

The coupling is found by POT's network simplex; at most n + m - 1 of its entries are positive. For
two sets of one size with equal weights, an optimal coupling is a permutation (Birkhoff), and the
assignment solver of SciPy is faster. The cost is then summed over the entries in the coordinates
themselves: accurate where the matrix of squared distances cancels, zero for equal sets, and
differentiable in the atoms by the envelope theorem. On one core, two sets of 32 atoms take about
0.2 ms (0.4 ms if their weights differ), of 100 atoms 1 ms (2 ms), of 500 atoms 45 ms (55 ms).
`pairwise_w2` takes another distance of atoms, as sequences have, in the place of |x_i - y_j|.

| Computational optimal transport (Peyre, Cuturi, 2019), section 3.5
| POT: Python Optimal Transport (Flamary et al., 2021)
| On implementing 2D rectangular assignment algorithms (Crouse, 2016)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from distembed.batch import SetBatch
from distembed.divergences.pairing import aligned, pieces, root

__all__ = ["Distance", "ExactW2", "Plan", "optimal_plan", "pairwise_w2"]

Distance = Callable[[Tensor, Tensor], Tensor]
"""A distance of atoms, `(N, *event), (M, *event) -> (N, M)`."""

T = TypeVar("T")

_ITERATIONS = 10_000_000
_NUMBERS = 2**22  # coordinates of matched atoms held at a time, so that memory stays bounded


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


def pairwise_w2(
    batch: SetBatch,
    pairs: Tensor,
    threads: int | None = None,
    distance: Distance | None = None,
) -> Tensor:
    """Return W2 between pairs of sets of one batch.

    Args:
        batch: The sets.
        pairs: Indices of two sets each, `(P, 2)`.
        threads: Problems solved at the same time; as many as torch has threads by default.
        distance: The distance of two atoms; Euclidean if left out.

    Returns:
        `(P,)`, in the type of the atoms; in float64 if a distance is given.

    Raises:
        ValueError: If the solver did not converge.
        ValueError: If `pairs` has another shape.
    """
    if pairs.ndim != 2 or pairs.shape[1] != 2:
        raise ValueError(f"pairs has shape {tuple(pairs.shape)}; expected (P, 2).")
    rows = [(i, j) for i, j in pairs.tolist()]
    if distance is None:
        return _distances(batch, batch, rows, threads)
    return _distances_by(distance, batch, rows, threads)


class _Points(NamedTuple):
    x: np.ndarray
    w: np.ndarray


class Plan(NamedTuple):
    """Positive entries of a coupling."""

    rows: np.ndarray
    columns: np.ndarray
    mass: np.ndarray


def _distances(
    a: SetBatch, b: SetBatch, pairs: Sequence[tuple[int, int]], threads: int | None
) -> Tensor:
    dtype = aligned(a, b)
    x, y = a.flat.to(dtype), b.flat.to(dtype)
    squared = [x.new_zeros(0)]
    if pairs:
        plans = _plans(_points(a), _points(b), pairs, threads or torch.get_num_threads())
        numbers = np.cumsum([x.shape[1] * len(plan.mass) for plan in plans])
        for group in np.split(
            np.arange(len(pairs)), np.flatnonzero(np.diff(numbers // _NUMBERS)) + 1
        ):
            shifted = [
                Plan(p.rows + int(a.offsets[i]), p.columns + int(b.offsets[j]), p.mass)
                for p, (i, j) in ((plans[k], pairs[k]) for k in group)
            ]
            squared.append(_transport_costs(x, y, shifted))
    return root(torch.cat(squared))


def _distances_by(
    distance: Distance, batch: SetBatch, pairs: Sequence[tuple[int, int]], threads: int | None
) -> Tensor:
    """Return W2 under a distance of atoms, `(P,)`, float64."""
    atoms, weights = pieces(batch, batch.x.detach()), _weights(batch)

    def squared(i: int, j: int) -> float:
        cost = distance(atoms[i], atoms[j]).double().square().cpu().numpy()
        plan = optimal_plan(weights[i], weights[j], cost)
        return float(plan.mass @ cost[plan.rows, plan.columns])

    costs = _solve(squared, pairs, threads or torch.get_num_threads())
    return root(torch.tensor(costs, dtype=torch.float64))


def _transport_costs(x: Tensor, y: Tensor, plans: Sequence[Plan]) -> Tensor:
    """Sum squared distances over couplings of rows of x and y, `(P,)`."""
    rows, columns, mass = (
        torch.from_numpy(np.concatenate(parts)).to(x.device) for parts in zip(*plans, strict=True)
    )
    offsets = torch.tensor([0, *np.cumsum([len(plan.mass) for plan in plans])], device=x.device)
    cost = (x[rows] - y[columns]).square().sum(1)
    return SetBatch(cost, mass, offsets).mean(cost)


def _plans(
    left: Sequence[_Points],
    right: Sequence[_Points],
    pairs: Sequence[tuple[int, int]],
    threads: int,
) -> list[Plan]:
    """Solve the transport problem of each pair."""
    return _solve(lambda i, j: _optimal_plan(left[i], right[j]), pairs, threads)


def _solve(
    problem: Callable[[int, int], T], pairs: Sequence[tuple[int, int]], threads: int
) -> list[T]:
    """Solve a problem for each pair, several at the same time."""

    def solve(part: Sequence[tuple[int, int]]) -> list[T]:
        return [problem(i, j) for i, j in part]

    if threads == 1 or len(pairs) <= 1:
        return solve(pairs)
    size = -(-len(pairs) // (8 * threads))
    parts = [pairs[k : k + size] for k in range(0, len(pairs), size)]
    # the solvers release the GIL, so threads are enough
    with ThreadPoolExecutor(threads) as pool:
        return [solution for part in pool.map(solve, parts) for solution in part]


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
    if len(u) == len(v) and (u == u[0]).all() and (v == v[0]).all():
        from scipy.optimize import linear_sum_assignment

        rows, columns = linear_sum_assignment(cost)
        return Plan(rows, columns, u)
    from ot.lp import emd

    plan, log = emd(u, v, cost, numItermax=iterations, log=True)
    if log["result_code"] != 1:
        raise ValueError(
            f"The exact optimal transport of {len(u)} and {len(v)} atoms did not converge: "
            f"{log['warning']}. Compare subsamples, or use the sliced distance."
        )
    rows, columns = plan.nonzero()
    return Plan(rows, columns, plan[rows, columns])


def _points(batch: SetBatch) -> list[_Points]:
    """Return the atoms and the normalised weights of each set, on the CPU in float64."""
    atoms = (x.numpy() for x in pieces(batch, _float64(batch.flat)))
    return [_Points(x, w) for x, w in zip(atoms, _weights(batch), strict=True)]


def _weights(batch: SetBatch) -> list[np.ndarray]:
    """Return the normalised weights of each set, in float64."""
    return [(w / w.sum()).numpy() for w in pieces(batch, _float64(batch.w))]


def _float64(t: Tensor) -> Tensor:
    return t.detach().cpu().double()
