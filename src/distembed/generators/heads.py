r"""Parameters of a likelihood as functions of an embedding.

    h(z) = h_0(z) + r g(z),      x | z ~ likelihood of parameters h(z)

h_0 is a generalised linear model of the parameters that fit each training set by itself
(`distembed.generators.affine`), r is its error, and g a small network for what is not linear.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from distembed.batch import SetBatch
from distembed.generators.affine import AffineParameters
from distembed.generators.likelihoods.base import Likelihood
from distembed.nn.mlp import MLP, shrink
from distembed.nn.precision import reduced

__all__ = ["LikelihoodHeads"]


class LikelihoodHeads(nn.Module):
    """A conditional distribution of flattened atoms with a likelihood by name.

    Args:
        likelihood: The distribution of an atom given its parameters.
        latent: Dimension L of the embedding.
        width: Width of the network.
        depth: Its hidden layers.
        smallest_scale: Smallest residual scale of a parameter: 5 % of odds or of a size, a
            twentieth of a count.

    Example:
        >>> from distembed.generators.likelihoods.counts import Poisson
        >>> heads = LikelihoodHeads(Poisson(3), latent=4, width=8, depth=1)
        >>> heads.sample(torch.zeros(2, 4), 5, torch.Generator()).shape
        torch.Size([2, 5, 3])
    """

    def __init__(
        self,
        likelihood: Likelihood,
        latent: int,
        width: int,
        depth: int,
        smallest_scale: float = 0.05,
    ) -> None:
        super().__init__()
        self.likelihood, self.smallest_scale = likelihood, smallest_scale
        outputs = likelihood.outputs
        self.affine = AffineParameters(likelihood, latent)
        self.network = MLP(latent, outputs, width, depth)
        shrink(self.network.last, 0.01)

    def prepare(self, batch: SetBatch, z: Tensor) -> None:
        """Fit the affine part to training sets and their embeddings `(B, L)`."""
        self.affine.prepare(batch, z)

    def log_prob(self, batch: SetBatch, z: Tensor) -> Tensor:
        """Return log probabilities in nats of all atoms, `(N,)`.

        Raises:
            ValueError: If atoms are not of the kind that the likelihood is for.
        """
        self.likelihood.check(batch.flat[batch.w > 0])
        return self.likelihood.log_prob(batch.flat, batch.expand(self.parameters_of(z)))

    def sample(self, z: Tensor, n: int, rng: torch.Generator) -> Tensor:
        """Draw n atoms of each set, `(B, n, D)`."""
        h = self.parameters_of(z)
        return self.likelihood.sample(h.unsqueeze(1).expand(-1, n, -1), rng).to(z.dtype)

    def parameters_of(self, z: Tensor) -> Tensor:
        """Return the parameters of the likelihood for embeddings `(B, L)`, `(B, P)`."""
        with reduced(z.device):
            outputs = self.network(z)
        scale = self.affine.error.clamp_min(self.smallest_scale)
        h: Tensor = self.affine(z) + outputs.float() * scale
        return h
