r"""Mergeable statistics of a set: what an encoder can request of one pass over the atoms.

A statistic has a value for every set, and a rule that gives the value of a union from the values
of two parts whose shares of the mass are $1 - p$ and $p$ (Chan, Golub and LeVeque, 1979, for
moments; Milakov and Gimelshein, 2018, for the softmax):

    mean             m  = m_a + p (m_b - m_a)
    covariance       C  = (1 - p) C_a + p C_b + p (1 - p) (m_b - m_a)(m_b - m_a)^T
    log-mean-exp     l  = log((1 - p) exp l_a + p exp l_b)
    softmax average  v  = v_a + q (v_b - v_a),   q = p exp(l_b - l)

An encoder that needs nothing else can read a set in pieces. It states what it needs by
`stages(batch)`, a coroutine that yields the statistics of one pass, is sent their values, and
returns z. `run` sends the values over a whole batch; `distembed.encoders.streaming` sends those
merged from chunks, so that both are the same lines of code.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from distembed.batch import SetBatch
from distembed.nn.per_set import moments_per_set

__all__ = [
    "Attend",
    "Covariance",
    "LogMeanExp",
    "Mean",
    "Stages",
    "Statistic",
    "Value",
    "Variance",
    "run",
    "side_by_side",
]

Value = tuple[Tensor, ...]
"""The value of a statistic for every set, tensors `(B, ...)`."""


class Statistic(Protocol):
    """A value for every set, and how values of parts make that of their union."""

    def of(self, batch: SetBatch) -> Value:
        """Return the value over the atoms of each set."""

    @staticmethod
    def merge(a: Value, b: Value, p: Tensor) -> Value:
        """Return the value of the union, of which `b` has the share p `(B,)` of the mass."""


R = TypeVar("R")
Stages = Generator[tuple[Statistic, ...], tuple[Value, ...], R]
"""Yields the statistics of each pass, is sent their values, and returns a result."""


def run(stages: Stages[R], batch: SetBatch) -> R:
    """Compute the statistics of every pass on a whole batch, and return the result."""
    try:
        request = next(stages)
        while True:
            request = stages.send(tuple(statistic.of(batch) for statistic in request))
    except StopIteration as stop:
        result: R = stop.value
        return result


def side_by_side(coroutines: Sequence[Stages[R]]) -> Stages[list[R]]:
    """Request in each pass what several coroutines request, once where two request the same.

    Returns:
        Their results, in their order.
    """
    results: dict[int, R] = {}
    running = dict(enumerate(coroutines))
    values: dict[int, Any] = dict.fromkeys(running)
    while running:
        requests: dict[int, tuple[Statistic, ...]] = {}
        for k, stages in list(running.items()):
            try:
                requests[k] = stages.send(values[k])
            except StopIteration as stop:
                results[k] = stop.value
                del running[k]
        if not requests:
            break
        unique = {_key(s): s for request in requests.values() for s in request}
        answers = dict(zip(unique, (yield tuple(unique.values())), strict=True))
        values = {k: tuple(answers[_key(s)] for s in r) for k, r in requests.items()}
    return [results[k] for k in range(len(results))]


def _key(statistic: Statistic) -> tuple[Any, ...]:
    """Two statistics of one kind over the same tensors are the same."""
    return type(statistic), *(id(value) for value in vars(statistic).values())


@dataclass(frozen=True)
class Mean:
    """The mean of each column of `h (N, *H)`: `(B, *H)`."""

    h: Tensor

    def of(self, batch: SetBatch) -> Value:
        """Return the means."""
        return (batch.mean(self.h),)

    @staticmethod
    def merge(a: Value, b: Value, p: Tensor) -> Value:
        """Return the means of the union."""
        return (torch.lerp(a[0], b[0], _like(p, a[0])),)


@dataclass(frozen=True)
class Variance:
    """Mean and variance of each column of `h (N, H)`: `(B, H)` and `(B, H)`."""

    h: Tensor

    def of(self, batch: SetBatch) -> Value:
        """Return means and variances."""
        mean = batch.mean(self.h)
        return mean, batch.mean((self.h - batch.expand(mean.to(self.h.dtype))).square())

    @staticmethod
    def merge(a: Value, b: Value, p: Tensor) -> Value:
        """Return means and variances of the union."""
        p, gap = _like(p, a[0]), b[0] - a[0]
        return a[0] + p * gap, torch.lerp(a[1], b[1], p) + p * (1 - p) * gap.square()


@dataclass(frozen=True)
class Covariance:
    """Mean and covariance of the rows of `h (N, D)`, in float64: `(B, D)` and `(B, D, D)`."""

    h: Tensor

    def of(self, batch: SetBatch) -> Value:
        """Return means and covariances."""
        return moments_per_set(batch, self.h)

    @staticmethod
    def merge(a: Value, b: Value, p: Tensor) -> Value:
        """Return means and covariances of the union."""
        gap = b[0] - a[0]
        between = gap.unsqueeze(2) * gap.unsqueeze(1)
        wide = _like(p, a[1])
        cov = torch.lerp(a[1], b[1], wide) + wide * (1 - wide) * between
        return a[0] + _like(p, gap) * gap, cov


@dataclass(frozen=True)
class LogMeanExp:
    """The logarithm of the mean of `exp h` of each column of `h (N, H)`: `(B, H)`."""

    h: Tensor

    def of(self, batch: SetBatch) -> Value:
        """Return log-mean-exps."""
        index = batch.owner.unsqueeze(1).expand_as(self.h)
        values = self.h.detach().masked_fill(batch.w.unsqueeze(1) == 0, -torch.inf)
        top = values.new_full((batch.count, self.h.shape[1]), -torch.inf)
        top = top.scatter_reduce(0, index, values, "amax").clamp_min(torch.finfo(top.dtype).min)
        # an atom of weight zero may lie above the top, and infinity times zero is not a number
        shifted = (self.h - batch.expand(top)).clamp_max(0)
        return (batch.mean(shifted.exp()).log() + top,)

    @staticmethod
    def merge(a: Value, b: Value, p: Tensor) -> Value:
        """Return log-mean-exps of the union."""
        return (_log_mix(a[0], b[0], p),)


@dataclass(frozen=True)
class Attend:
    r"""Softmax averages $\sum_i w_i e^{q^\top k_i} v_i / \sum_i w_i e^{q^\top k_i}$.

    Queries `(B, heads, I, K)`, keys and values `(N, heads, K)` and `(N, heads, V)`: the average
    `(B, heads, I, V)` and the log-mean-exp of the logits `(B, heads, I)`.
    """

    queries: Tensor
    keys: Tensor
    values: Tensor

    def of(self, batch: SetBatch) -> Value:
        """Return averages and log-mean-exps."""
        keys, log_w = batch.dense(self.keys)
        values, _ = batch.dense(self.values)
        logits = self.queries @ keys.permute(0, 2, 3, 1) + log_w.to(keys.dtype)[:, None, None]
        top = logits.detach().amax(-1, keepdim=True).clamp_min(torch.finfo(logits.dtype).min)
        weight = (logits - top).exp()
        total = weight.sum(-1, keepdim=True)
        average = weight @ values.transpose(1, 2) / total
        mass = batch.mass.to(total.dtype)[:, None, None]
        return average, (total.log() + top).squeeze(-1) - mass.log()

    @staticmethod
    def merge(a: Value, b: Value, p: Tensor) -> Value:
        """Return averages and log-mean-exps of the union."""
        log = _log_mix(a[1], b[1], p)
        q = _like(p, log) * (b[1] - log).exp()
        return torch.lerp(a[0], b[0], q.unsqueeze(-1)), log


def _log_mix(a: Tensor, b: Tensor, p: Tensor) -> Tensor:
    p = _like(p, a)
    return torch.logaddexp(a + torch.log1p(-p), b + p.log())


def _like(p: Tensor, other: Tensor) -> Tensor:
    """Give `p (B,)` the dimensions and type of another tensor."""
    return p.to(other.dtype).reshape(-1, *[1] * (other.ndim - 1))
