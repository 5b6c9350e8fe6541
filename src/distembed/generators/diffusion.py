r"""Variance-preserving diffusion with zero terminal signal, a named setting of `Flow`.

A diffusion noises residual atoms with $\alpha_s = \cos(\pi s / 2)$ and $\sigma_s =
\sin(\pi s / 2)$ and predicts v (Salimans and Ho, 2022, section 4):

    u_s = alpha_s u + sigma_s e,      v_s = alpha_s e - sigma_s u.

With t = 1 - s this is the path of `generators.flow` with time, and so the sign of v, reversed: a
diffusion with v-prediction *is* that flow, with the network $f(u, t) = -v_\theta(u, 1 - t)$. At
s = 1 no signal is left, so sampling starts from the distribution that training ended in; schedules
that keep some signal shrink every mean (Lin et al., 2024).
"""

from __future__ import annotations

from torch import Tensor, nn

from distembed.generators.flow import Flow, flow
from distembed.nn.film import Expand
from distembed.registry import NamedMember

__all__ = ["ReversedTime", "diffusion"]


class ReversedTime(nn.Module):
    """The velocity of the reversed process, $-f(x, z, 1 - t)$.

    Args:
        field: A velocity network f of time from data to noise.
    """

    def __init__(self, field: nn.Module) -> None:
        super().__init__()
        self.field = field

    def forward(self, x: Tensor, z: Tensor, t: Tensor, expand: Expand) -> Tensor:
        """Evaluate the velocity, with the arguments of `nn.film.FiLMNet.forward`."""
        velocity: Tensor = self.field(x, z, 1 - t, expand)
        return -velocity


def diffusion(
    event_shape: tuple[int, ...],
    latent: int,
    width: int = 128,
    depth: int = 3,
    calls: int = 32,
    sampler: str = "heun",
    dropout: float = 0.0,
    guidance: float = 1.0,
    backbone: NamedMember = "mlp",
    base_network: bool = False,
    masked: bool = False,
) -> Flow:
    """Build a diffusion: `generators.flow.flow` with its time reversed and 32 network calls.

    The options are those of `flow`.

    Example:
        >>> import torch
        >>> model = diffusion((2,), latent=4, calls=4)
        >>> model.sample(torch.zeros(3, 4), 5, torch.Generator()).shape
        torch.Size([3, 5, 2])
    """
    model = flow(
        event_shape,
        latent,
        width,
        depth,
        calls,
        sampler,
        dropout,
        guidance,
        backbone,
        base_network,
        masked=masked,
    )
    model.field = ReversedTime(model.field)
    return model
