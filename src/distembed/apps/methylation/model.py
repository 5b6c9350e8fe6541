"""The model of molecules: the default one of sequences."""

from __future__ import annotations

from distembed.apps.methylation.data import MethylationSettings
from distembed.model.gde import GDE

__all__ = ["model"]


def model(settings: MethylationSettings) -> GDE:
    """Return the untrained model."""
    return GDE(latent=settings.latent)
