"""The model of images: the default members for images."""

from __future__ import annotations

from distembed.apps.pooled_screen.data import ScreenSettings
from distembed.model.gde import GDE

__all__ = ["model"]


def model(settings: ScreenSettings) -> GDE:
    """Make the untrained model: the default members."""
    return GDE(latent=settings.latent)
