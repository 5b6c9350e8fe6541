r"""Conditional flow matching from a conditional Gaussian base (Lipman et al., 2023).

Residual atoms u of the base are joined to independent noise e by the trigonometric interpolant
(Albergo and Vanden-Eijnden, 2023, section 3.1), and a network f regresses its velocity:

    u_t = cos(theta) e + sin(theta) u,      theta = pi t / 2,
    v   = du_t / dtheta = cos(theta) u - sin(theta) e,
    loss = NLL of the base + E (|f(u_t, t, z) - v|^2 - |v|^2) / D.

The path keeps unit variance: where the base is exact, $E[v | u_t]$ is zero, so the network has
nothing to learn and a solver makes no error. $|v|^2$ is subtracted because the plain error falls
where the base is too wide and u is small, and validation would prefer such a base.

**Guidance** (Ho and Salimans, 2022). With probability `dropout` the network is shown a learned
null embedding in place of the z of a set, and so learns the average set; sampling follows
$v_\varnothing + w (v_z - v_\varnothing)$. The base always sees z: location and covariance are
those of the set at any w, and w exaggerates the shape in which the set differs from the average.
"""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn

from distembed.batch import SetBatch
from distembed.generators.base import BaseSettings, ConditionalGaussian, Gaussian
from distembed.generators.image_base import ImageBaseSettings, ImageGaussian
from distembed.generators.incomplete import MeasuredPart, measured_likelihood
from distembed.generators.samplers import SAMPLERS, Sampling, trapezoid
from distembed.generators.score_base import ScoreBaseSettings, ScoreGaussian
from distembed.nn.backbone import backbone as build_backbone
from distembed.protocols import GeneratorTraits
from distembed.registry import NamedMember

__all__ = ["Flow", "flow"]


class Flow(nn.Module):
    """Flow matching of the residual atoms of a Gaussian base.

    Args:
        event_shape: Shape of one atom.
        latent: Dimension L of the embedding.
        width: Width of the velocity network, and of the network of the base if there is one.
        depth: Number of residual blocks of the velocity network.
        backbone: The velocity network, a member of `nn.backbone.BACKBONES`: `mlp`, or `unet` for
            images.
        sampling: Solver, network calls and guidance.
        base: Settings of the Gaussian base: of one for images, or of one for vectors, which is
            without a network if left out.

    Raises:
        ValueError: If there is no such backbone, or it is not defined for the shape.

    Example:
        >>> model = Flow((2,), latent=4)
        >>> model.sample(torch.zeros(3, 4), 5, torch.Generator()).shape
        torch.Size([3, 5, 2])
    """

    def __init__(
        self,
        event_shape: tuple[int, ...],
        latent: int,
        width: int = 128,
        depth: int = 3,
        backbone: NamedMember = "mlp",
        sampling: Sampling | None = None,
        base: BaseSettings | ImageBaseSettings | ScoreBaseSettings | None = None,
    ) -> None:
        super().__init__()
        self.event_shape, self.sampling = tuple(event_shape), sampling or Sampling()
        self.traits = GeneratorTraits(masked=base is None or isinstance(base, BaseSettings))
        base, dim = base or BaseSettings(network=False), math.prod(event_shape)
        self.base: ConditionalGaussian | ImageGaussian | ScoreGaussian
        if isinstance(base, ImageBaseSettings):
            self.base = ImageGaussian(dim, latent, base)
        elif isinstance(base, ScoreBaseSettings):
            self.base = ScoreGaussian(dim, latent, base)
        else:
            self.base = ConditionalGaussian(dim, latent, width, base)
        self.field = build_backbone(backbone, self.event_shape, latent, width, depth)
        # as far from the embeddings of sets as they are from each other
        self.null = nn.Parameter(torch.randn(latent)) if self.sampling.dropout else None

    def prepare(self, batch: SetBatch, z: Tensor) -> None:
        """Fit the base to the moments of training sets."""
        self.base.prepare(batch, z)

    def widen(self, batch: SetBatch, z: Tensor) -> None:
        """Widen the base by the error of predictions from few atoms."""
        self.base.widen(batch, z)

    def loss(self, batch: SetBatch, z: Tensor, rng: torch.Generator) -> Tensor:
        """Score each set: likelihood of the base, and the gain of the velocity field, `(B,)`."""
        condition = self._drop(z, rng)
        gaussian = self.base(z)
        measured = None
        if batch.observed is None:
            u = gaussian.whiten(batch).detach()
        else:
            measured = MeasuredPart(batch, cast(Gaussian, gaussian))
            u = measured.complete(_normal_like(batch.mask, rng))
        e = self.base.noise(_normal_like(u, rng))
        t = torch.rand(len(u), generator=rng, device=u.device, dtype=u.dtype)
        angle = (torch.pi / 2 * t).unsqueeze(1)
        cos, sin = angle.cos(), angle.sin()
        velocity = cos * u - sin * e
        field = self.field(cos * e + sin * u, condition, t, batch.expand)
        error = field - 2 * velocity
        if measured is None:
            gain = batch.mean((field * error).mean(1))
            return self.base.negative_log_likelihood(batch, gaussian) + gain
        gain = batch.mean((field * measured.project(error)).sum(1)) / batch.mean(batch.mask.sum(1))
        unit = cast(ConditionalGaussian, self.base).unit
        return measured_likelihood(batch, cast(Gaussian, gaussian), unit) + gain

    @torch.no_grad()
    def sample(self, z: Tensor, n: int, rng: torch.Generator) -> Tensor:
        """Draw n atoms of each set, `(B, n, *event)`."""
        gaussian = self.base(z)
        e = torch.randn(len(z), n, math.prod(self.event_shape), generator=rng, device=z.device)
        e = self.base.noise(e)
        solver = SAMPLERS[self.sampling.sampler]
        u = solver(lambda u, t: self._velocity(u, z, t), e, self.sampling.calls, rng)
        atoms: Tensor = gaussian.colour(u)
        return atoms.reshape(len(z), n, *self.event_shape)

    @torch.no_grad()
    def transport(self, x: Tensor, z_from: Tensor, z_to: Tensor, steps: int = 32) -> Tensor:
        """Map atoms to their noise at one embedding, and the noise to atoms at another.

        Both ways integrate the velocity by Heun's method, whatever the sampler.

        Args:
            x: Atoms of each set, `(B, n, *event)`.
            z_from: Embeddings of their distributions, `(B, L)`.
            z_to: Embeddings of the distributions that they are moved to, `(B, L)`.
            steps: Steps of the solver each way; the error falls with their square.

        Returns:
            `(B, n, *event)`.
        """
        u = self.base(z_from).residuals(x.flatten(2))
        e = trapezoid(lambda u, t: self._velocity(u, z_from, t), u, steps, backward=True)
        u = trapezoid(lambda u, t: self._velocity(u, z_to, t), e, steps)
        atoms: Tensor = self.base(z_to).colour(u)
        return atoms.reshape(x.shape)

    def _drop(self, z: Tensor, rng: torch.Generator) -> Tensor:
        """Replace the embeddings of random sets by the null embedding, in training."""
        # validation scores what is drawn without guidance
        if self.null is None or not self.training:
            return z
        dropped = torch.rand(len(z), 1, generator=rng, device=z.device) < self.sampling.dropout
        return torch.where(dropped, self.null.to(z), z)

    def _velocity(self, u: Tensor, z: Tensor, t: Tensor) -> Tensor:
        """Evaluate the guided velocity of `(B, n, D)` atoms at a scalar t."""
        velocity: Tensor = self.field(u, z, t, _over_atoms)
        if self.null is not None and self.sampling.guidance != 1:
            average = self.field(u, self.null.to(z).expand_as(z), t, _over_atoms)
            velocity = average + self.sampling.guidance * (velocity - average)
        return velocity


