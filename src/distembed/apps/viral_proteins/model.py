"""The model of viral proteins: the default one of sequences."""

from __future__ import annotations

from distembed.apps.viral_proteins.data import ViralSettings
from distembed.model.gde import GDE

__all__ = ["model"]


def model(settings: ViralSettings) -> GDE:
    """Return the untrained model."""
    return GDE(latent=settings.latent)
