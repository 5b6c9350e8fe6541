r"""Variance-preserving diffusion whose last step holds no signal.

With $\alpha_t = \cos(\pi t / 2)$ and $\sigma_t = \sin(\pi t / 2)$,

    x_t = alpha_t x + sigma_t e,      v_t = alpha_t e - sigma_t x,

and a network regresses $v$ on $(x_t, t, z)$ (Salimans and Ho, 2022, section 4). At t = 1 nothing
of x is left, so sampling starts from the distribution that training ended in; a schedule that
keeps some signal shrinks every mean (Lin et al., 2024). Two samplers:

- `ancestral`: the posterior $q(x_s | x_t, \hat x)$ of the process (Ho et al., 2020, eq. 6-7);
- `deterministic`: $x_s = \alpha_s \hat x + \sigma_s \hat e$, DDIM (Song et al., 2021, eq. 12).
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from distembed.batch import SetBatch
from distembed.nn.film import FiLMNet

__all__ = ["Diffusion"]


class Diffusion(nn.Module):
    """Diffusion with velocity prediction.

    Args:
        event_shape: Shape of one atom.
        latent: Dimension L of the embedding.
        width: Width of the network.
        depth: Its number of residual blocks.
        calls: Network calls of a draw.
        sampler: `deterministic` or `ancestral`, which wants some hundred calls.

    Raises:
        ValueError: If `calls` is below 1 or the sampler is unknown.

    Example:
        >>> model = Diffusion((2,), latent=4, calls=4)
        >>> model.sample(torch.zeros(3, 4), 5, torch.Generator()).shape
        torch.Size([3, 5, 2])
    """

    centre: Tensor
    unit: Tensor

    def __init__(
        self,
        event_shape: tuple[int, ...],
        latent: int,
        width: int = 128,
        depth: int = 3,
        calls: int = 32,
        sampler: Literal["deterministic", "ancestral"] = "deterministic",
    ) -> None:
        super().__init__()
        if calls < 1:
            raise ValueError(f"calls = {calls}; a draw takes at least one network call.")
        if sampler not in ("deterministic", "ancestral"):
            raise ValueError(f"sampler is {sampler!r}; there are: 'deterministic', 'ancestral'.")
        self.event_shape, self.calls, self.sampler = tuple(event_shape), calls, sampler
        dim = math.prod(event_shape)
        self.register_buffer("centre", torch.zeros(dim))
        self.register_buffer("unit", torch.tensor(1.0))
        self.field = FiLMNet(dim, latent, width, depth)

    def prepare(self, batch: SetBatch, z: Tensor) -> None:
        """Centre and scale by the atoms of training sets, as the schedule assumes."""
        x = batch.x.flatten(1).double()
        self.centre.copy_(batch.mean(x).mean(0))
        self.unit.copy_(batch.mean((x - self.centre).square()).mean().sqrt().clamp_min(1e-12))

    def loss(self, batch: SetBatch, z: Tensor, rng: torch.Generator) -> Tensor:
        """Score each set by its velocity error, `(B,)`."""
        x = (batch.x.flatten(1) - self.centre) / self.unit
        e = torch.randn(x.shape, generator=rng, device=x.device, dtype=x.dtype)
        t = torch.rand(len(x), generator=rng, device=x.device, dtype=x.dtype)
        angle = (torch.pi / 2 * t).unsqueeze(1)
        noisy, velocity = angle.cos() * x + angle.sin() * e, angle.cos() * e - angle.sin() * x
        error = (self.field(noisy, z, t, batch.expand) - velocity).square().mean(1)
        return batch.mean(error)

    @torch.no_grad()
    def sample(self, z: Tensor, n: int, rng: torch.Generator) -> Tensor:
        """Draw n atoms of each set, `(B, n, *event)`."""
        x = torch.randn(len(z), n, len(self.centre), generator=rng, device=z.device)
        times = torch.linspace(1, 0, self.calls + 1, device=z.device)
        for t, s in zip(times[:-1], times[1:], strict=True):
            a_t, s_t = (torch.pi / 2 * t).cos(), (torch.pi / 2 * t).sin()
            a_s, s_s = (torch.pi / 2 * s).cos(), (torch.pi / 2 * s).sin()
            v = self.field(x, z, t, lambda h: h.unsqueeze(1))
            clean, noise = a_t * x - s_t * v, s_t * x + a_t * v
            if self.sampler == "deterministic":
                x = a_s * clean + s_s * noise
                continue
            ratio = a_t / a_s
            added = s_t.square() - ratio.square() * s_s.square()
            mean = ratio * (s_s / s_t).square() * x + a_s * added / s_t.square() * clean
            fresh = torch.randn(x.shape, generator=rng, device=x.device)
            x = mean + (added.clamp_min(0).sqrt() * s_s / s_t) * fresh
        return (self.centre + self.unit * x).reshape(len(z), n, *self.event_shape)
