r"""A set encoder on features of atoms: sets of images, of sequences, of anything.

    z(P) = T(h_# P),     h = (phi - c) / s,     h_# P the distribution of h(x) for x from P

phi is a point encoder, which sees one atom and nothing else, and T is any encoder of this package.
The centre c and the scale s are fixed before training: an untrained phi is nearly constant over
images (deviations of 0.01 around 0.2), and T is made for atoms of deviation one. The set that is
pushed forward has the same weights, so the composition obeys every law that T obeys, streams in as
many passes (features are computed anew in each), and has a normal limit where T has.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from distembed.batch import SetBatch
from distembed.encoders import ENCODERS
from distembed.encoders.points import POINT_ENCODERS
from distembed.encoders.statistics import Stages
from distembed.nn.precision import reduced
from distembed.nn.tokens import length_buckets
from distembed.protocols import EncoderTraits, PreparedEncoder, encoder_traits
from distembed.registry import NamedMember, build, split_member

__all__ = ["Composed"]

_REFUSED = {
    "composed": "which would take features of features. Use a deeper point encoder, and name "
    "another set encoder, such as deepsets.",
    "closed_form": "whose scales would be fitted to the W2 of features that training moves. "
    "Correct it instead: {'name': 'residual', 'network': {'name': 'composed', ...}}.",
    "joined": "which belongs outside: {'name': 'joined', 'parts': [{'name': 'composed', ...}, "
    "...]}.",
    "residual": "which belongs outside: {'name': 'residual', 'network': {'name': 'composed', "
    "...}}.",
}


class Composed(nn.Module):
    """Features of each atom by a point encoder, and an encoder of their distribution.

    Args:
        event_shape: Shape of one atom.
        latent: Dimension L of the embedding.
        point: A member of `distembed.encoders.points`.
        sets: A member of `distembed.encoders`.
        width: Number of features of an atom.
        vocab: Size of the alphabet, where atoms are tokens.
        alphabet: The symbols of the tokens.
        atom_kind: The kind of atoms, for which the point encoder has to be defined; any where left
            out.

    Raises:
        ValueError: If a name or an option is unknown, or the point encoder can not take the shape.

    Example:
        >>> batch = SetBatch.from_list([torch.rand(5, 1, 28, 28), torch.rand(2, 1, 28, 28)])
        >>> Composed((1, 28, 28), latent=4, point="conv2d")(batch).shape
        torch.Size([2, 4])
    """

    centre: Tensor
    scale: Tensor

    def __init__(
        self,
        event_shape: tuple[int, ...],
        latent: int,
        point: NamedMember = "mlp",
        sets: NamedMember = "deepsets",
        width: int = 64,
        vocab: int | None = None,
        alphabet: str | None = None,
        atom_kind: str | None = None,
    ) -> None:
        super().__init__()
        name, _ = split_member(sets, "encoder", ENCODERS)
        if name in _REFUSED:
            raise ValueError(f"sets is {name!r}, {_REFUSED[name]}")
        self.latent = latent
        # Numbers, and atoms, that go through the point encoder at once. Memory holds many times
        # as many numbers; fused attention on CUDA takes fewer than 2^16 sequences (pytorch issue
        # 142228).
        self.numbers_at_once, self.atoms_at_once = 2**20, 2**15
        # tokens, pads included, above which sequences are divided by their length
        self.tokens_at_once = 2**14
        facts = {"vocab": vocab, "alphabet": alphabet, "atom_kind": atom_kind}
        self.point: nn.Module = build(
            POINT_ENCODERS, point, "point encoder", event_shape, width, facts=facts
        )
        self.register_buffer("centre", torch.zeros(width))
        self.register_buffer("scale", torch.tensor(1.0))
        self.sets: Any = build(ENCODERS, sets, "encoder", (width,), latent)

    @property
    def traits(self) -> EncoderTraits:
        """Those of the set encoder; features carry no signal before training."""
        return replace(encoder_traits(self.sets), informed=0)

    @torch.no_grad()
    def prepare(self, batch: SetBatch) -> None:
        """Fix centre and scale from the features of training sets, and prepare the set encoder."""
        self.centre.zero_()
        self.scale.fill_(1)
        h = self.features(batch).x
        self.centre.copy_(batch.mean(h).mean(0))
        spread = batch.mean((h - self.centre).square()).mean().sqrt()
        # features that are all alike have no scale
        self.scale.copy_(torch.where(spread > 1e-6, spread, 1))
        if isinstance(self.sets, PreparedEncoder):
            self.sets.prepare(self.features(batch))

    def features(self, batch: SetBatch) -> SetBatch:
        """Return the same sets with features `(N, width)` for atoms."""
        rows = max(1, min(self.atoms_at_once, self.numbers_at_once // max(1, batch.x[:1].numel())))
        dtype = next(self.point.parameters()).dtype
        tokens = not batch.x.is_floating_point()
        with reduced(batch.x.device):
            if tokens and batch.x.numel() > self.tokens_at_once:
                order = length_buckets(batch.x, rows)
                parts = [self.point(batch.x[part]).to(dtype) for part in order]
                h = torch.cat(parts)[torch.cat(order).argsort()]
            else:
                h = torch.cat([self.point(x).to(dtype) for x in batch.x.split(rows)])
        return batch.replace(x=(h - self.centre) / self.scale)

    def forward(self, batch: SetBatch) -> Tensor:
        """Embed each set, `(B, L)`."""
        z: Tensor = self.sets(self.features(batch))
        return z

    def stages(self, batch: SetBatch) -> Stages[Tensor]:
        """Request what the set encoder requests of the features, and return its z."""
        z: Tensor = yield from self.sets.stages(self.features(batch))
        return z
