"""The model of the demo: the package's defaults."""

from __future__ import annotations

from distembed.apps.digits.data import Settings
from distembed.model.gde import GDE
from distembed.protocols import Collection

__all__ = ["model"]


def model(train: Collection, settings: Settings, *, progress: bool) -> GDE:
    """Train the default model.

    Args:
        train: Training sets.
        settings: Dimension of the embedding and schedule.
        progress: Whether to show the progress of training.
    """
    return GDE(latent=settings.latent).fit(train, settings.training, progress=progress)
