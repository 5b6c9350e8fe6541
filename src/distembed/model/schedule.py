"""Settings of training that a kind of atoms implies, where they are not stated.

An image costs as much as hundreds of vectors: a default step of 32 sets with up to 512 atoms of
2 x 32 x 32 pixels would hold gigabytes and take seconds. Images get smaller steps, of contexts of
at most 64 images, and more learning a step.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from distembed.nn.backbone import convolves
from distembed.protocols import AtomSpace
from distembed.training.config import TrainConfig

__all__ = ["IMAGE_TRAINING", "suited"]

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
    if atoms.name != "images" or not convolves(event_shape):
        return config
    implied = {k: v for k, v in IMAGE_TRAINING.items() if k not in config.model_fields_set}
    if implied:
        logger.info(
            "Images of shape %s are trained with %s. State a setting to change it.",
            event_shape,
            ", ".join(f"{name} = {value}" for name, value in implied.items()),
        )
    return config.changed(implied)
