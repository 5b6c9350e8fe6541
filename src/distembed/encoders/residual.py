r"""A trained correction of an encoder that is solved in closed form.

    z = z_0 + u N([z_0 / u, h])

z_0 are the coordinates of an encoder without trained parameters, the closed form by default, and h
those of a trained one. The last layer of the network N is zero at first, so training starts at
z_0, and every coordinate may move. u is the root of the mean variance of a coordinate of z_0 over
training sets, which makes the network's inputs and the size of its correction independent of the
units. An eighth of the coordinates are zero in z_0, and left to the correction alone.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from distembed.batch import SetBatch
from distembed.encoders import ENCODERS
from distembed.encoders.joined import BoundedEncoder
from distembed.encoders.statistics import Stages, run, side_by_side
from distembed.nn.mlp import MLP, shrink
from distembed.protocols import EncoderTraits, PreparedEncoder, encoder_traits
from distembed.registry import NamedMember, build, lookup, split_member

__all__ = ["Residual"]


class Residual(nn.Module):
    """An encoder in closed form, and a network that corrects it.

    Args:
        event_shape: Shape of one atom.
        latent: Dimension L of the embedding.
        start: The encoder that is corrected, a member of `ENCODERS` without trained parameters.
        network: The encoder that the correction reads beside it, a member of `ENCODERS`.
        atom_kind: The kind of atoms, for which both have to be defined; any where left out.
        vocab: Size of the alphabet, where atoms are tokens.
        alphabet: The symbols of the tokens.
        aligned: Whether the positions of sequences correspond.
        masked: Whether sets may have missing values.

    Raises:
        ValueError: If a member is unknown, or the start has trained parameters.

    Example:
        >>> batch = SetBatch.from_list([torch.randn(5, 2), torch.randn(3, 2)])
        >>> encoder = Residual((2,), 32)
        >>> start, correction = encoder.parts(batch)
        >>> bool((encoder(batch) == start).all()), bool((correction == 0).all())
        (True, True)
    """

    start_unit: Tensor

    def __init__(
        self,
        event_shape: tuple[int, ...],
        latent: int,
        start: NamedMember = "closed_form",
        network: NamedMember = "deepsets",
        atom_kind: str | None = None,
        vocab: int | None = None,
        alphabet: str | None = None,
        aligned: bool | None = None,
        masked: bool | None = None,
    ) -> None:
        super().__init__()
        self.latent = latent
        tokens = {"vocab": vocab, "alphabet": alphabet, "aligned": aligned}
        facts = {"atom_kind": atom_kind, "masked": masked, **tokens}
        size = latent - latent // 8
        name = split_member(start, "encoder", ENCODERS)[0]
        kind: Any = lookup(ENCODERS, name, "encoder")
        if isinstance(kind, BoundedEncoder):
            size = min(size, kind.capacity(event_shape))
        self.start: Any = build(ENCODERS, start, "encoder", event_shape, size, facts=facts)
        if any(True for _ in self.start.parameters()):
            raise ValueError(
                f"start is {name!r}, which has trained parameters. Start from an encoder without "
                "any, such as 'closed_form' or 'moments', and name the trained one as `network`."
            )
        self.network: Any = build(ENCODERS, network, "encoder", event_shape, latent, facts=facts)
        self.correction = MLP(size + latent, latent, 4 * latent)
        shrink(self.correction.last, 0.0)
        self.register_buffer("start_unit", torch.tensor(1.0))

    @property
    def unit(self) -> Tensor:
        """Root of the mean variance of a coordinate of the start, over training sets."""
        return self.start_unit

    @property
    def traits(self) -> EncoderTraits:
        """What holds for both parts; the coordinates of the start carry signal from the start."""
        both = [encoder_traits(part) for part in (self.start, self.network)]
        passes = [t.passes for t in both]
        return EncoderTraits(
            None if None in passes else max(p for p in passes if p is not None),
            all(t.normal for t in both),
            all(t.smooth for t in both),
            self.start.latent,
            masked=all(t.masked for t in both),
        )

    @torch.no_grad()
    def prepare(self, batch: SetBatch) -> None:
        """Prepare both parts, and measure the unit."""
        for part in (self.start, self.network):
            if isinstance(part, PreparedEncoder):
                part.prepare(batch)
        variance = self.start(batch).var(0, unbiased=False).mean()
        # sets that are all alike have no unit
        self.start_unit.copy_(torch.where(variance > 1e-12, variance.sqrt(), 1))

    def forward(self, batch: SetBatch) -> Tensor:
        """Embed each set, `(B, L)`."""
        batch = batch.without_empty()
        return run(self.stages(batch), batch)

    def parts(self, batch: SetBatch) -> tuple[Tensor, Tensor]:
        """Return the start and the correction, `(B, L)` each; their sum is z."""
        batch = batch.without_empty()
        return run(self._parts(batch), batch)

    def stages(self, batch: SetBatch) -> Stages[Tensor]:
        """Request in each pass what both parts request; return z."""
        start, correction = yield from self._parts(batch)
        return start + correction

    def _parts(self, batch: SetBatch) -> Stages[tuple[Tensor, Tensor]]:
        both = (self.start.stages(batch), self.network.stages(batch))
        start, h = yield from side_by_side(both)
        start = start.to(h.dtype)
        correction = self.start_unit * self.correction(torch.cat([start / self.start_unit, h], 1))
        return functional.pad(start, (0, self.latent - start.shape[1])), correction
