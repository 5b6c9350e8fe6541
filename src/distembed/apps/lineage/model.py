"""The model of clones on principal components of log expression, and the one it replaces."""

from __future__ import annotations

from distembed.apps.lineage.data import LineageSettings
from distembed.model.gde import GDE
from distembed.registry import NamedMember
from distembed.sets.collection import Sets
from distembed.training.objectives import PairDistances

__all__ = ["fit_wormhole", "model"]


def model(settings: LineageSettings) -> GDE:
    """Make the untrained model: the default members."""
    return GDE(latent=settings.latent, transform=_transform(settings))


def fit_wormhole(train: Sets, settings: LineageSettings) -> GDE:
    """Train a Wasserstein Wormhole, the baseline of the paper, for as many steps."""
    atoms = settings.training.target
    model = GDE(
        "attention", {"name": "wormhole", "atoms": atoms}, settings.latent,
        conditioning="none", transform=_transform(settings),
    )  # fmt: skip
    training = settings.training.changed({"validation": 0, "patience": 0})
    return model.fit(train, training, objectives=(PairDistances(),), progress=False)


def _transform(settings: LineageSettings) -> list[NamedMember]:
    return [
        {"name": "log1p", "scale": 1e4},
        {"name": "pca", "components": settings.components},
        {"name": "standardise", "over": "all"},
    ]
