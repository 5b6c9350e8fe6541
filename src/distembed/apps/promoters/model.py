"""The model of promoters: the default one of sequences."""

from __future__ import annotations

from distembed.apps.promoters.data import PromoterSettings
from distembed.model.gde import GDE

__all__ = ["model"]


def model(settings: PromoterSettings) -> GDE:
    """Return the untrained model."""
    return GDE(latent=settings.latent)
