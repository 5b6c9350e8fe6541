"""The model of clones: the default one on principal components of log expression."""

from __future__ import annotations

from distembed.apps.lineage.data import LineageSettings
from distembed.model.gde import GDE

__all__ = ["model"]


def model(settings: LineageSettings) -> GDE:
    """Make the untrained model."""
    return GDE(
        latent=settings.latent,
        transform=[
            {"name": "log1p", "scale": 1e4},
            {"name": "pca", "components": settings.components},
            {"name": "standardise", "over": "all"},
        ],
    )
