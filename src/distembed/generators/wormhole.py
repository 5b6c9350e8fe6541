r"""The decoder of the Wasserstein Wormhole, a baseline (Haviv et al., 2024, arXiv 2404.09411).

    (x_1, ..., x_k) = g(z),      loss = S_eps(uniform on x_1..x_k, target) / D

g predicts all k atoms at once; S is the debiased Sinkhorn divergence. The atoms are a function of
z: k is part of the model, and no other number of atoms can be drawn. The other half of the method,
an encoder whose squared differences match S between sets, is
`distembed.training.objectives.PairDistances`.

Written from the publication. It differs in two places: the decoder is a multilayer perceptron
instead of a transformer, and no sigmoid restricts its atoms to the range of the training atoms.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from distembed.batch import SetBatch
from distembed.divergences import DIVERGENCES
from distembed.nn.mlp import MLP
from distembed.nn.per_set import moments_per_set
from distembed.nn.precision import reduced
from distembed.protocols import Divergence, GeneratorTraits
from distembed.registry import NamedMember, build

__all__ = ["Wormhole"]


class Wormhole(nn.Module):
    """A fixed number of atoms, decoded all at once.

    Args:
        event_shape: Shape of one atom.
        latent: Dimension L of the embedding.
        width: Width of the network.
        depth: Its number of hidden layers.
        atoms: Number k of atoms.
        divergence: A member of `DIVERGENCES`; the published one is `sinkhorn`.

    Attributes:
        traits: `fixed_size` is k, the only number of atoms that can be drawn.

    Raises:
        ValueError: If `atoms` is below 1 or there is no such divergence.

    Example:
        >>> decoder = Wormhole((2,), latent=4, atoms=8)
        >>> decoder.sample(torch.zeros(3, 4), 8, torch.Generator()).shape
        torch.Size([3, 8, 2])
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
        divergence: NamedMember = "sinkhorn",
    ) -> None:
        super().__init__()
        if atoms < 1:
            raise ValueError(f"atoms = {atoms}; a distribution has at least one atom.")
        self.event_shape, self.atoms = tuple(event_shape), atoms
        self.traits = self.traits_of(atoms)
        self.divergence: Divergence = build(DIVERGENCES, divergence, "divergence")
        dim = math.prod(event_shape)
        self.register_buffer("centre", torch.zeros(dim))
        self.register_buffer("unit", torch.tensor(1.0))
        self.decoder = MLP(latent, atoms * dim, width, depth)
        # a cloud as wide as the data: atoms that start at one place separate slowly
        nn.init.normal_(self.decoder.last.bias)

    @staticmethod
    def traits_of(atoms: int = 64, **_: object) -> GeneratorTraits:
        """Return the traits of a decoder of this many atoms."""
        return GeneratorTraits(fixed_size=atoms)

    def prepare(self, batch: SetBatch, z: Tensor) -> None:
        """Set location and scale of the decoded atoms from training sets."""
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
        k = self.atoms
        if n != k:
            raise ValueError(
                f"The Wormhole decoder cannot draw n = {n} atoms: its network predicts k = {k} "
                f"atoms of each set at once. Draw n = {k}, train a decoder with atoms={n}, or use "
                "generator='flow', which draws any number."
            )
        order = torch.rand(len(z), k, generator=rng, device=z.device).argsort(1)
        atoms = (self.centre + self.unit * self._decode(z)).to(z.dtype)
        shuffled = atoms.gather(1, order.unsqueeze(-1).expand_as(atoms))
        return shuffled.reshape(len(z), k, *self.event_shape)

    def _decode(self, z: Tensor) -> Tensor:
        with reduced(z.device):
            atoms: Tensor = self.decoder(z)
        return atoms.float().view(len(z), self.atoms, -1)
