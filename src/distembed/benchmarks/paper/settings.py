"""Sizes and schedules of the rows of the GDE paper."""

from __future__ import annotations

from dataclasses import dataclass, field

from distembed.benchmarks.problems import Sizes
from distembed.training.config import TrainConfig

__all__ = ["Recovery", "Settings", "Table1"]


@dataclass(frozen=True)
class Recovery:
    """Sizes of a table of samples.

    Attributes:
        train_sets: Training sets.
        sets: Held-out sets.
        encoded: Atoms of each that are encoded: few as in training, and many.
        attended: Most atoms that an encoder sees whose cost is quadratic in them, as published.
        drawn: Atoms that are drawn of each.
    """

    train_sets: int = 5_000
    sets: int = 20
    encoded: tuple[int, int] = (64, 10_000)
    attended: int = 1_000
    drawn: int = 4_000


@dataclass(frozen=True)
class Table1:
    """Sizes of table 1.

    Attributes:
        training: The defaults but for a schedule of fixed length, and the sizes that are measured.
        latent: Dimension of the embedding.
        train_sets: Training sets.
        sets: Held-out sets.
        sizes: Draws of each held-out set.
        drawn: Held-out sets of a model without a density, and draws of each from it.
    """

    training: TrainConfig = field(
        default_factory=lambda: TrainConfig(
            steps=400, context=(10, 1000), every=200, validation=0.02, patience=0
        )
    )
    latent: int = 8
    train_sets: int = 5_000
    sets: int = 4_000
    sizes: tuple[int, ...] = (10, 100, 1_000, 10_000)
    drawn: tuple[int, int] = (400, 4_000)


@dataclass(frozen=True)
class Settings:
    """Sizes and schedules.

    Attributes:
        training: Of the models of tables 2, 5 and 6, whose steps follow from `seconds`.
        seconds: Seconds of the processor for the steps of each of these.
        pilot: Steps from which the seconds of a step are measured.
        table1: Sizes of table 1.
        normal: Sizes of tables 5 and 6.
        mixtures: Sizes of the mixtures of table 2.
        images: Training and held-out sets of images, and images of each.
        width: Channels of the U-Net of published models.
        stretched: Training of the figures of the simplex.
        simplex: Sizes of these.
    """

    training: TrainConfig = field(
        default_factory=lambda: TrainConfig(
            warmup=50, context=(16, 1024), every=100_000, validation=0, patience=0
        )
    )
    seconds: float = 20.0
    pilot: int = 10
    table1: Table1 = Table1()
    normal: Recovery = Recovery()
    mixtures: Recovery = Recovery()
    images: tuple[int, int, int] = (1_000, 40, 128)
    width: int = 32
    stretched: TrainConfig = field(
        default_factory=lambda: TrainConfig(steps=400, warmup=80, every=200, patience=0)
    )
    simplex: Sizes = Sizes()
