"""The fully connected encoders of the GDE paper, as settings of `DeepSets`.

The paper (arXiv 2505.18150, appendix A) describes networks of two layers whose pooled value is
concatenated to every atom, in three forms: plain, with medians inside, and residual with a
normalisation after the sum ("ResNet-GNN"). Ours have its depth and widths and SiLU for SELU. One
thing is left out on purpose: the SELU on the embedding, which bounds z from below and bends the
distances that are read from it.
"""

from __future__ import annotations

from distembed.encoders.deepsets import Block, DeepSets

__all__ = ["gnn", "median_gnn", "resnet_gnn"]


def gnn(event_shape: tuple[int, ...], latent: int, width: int = 128, depth: int = 2) -> DeepSets:
    """Return the plain mean-pooled network.

    Example:
        >>> gnn((3,), 8).passes
        3
    """
    return _paper(event_shape, latent, width, depth, "plain", "mean")


def median_gnn(
    event_shape: tuple[int, ...], latent: int, width: int = 128, depth: int = 2
) -> DeepSets:
    """Return the plain network that is told medians, and pools a mean at the end."""
    return _paper(event_shape, latent, width, depth, "plain", "median")


def resnet_gnn(
    event_shape: tuple[int, ...], latent: int, width: int = 128, depth: int = 2
) -> DeepSets:
    """Return the residual mean-pooled network, the paper's choice."""
    return _paper(event_shape, latent, width, depth, "post", "mean")


def _paper(
    event_shape: tuple[int, ...],
    latent: int,
    width: int,
    depth: int,
    block: Block,
    feedback: str,
) -> DeepSets:
    return DeepSets(
        event_shape, latent, width, depth, relative=False, isometry=False,
        pooling="mean", feedback=feedback, block=block,
    )  # fmt: skip
