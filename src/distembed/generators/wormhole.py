r"""The decoder of the Wasserstein Wormhole, a baseline (Haviv et al., 2024, arXiv 2404.09411).

    (x_1, ..., x_k) = g(z),      loss = S_eps(uniform on x_1..x_k, target)

g gives all k atoms at once; S is the debiased Sinkhorn divergence. The atoms are a function of z:
k is part of the model, and another number cannot be drawn. The other half of the method, an
encoder whose mean squared differences match S between sets, is
`distembed.training.objectives.PairDistances`.

Written from the publication. Ours differs in two places: the decoder is a multilayer perceptron
where theirs is a transformer, and no sigmoid ties its atoms to the range of the training atoms.
"""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn

from distembed.batch import SetBatch
from distembed.divergences import DIVERGENCES
from distembed.nn.mlp import MLP
from distembed.nn.per_set import moments_per_set
from distembed.nn.precision import reduced
from distembed.protocols import Divergence
from distembed.registry import build

__all__ = ["Wormhole"]


class Wormhole(nn.Module):
    """A fixed number of atoms, decoded all at once.

    Args:
        event_shape: Shape of one atom.
        latent: Dimension L of the embedding.
        width: Width of the network.
        depth: Its number of hidden layers.
        atoms: Number k of atoms.
        divergence: Name of a member of `DIVERGENCES`; the published one is `sinkhorn`.

    Attributes:
        fixed_size: k, the only number of atoms that `sample` can draw.

    Raises:
        ValueError: If `atoms` is below 1 or there is no such divergence.
    """

    centre: Tensor
    unit: Tensor

    def __init__(
        self,
        event_shape: tuple[int, ...],
        latent: int,
        width: int = 128,
        depth: int = 2,
        atoms: int = 64,
        divergence: str = "sinkhorn",
    ) -> None:
        super().__init__()
        if atoms < 1:
            raise ValueError(f"atoms = {atoms}; a distribution needs at least one atom.")
        self.event_shape, self.fixed_size = tuple(event_shape), atoms
        self.divergence = cast(Divergence, build(DIVERGENCES, divergence, "divergence"))
        dim = math.prod(event_shape)
        self.register_buffer("centre", torch.zeros(dim))
        self.register_buffer("unit", torch.tensor(1.0))
        self.decoder = MLP(latent, atoms * dim, width, depth)
        # before training, a cloud as wide as the data: atoms that start together part slowly
        nn.init.normal_(cast(nn.Linear, self.decoder[-1]).bias)

    def prepare(self, batch: SetBatch, z: Tensor) -> None:
        """Take location and scale of the decoded atoms from training sets."""
        mean, cov = moments_per_set(batch)
        self.centre.copy_(mean.mean(0))
        spread = cov.diagonal(dim1=1, dim2=2).mean() + mean.var(0, unbiased=False).mean()
        self.unit.copy_(spread.sqrt().clamp_min(1e-6))

    def loss(self, batch: SetBatch, z: Tensor, rng: torch.Generator) -> Tensor:
        """Score each set: its divergence from the decoded atoms, `(B,)`; `rng` is not used."""
        target = batch.replace(x=(batch.flat - self.centre) / self.unit)
        decoded = SetBatch.from_dense(self._decode(z))
        return self.divergence(decoded, target) / len(self.centre)

    @torch.no_grad()
    def sample(self, z: Tensor, n: int, rng: torch.Generator) -> Tensor:
        """Return the atoms of each set in random order, `(B, k, *event)`.

        Raises:
            ValueError: If n is not k.
        """
        k = self.fixed_size
        if n != k:
            raise ValueError(
                f"The Wormhole decoder cannot draw n = {n} atoms: its network gives k = {k} atoms "
                f"of each set all at once, and there is no distribution to draw others from. Ask "
                f"for n = {k}, train one with atoms={n}, or use generator='flow', which draws any "
                "number."
            )
        order = torch.rand(len(z), k, generator=rng, device=z.device).argsort(1)
        drawn = (self.centre + self.unit * self._decode(z)).to(z.dtype)
        shuffled = drawn.gather(1, order.unsqueeze(-1).expand_as(drawn))
        return shuffled.reshape(len(z), k, *self.event_shape)

    def _decode(self, z: Tensor) -> Tensor:
        with reduced(z.device):
            atoms: Tensor = self.decoder(z)
        return atoms.float().view(len(z), self.fixed_size, -1)
