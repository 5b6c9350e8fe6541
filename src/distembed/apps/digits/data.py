"""Mixtures of scanned digits, with exact distances.

The 1,797 scans of 8 x 8 pixels that scikit-learn ships (Alpaydin and Kaynak, 1998) are divided
into a training and a test pool *before* any set is drawn, so no image is on both sides. A set is a
mixture of three digit classes with Dirichlet(1) weights and 64 to 256 images.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from distembed.sets.collection import Sets
from distembed.sets.digit_pools import digit_pools
from distembed.sets.mixtures import mixtures
from distembed.training.config import TrainConfig

__all__ = ["Digits", "Settings", "data"]


@dataclass(frozen=True)
class Settings:
    """Sizes and schedule of the demo.

    Attributes:
        train_sets: Training sets.
        test_sets: Held-out sets.
        classes: Digit classes of a mixture.
        size: Fewest and most images of a set.
        latent: Dimension of the embedding.
        training: How the model is trained.
    """

    train_sets: int = 1000
    test_sets: int = 80
    classes: int = 3
    size: tuple[int, int] = (64, 256)
    latent: int = 32
    training: TrainConfig = field(default_factory=lambda: TrainConfig(steps=1100, every=110))

    @classmethod
    def quick(cls) -> Settings:
        """Return the settings of a look: few sets, few steps."""
        return cls(train_sets=100, test_sets=24, training=TrainConfig(steps=60, every=50))


@dataclass(frozen=True)
class Digits:
    """The data of the demo.

    Attributes:
        train: Training sets.
        test: Held-out sets.
        pool: The images of each digit that held-out sets are drawn from.
    """

    train: Sets
    test: Sets
    pool: Sets


def data(settings: Settings) -> Digits:
    """Draw training and held-out mixtures.

    Raises:
        ImportError: If scikit-learn is not installed.
    """
    train_pool, test_pool = digit_pools()
    classes, size = settings.classes, settings.size
    return Digits(
        mixtures(train_pool, settings.train_sets, classes, size=size, rng=1),
        mixtures(test_pool, settings.test_sets, classes, size=size, rng=2),
        test_pool,
    )
