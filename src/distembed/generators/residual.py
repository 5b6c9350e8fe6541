r"""What a flow and a diffusion both learn: the velocity of residual atoms on a path from noise.

Residual atoms u of the conditional Gaussian base are joined to noise e by a path

    u_t = a(t) e + b(t) u,      v = a'(t) e + b'(t) u,

v its derivative by the path's own parameter. Two bridges:

- `ARC`: e independent of u, $a = \cos(\pi t / 2)$, $b = \sin(\pi t / 2)$. It keeps unit variance:
  where the base is exact, E[v | u_t] is zero, and the network has nothing to learn (Albergo and
  Vanden-Eijnden, 2023, section 3.1).
- `LINE`: e matched to u (`generators.coupling`), $a = 1 - t$, $b = t$. An arc between matched
  points would swing outwards by $\sqrt 2$ and back again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from distembed.batch import SetBatch
from distembed.generators.base import ConditionalGaussian
from distembed.generators.coupling import independent, matched

__all__ = ["ARC", "LINE", "WHOLE", "Bridge", "Share", "residual_loss"]


@dataclass(frozen=True)
class Bridge:
    """How noise and residual atoms are paired and joined.

    Attributes:
        noise: Noise for the atoms of a batch, `(batch, u, rng) -> (N, D)`.
        point: `(a, b)` at a parameter of the path.
        slope: `(a', b')` there.
        length: Range of the parameter, from 0.
    """

    noise: Callable[[SetBatch, Tensor, torch.Generator], Tensor]
    point: Callable[[Tensor], tuple[Tensor, Tensor]]
    slope: Callable[[Tensor], tuple[Tensor, Tensor]]
    length: float


ARC = Bridge(
    noise=independent,
    point=lambda s: (s.cos(), s.sin()),
    slope=lambda s: (-s.sin(), s.cos()),
    length=torch.pi / 2,
)
LINE = Bridge(
    noise=matched,
    point=lambda s: (1 - s, s),
    slope=lambda s: (-torch.ones_like(s), torch.ones_like(s)),
    length=1.0,
)


@dataclass(frozen=True)
class Share:
    """A network that gives c(t) v: the factor c, and 1 over the mean of its square."""

    factor: Callable[[Tensor], Tensor]
    weight: float


WHOLE = Share(torch.ones_like, 1.0)


def residual_loss(
    base: ConditionalGaussian,
    field: Callable[[Tensor, Tensor], Tensor],
    batch: SetBatch,
    z: Tensor,
    rng: torch.Generator,
    bridge: Bridge = ARC,
    share: Share = WHOLE,
) -> Tensor:
    """Score each set: the likelihood of the base, and what a velocity field gains over none.

    Args:
        base: The conditional Gaussian.
        field: Its share c v of the velocity at `(u_t, t)`, `(N, D), (N,) -> (N, D)`.
        batch: The sets.
        z: Their embeddings, `(B, L)`.
        rng: Source of noise and times.
        bridge: Path and pairs.
        share: What the field gives of the velocity.

    Returns:
        `(B,)`; the gain is $(|f - c v|^2 - |c v|^2) / E[c^2]$. The plain error falls where the
        base is too wide and u is small, and validation would choose such a base.
    """
    gaussian = base(z)
    u = gaussian.whiten(batch).detach()
    e = bridge.noise(batch, u, rng)
    t = torch.rand(len(u), generator=rng, device=u.device, dtype=u.dtype)
    s = (bridge.length * t).unsqueeze(1)
    (a, b), (da, db) = bridge.point(s), bridge.slope(s)
    found, wanted = field(a * e + b * u, t), share.factor(s) * (da * e + db * u)
    gain = batch.mean((found * (found - 2 * wanted)).mean(1))
    return base.negative_log_likelihood(batch, gaussian) + share.weight * gain
