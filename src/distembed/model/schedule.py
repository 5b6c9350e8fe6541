"""Settings of training that a kind of atoms implies, where they are not stated.

An image or a sequence costs as much as hundreds of vectors: a default step of 32 sets with up to
512 atoms of 2 x 32 x 32 pixels would hold gigabytes and take seconds. Both get smaller steps, of
contexts of at most 64 atoms, and more learning a step. The longer sequences are, the fewer of a
set are scored: a step of sequences scores about 4,096 positions, and at least two atoms of a set.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from distembed.nn.backbone import convolves
from distembed.protocols import AtomSpace
from distembed.training.config import TrainConfig

__all__ = ["IMAGE_TRAINING", "TOKEN_TRAINING", "suited"]

logger = logging.getLogger(__name__)

IMAGE_TRAINING: Mapping[str, Any] = {
    "steps": 800,
    "batch": 16,
    "context": (8, 64),
    "target": 6,
    "lr": 2e-3,
    "warmup": 100,
}
"""Settings for images that a network convolves, chosen on 2 x 32 x 32 pixels (docs/log.md)."""

TOKEN_TRAINING: Mapping[str, Any] = {
    "steps": 400,
    "batch": 16,
    "context": (8, 64),
    "lr": 3e-3,
    "warmup": 50,
    "every": 50,
}
"""Settings for sequences, beside a target that depends on their length."""


def suited(config: TrainConfig, atoms: AtomSpace, event_shape: tuple[int, ...]) -> TrainConfig:
    """Return a config with the defaults of a kind of atoms in place of what is not stated.

    What is replaced is logged in one line.

    Example:
        >>> from distembed.data.spaces import Images, Vectors
        >>> suited(TrainConfig(batch=8), Images(), (2, 32, 32)).target
        6
        >>> suited(TrainConfig(batch=8), Vectors(), (5,)).target
        24
    """
    if atoms.name == "images" and convolves(event_shape):
        noun, settings = "Images", dict(IMAGE_TRAINING)
    elif atoms.name == "tokens":
        noun, settings = "Sequences", {**TOKEN_TRAINING, "target": _target(event_shape[0])}
    else:
        return config
    implied = {k: v for k, v in settings.items() if k not in config.model_fields_set}
    if implied:
        logger.info(
            "%s of shape %s are trained with %s. State a setting to change it.",
            noun,
            event_shape,
            ", ".join(f"{name} = {value}" for name, value in implied.items()),
        )
    return config.changed(implied)


def _target(length: int, positions: int = 4096, least: int = 2, most: int = 16) -> int:
    """Return how many sequences of a set are scored in a step of 16 sets."""
    atoms = positions // (int(TOKEN_TRAINING["batch"]) * length)
    return min(max(atoms, least), most)
