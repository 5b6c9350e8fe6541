"""Embed sets that arrive in pieces: exact to rounding, in memory that does not grow with them.

An encoder of k passes reads a set k times. In each pass every chunk gives a state, states of
disjoint chunks merge in any order (over chunks, threads or ranks), and the merged state is carried
to the next pass:

    carry = ()
    for _ in range(encoder.traits.passes):
        carry = finish(merge(accumulate(encoder, chunk, carry) for chunk in chunks()), carry)
    z = result(encoder, chunk, carry)

States of *different* sets, each read on its own, merge into the state of their union only where
there is one pass. With more, a later pass has looked at the atoms through values that belong to
one set, and no rule repairs that: the data have to be read again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import reduce
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from distembed.batch import SetBatch
from distembed.encoders.statistics import Stages, Statistic, Value
from distembed.protocols import EncoderTraits

__all__ = [
    "Carry",
    "State",
    "StreamedEncoder",
    "accumulate",
    "embed_chunks",
    "finish",
    "merge",
    "require_streaming",
    "result",
]

Carry = tuple[tuple[Value, ...], ...]
"""The values of every pass that is done."""


@runtime_checkable
class StreamedEncoder(Protocol):
    """An encoder that states what it requests of the atoms, pass by pass."""

    @property
    def traits(self) -> EncoderTraits:
        """Its `passes` are None where no number of passes is enough."""

    def stages(self, batch: SetBatch) -> Stages[Tensor]:
        """Yield the statistics of each pass, be sent their values, return z `(B, L)`."""


@dataclass(frozen=True)
class State:
    """Statistics of a part of the atoms of B sets, in one pass.

    Attributes:
        mass: Weight of those atoms, `(B,)`.
        statistics: How the values merge.
        values: The values of the statistics, in float64.
        dtypes: The types in which the encoder requests them.
        carry: The passes before, which the values depend on.
    """

    mass: Tensor
    statistics: tuple[type[Statistic], ...]
    values: tuple[Value, ...]
    dtypes: tuple[tuple[torch.dtype, ...], ...]
    carry: Carry


def accumulate(encoder: StreamedEncoder, chunk: SetBatch, carry: Carry = ()) -> State:
    """Read a chunk of each set once; its weights are fractions of the whole set.

    Raises:
        ValueError: If the encoder cannot stream, or all its passes are done.
    """
    require_streaming(encoder)
    stages = encoder.stages(chunk)
    try:
        request = next(stages)
        for values in carry:
            request = stages.send(values)
    except StopIteration:
        raise ValueError(f"All {len(carry)} passes are done; call result().") from None
    results = [statistic.of(chunk) for statistic in request]
    values = tuple(tuple(v.double() for v in value) for value in results)
    dtypes = tuple(tuple(v.dtype for v in value) for value in results)
    return State(chunk.mass, tuple(type(s) for s in request), values, dtypes, carry)


def merge(states: Iterable[State]) -> State:
    """Put the states of disjoint chunks together.

    Raises:
        ValueError: If there is none, or they do not come from the same passes before.
    """
    rest = iter(states)
    first = next(rest, None)
    if first is None:
        raise ValueError(
            "There is no chunk to read in this pass. A function of chunks is called once a pass, "
            "and returns them anew each time."
        )
    return reduce(_merge, rest, first)


def finish(state: State) -> Carry:
    """Return what the next pass needs."""
    values = tuple(
        tuple(v.to(dtype) for v, dtype in zip(value, dtypes, strict=True))
        for value, dtypes in zip(state.values, state.dtypes, strict=True)
    )
    return (*state.carry, values)


def result(encoder: StreamedEncoder, chunk: SetBatch, carry: Carry) -> Tensor:
    """Return z `(B, L)` after the last pass; any chunk of the sets will do."""
    stages = encoder.stages(chunk)
    try:
        next(stages)
        for values in carry:
            stages.send(values)
    except StopIteration as stop:
        z: Tensor = stop.value
        return z
    raise ValueError(f"{len(carry)} passes are done, and the encoder asks for more.")


@torch.no_grad()
def embed_chunks(
    encoder: StreamedEncoder,
    chunks: Callable[[], Iterable[SetBatch]],
    merge: Callable[[Iterable[State]], State] = merge,
) -> Tensor:
    """Embed sets from chunks that can be read again, `(B, L)`.

    Args:
        encoder: An encoder that streams.
        chunks: Called once a pass; every chunk holds some atoms of each of the same B sets, with
            weights that are fractions of the set.
        merge: Puts the states of a pass together, those of other processes included.

    Raises:
        ValueError: If the encoder cannot stream or there is no chunk.

    Example:
        >>> from distembed.encoders.kernel import KernelMean
        >>> whole = SetBatch.from_list([[[0.0], [2.0], [5.0]]])
        >>> cut = lambda i, j: SetBatch(whole.x[i:j], whole.w[i:j], torch.tensor([0, j - i]))
        >>> pieces = [cut(0, 1), cut(1, 3)]
        >>> encoder = KernelMean((1,), 4)
        >>> torch.allclose(embed_chunks(encoder, lambda: pieces), encoder(whole))
        True
    """
    require_streaming(encoder)
    carry: Carry = ()
    for _ in range(encoder.traits.passes or 0):
        carry = finish(merge(accumulate(encoder, chunk, carry) for chunk in chunks()))
    for chunk in chunks():
        return result(encoder, chunk, carry)
    raise ValueError(
        "There is no chunk to read in the last pass; `chunks` is called once a pass, and returns "
        "them anew each time."
    )


def require_streaming(encoder: object) -> None:
    """Raise where an encoder has to see all atoms of a set at once.

    Raises:
        ValueError: If it has no number of passes.
    """
    if not isinstance(encoder, StreamedEncoder) or encoder.traits.passes is None:
        raise ValueError(
            f"{type(encoder).__name__} cannot stream: it has to see all atoms of a set at once "
            "(a median, or attention between all pairs). Embed a subsample, or use an encoder "
            "that states its passes, such as deepsets with mean pooling."
        )


def _merge(a: State, b: State) -> State:
    if not _same(a.carry, b.carry):
        raise ValueError(
            f"The states come from different passes ({len(a.carry)} and {len(b.carry)} before "
            "them), or of different sets. Only an encoder of one pass can merge the states of two "
            "sets; read the data of both again."
        )
    mass = a.mass + b.mass
    p = b.mass / mass
    values = tuple(
        tuple(_select(u, v, m, p) for u, v, m in zip(x, y, statistic.merge(x, y, p), strict=True))
        for statistic, x, y in zip(a.statistics, a.values, b.values, strict=True)
    )
    return State(mass, a.statistics, values, a.dtypes, a.carry)


def _select(a: Tensor, b: Tensor, merged: Tensor, p: Tensor) -> Tensor:
    """Take the one part that has mass where the other has none, and a value that is not finite."""
    p = p.reshape(-1, *[1] * (a.ndim - 1))
    return torch.where(p == 0, a, torch.where(p == 1, b, merged))


def _same(a: Carry, b: Carry) -> bool:
    if a is b:
        return True
    one, two = ([t for values in c for v in values for t in v] for c in (a, b))
    return len(one) == len(two) and all(map(torch.equal, one, two))