def flow(
    event_shape: tuple[int, ...],
    latent: int,
    width: int = 128,
    depth: int = 3,
    calls: int = 16,
    sampler: str = "heun",
    dropout: float = 0.0,
    guidance: float = 1.0,
    backbone: NamedMember = "mlp",
    base_network: bool = False,
    scale: str = "auto",
    masked: bool = False,
) -> Flow:
    """Build a `Flow` from plain options, the default generator.

    Args:
        event_shape: Shape of one atom.
        latent: Dimension L of the embedding.
        width: Width of the networks.
        depth: Number of residual blocks of the velocity network.
        calls: Network calls of a draw; guidance doubles them.
        sampler: `heun`, `ddim` or `ancestral`.
        dropout: Probability that a set is shown without its embedding in training.
        guidance: Weight of classifier-free guidance; 1 is without guidance.
        backbone: The velocity network: `mlp`, or `unet` for images.
        base_network: Train a network beside the ridge regression of the base. No effect of it was
            measured (docs/benchmarks.md, ablation).
        scale: Scale on which the base is Gaussian, where it has no network: `plain`; `scores`,
            normal scores of each feature; or `auto`, the one that draws training sets better
            (`distembed.generators.score_base`).
        masked: Whether values may be missing: the scale is then plain.

    Raises:
        ValueError: If a name is unknown or a number is out of range.

    Example:
        >>> flow((2,), latent=4, sampler="ddim", calls=20).sampling.calls
        20
    """
    if base_network and scale == "scores":
        raise ValueError(
            "scale='scores' is for a base without a network, and base_network is True. Leave one "
            "of them out."
        )
    if masked and scale == "scores":
        raise ValueError(
            "scale='scores' reads complete atoms, and values may be missing. Leave scale out."
        )
    base: BaseSettings | ScoreBaseSettings = BaseSettings(network=base_network)
    if not masked and not base_network:
        base = ScoreBaseSettings(scale)
    sampling = Sampling(sampler, calls, guidance, dropout)
    return Flow(event_shape, latent, width, depth, backbone, sampling, base)


def _normal_like(x: Tensor, rng: torch.Generator) -> Tensor:
    return torch.randn(x.shape, generator=rng, device=x.device, dtype=x.dtype)


def _over_atoms(rows: Tensor) -> Tensor:
    return rows.unsqueeze(1)
