"""The model of perturbed cells: the default one on principal components of log expression."""

from __future__ import annotations

from distembed.apps.perturbseq.data import PerturbSettings
from distembed.model.gde import GDE

__all__ = ["model"]


def model(settings: PerturbSettings) -> GDE:
    """Make the untrained model: the default members."""
    return GDE(
        latent=settings.latent,
        transform=[
            {"name": "pca", "components": settings.components},
            {"name": "standardise", "over": "all"},
        ],
    )
