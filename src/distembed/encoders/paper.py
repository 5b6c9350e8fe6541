r"""The fully connected encoders of the GDE paper (arXiv 2505.18150, appendix A).

    h_0 = MLP(x)
    h_k = layer(h_{k-1}, pool h_{k-1})            k = 1..depth
    z   = W E h

The pooled value is concatenated to every atom, in three forms: plain, with medians inside, and
residual with a normalisation after the sum ("ResNet-GNN"). Depth and widths are the paper's, with
SiLU for SELU. One thing is left out on purpose: the SELU on the embedding, which bounds z from
below and bends the distances that are read from it.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from distembed.batch import SetBatch
from distembed.encoders.pooling import MeanPooling, pooling
from distembed.encoders.statistics import Stages, run
from distembed.nn.mlp import MLP
from distembed.nn.precision import reduced
from distembed.protocols import EncoderTraits

__all__ = ["PaperNetwork", "gnn", "median_gnn", "resnet_gnn"]


def gnn(
    event_shape: tuple[int, ...], latent: int, width: int = 128, depth: int = 2
) -> PaperNetwork:
    """Return the plain mean-pooled network.

    Example:
        >>> gnn((3,), 8).traits.passes
        3
    """
    return PaperNetwork(event_shape, latent, width, depth, "mean", residual=False)


def median_gnn(
    event_shape: tuple[int, ...], latent: int, width: int = 128, depth: int = 2
) -> PaperNetwork:
    """Return the plain network with medians fed back, and a mean at the end."""
    return PaperNetwork(event_shape, latent, width, depth, "median", residual=False)


def resnet_gnn(
    event_shape: tuple[int, ...], latent: int, width: int = 128, depth: int = 2
) -> PaperNetwork:
    """Return the residual mean-pooled network, the paper's choice."""
    return PaperNetwork(event_shape, latent, width, depth, "mean", residual=True)


class PaperNetwork(nn.Module):
    """A mean-pooled network with a pooled value fed back at every layer.

    Args:
        event_shape: Shape of one atom.
        latent: Dimension L of the embedding.
        width: Width of the network.
        depth: Number of layers.
        feedback: Name of the pooling that is fed back.
        residual: Whether layers add to their input and normalise the sum.
    """

    def __init__(
        self,
        event_shape: tuple[int, ...],
        latent: int,
        width: int,
        depth: int,
        feedback: str,
        residual: bool,
    ) -> None:
        super().__init__()
        self.latent, self.pool, self.feedback = latent, MeanPooling(), pooling(feedback)
        d = 1
        for size in event_shape:
            d *= size
        self.inputs = MLP(d, width, width, hidden=2)
        fed_back = width * self.feedback.columns
        self.layers = nn.ModuleList([_Layer(width, fed_back, residual) for _ in range(depth)])
        self.head = nn.Linear(width, latent)

    @property
    def traits(self) -> EncoderTraits:
        """One pass for each pooling; none is enough for medians."""
        inner = self.feedback.passes
        passes = None if inner is None else len(self.layers) * inner + 1
        return EncoderTraits(passes, self.feedback.normal, self.feedback.smooth)

    def forward(self, batch: SetBatch) -> Tensor:
        """Embed each set, `(B, L)`."""
        return run(self.stages(batch), batch)

    def stages(self, batch: SetBatch) -> Stages[Tensor]:
        """Request what is fed back and what is pooled; return z."""
        dtype, device = self.head.weight.dtype, batch.x.device
        with reduced(device):
            h = self.inputs(batch.flat.to(dtype))
        for layer in self.layers:
            pooled = (yield from self.feedback(batch, h)).to(h.dtype)
            with reduced(device):
                h = layer(batch, h, pooled)
        z: Tensor = self.head((yield from self.pool(batch, h.to(dtype))).to(dtype))
        return z


class _Layer(nn.Module):
    def __init__(self, width: int, fed_back: int, residual: bool) -> None:
        super().__init__()
        self.by_atom = nn.Linear(width, width)
        self.by_set = nn.Linear(fed_back, width, bias=False)
        self.outer = MLP(width, width, width)
        self.skip = nn.Linear(width, width) if residual else None

    def forward(self, batch: SetBatch, h: Tensor, pooled: Tensor) -> Tensor:
        inner = self.by_atom(h) + batch.expand(self.by_set(pooled))
        out: Tensor = self.outer(functional.silu(inner))
        if self.skip is None:
            return out
        total = out + h + self.skip(h)
        return functional.layer_norm(total, total.shape[-1:])
