r"""Concatenation of encoders: z = [z_1, ..., z_K], each part an encoder of the same sets.

All parts read the atoms in the same passes, so that the whole streams in as many passes as its
longest part. A part may state how many coordinates it can fill at most (`capacity`); it gets no
more, and leaves at least an eighth of the coordinates to the parts after it, which share what is
left equally.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from distembed.batch import SetBatch
from distembed.encoders import ENCODERS
from distembed.encoders.statistics import Stages, run, side_by_side
from distembed.protocols import EncoderTraits, PreparedEncoder, encoder_traits
from distembed.registry import NamedMember, build, lookup, split_member

__all__ = ["BoundedEncoder", "Joined"]


@runtime_checkable
class BoundedEncoder(Protocol):
    """A class of encoders that can fill a limited number of coordinates."""

    @staticmethod
    def capacity(event_shape: tuple[int, ...]) -> int:
        """Return the most coordinates that it can fill."""


class Joined(nn.Module):
    """Several encoders whose embeddings are concatenated.

    Args:
        event_shape: Shape of one atom.
        latent: Dimension L of the embedding.
        parts: Members of `ENCODERS`, in the order of their coordinates.
        vocab: Size of the alphabet, where atoms are tokens.
        alphabet: The symbols of the tokens.
        aligned: Whether the positions of sequences correspond.
        atom_kind: The kind of atoms, for which each part has to be defined; any where left out.

    Raises:
        ValueError: If there are more parts than coordinates, or a part is unknown.

    Example:
        >>> batch = SetBatch.from_list([torch.randn(5, 2), torch.randn(3, 2)])
        >>> Joined((2,), 32, ["closed_form", "deepsets"])(batch).shape
        torch.Size([2, 32])
    """

    def __init__(
        self,
        event_shape: tuple[int, ...],
        latent: int,
        parts: Sequence[NamedMember] = ("closed_form", "deepsets"),
        vocab: int | None = None,
        alphabet: str | None = None,
        aligned: bool | None = None,
        atom_kind: str | None = None,
    ) -> None:
        super().__init__()
        self.latent = latent
        tokens = {"vocab": vocab, "alphabet": alphabet, "aligned": aligned}
        facts = {"atom_kind": atom_kind, **tokens}
        self.parts = nn.ModuleList(
            build(ENCODERS, part, "encoder", event_shape, size, facts=facts)
            for part, size in zip(parts, _sizes(event_shape, latent, parts), strict=True)
            if size
        )

    @property
    def traits(self) -> EncoderTraits:
        """What holds for every part; the first coordinates of noise end the informed ones."""
        traits = [encoder_traits(part) for part in self.parts]
        passes = [t.passes for t in traits]
        informed = 0
        for part, t in zip(self._each(), traits, strict=True):
            informed += t.informed
            if t.informed < part.latent:
                break
        return EncoderTraits(
            None if None in passes else max(p for p in passes if p is not None),
            all(t.normal for t in traits),
            all(t.smooth for t in traits),
            informed,
        )

    def prepare(self, batch: SetBatch) -> None:
        """Prepare each part that looks at training sets."""
        for part in self.parts:
            if isinstance(part, PreparedEncoder):
                part.prepare(batch)

    def forward(self, batch: SetBatch) -> Tensor:
        """Embed each set, `(B, L)`."""
        return run(self.stages(batch), batch)

    def stages(self, batch: SetBatch) -> Stages[Tensor]:
        """Request in each pass what the parts request; return z."""
        z = yield from side_by_side([part.stages(batch) for part in self._each()])
        return torch.cat([part.to(z[-1].dtype) for part in z], 1)

    def _each(self) -> Iterator[Any]:
        return iter(self.parts)


def _sizes(event_shape: tuple[int, ...], latent: int, parts: Sequence[NamedMember]) -> list[int]:
    """Share the coordinates out among the parts; a bounded part may be left with none."""
    if not parts:
        raise ValueError("There are no parts to join; name at least one encoder.")
    sizes: list[int] = []
    for k, part in enumerate(parts):
        left, others = latent - sum(sizes), len(parts) - k - 1
        if not others:
            sizes.append(left)
            continue
        kind: Any = lookup(ENCODERS, split_member(part, "encoder", ENCODERS)[0], "encoder")
        if isinstance(kind, BoundedEncoder):
            size = min(kind.capacity(event_shape), 7 * left // 8)
        else:
            size = left // (others + 1)
            if not size:
                raise ValueError(
                    f"{len(parts)} parts have to share latent = {latent} coordinates; each needs "
                    "at least one. Raise latent, or name fewer parts."
                )
        sizes.append(size)
    return sizes
