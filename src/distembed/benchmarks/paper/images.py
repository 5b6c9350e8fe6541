"""Table 2, images: mixtures of three classes of digits and of handwritten characters.

The paper has MNIST and Fashion-MNIST, the first three classes and training images; here classes
are drawn anew for each set, and held-out sets have other images (`digits`, 8 x 8 pixels) or other
characters (`omniglot`, 28 x 28, of `$DISTEMBED_DATA/omniglot28`). A model embeds one half of a
held-out set, and as many images as the other half has are compared with it by the debiased
Sinkhorn divergence: in pixels, and on the hidden layer of a classifier of the training images (the
paper: of ResNet-18 on ImageNet). The energy distance in pixels is beside them.

All models train for as many seconds. `floor` is the half that was embedded, `mean_cov` a Gaussian
with its moments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from distembed.batch import SetBatch
from distembed.benchmarks.bench import Arm, Task, Trial, held_out_seed, missing_data
from distembed.benchmarks.held_out import HeldOut
from distembed.benchmarks.paper.published import image_arms
from distembed.benchmarks.paper.settings import Settings
from distembed.benchmarks.paper.timed import fit_for
from distembed.benchmarks.real_problems import CHARACTERS, character_images
from distembed.divergences.sinkhorn import Sinkhorn
from distembed.evaluation.result import Score
from distembed.protocols import generator_traits
from distembed.registry import need
from distembed.rng import stream
from distembed.sets.collection import Sets
from distembed.sets.digit_pools import digit_pools
from distembed.sets.mixtures import mixtures

__all__ = ["TASKS", "ClassFeatures", "ImageSets"]

LATENT = 64
Pools = Callable[[int], tuple[Sets, Sets]]
"""Classes of training and of held-out images, one set a class, by the seed of a trial."""


@dataclass(frozen=True)
class ClassFeatures:
    """The hidden layer of a classifier.

    Attributes:
        scale: Largest absolute pixel of the training images.
        weight: `(D, H)`.
        bias: `(H,)`.
    """

    scale: float
    weight: Tensor
    bias: Tensor

    @classmethod
    def of(cls, pool: Sets, width: int = 64, epochs: int = 60, seed: int = 0) -> ClassFeatures:
        """Train a perceptron with one hidden layer to tell the classes of a pool.

        Args:
            pool: One set a class.
            width: Width H of the layer.
            epochs: Passes over the images.
            seed: Of its weights.
        """
        batch = pool.batch(range(len(pool)))
        scale = float(batch.x.abs().max())
        classifier: Any = need("sklearn.neural_network", "sklearn").MLPClassifier(
            (width,), random_state=seed
        )
        x, y = (batch.flat / scale).numpy(), batch.owner.numpy()
        for _ in range(epochs):
            classifier.partial_fit(x, y, classes=np.arange(len(pool)))
        weight, bias = (
            torch.from_numpy(np.asarray(part[0], dtype=np.float32))
            for part in (classifier.coefs_, classifier.intercepts_)
        )
        return cls(scale, weight, bias)

    def __call__(self, batch: SetBatch) -> SetBatch:
        """Return the features `(N, H)` of images."""
        x = batch.flat.to(self.weight.dtype) / self.scale
        return batch.replace(x=(x @ self.weight + self.bias).relu())


@dataclass(frozen=True)
class ImageSets:
    """Training sets, halves of held-out sets, and the features of images."""

    train: Sets
    held_out: HeldOut
    features: ClassFeatures

    @classmethod
    def of(cls, pools: Pools, settings: Settings, seed: int) -> ImageSets:
        """Mix three classes a set."""
        train_sets, sets, images = settings.images
        train, test = pools(seed)
        mixed = mixtures(test, sets, 3, size=(images, images), rng=held_out_seed(seed))
        whole = mixed.batch(range(sets))
        # equal weights, as all that is drawn has
        equal = SetBatch.from_list([whole.select([b]).x for b in range(sets)])
        halves = equal.split(images // 2, images // 2, stream(seed, "halves"))
        return cls(
            mixtures(train, train_sets, 3, size=(images // 2, images), rng=seed),
            HeldOut(*halves, ("energy_unbiased",), seed),
            ClassFeatures.of(train, seed=seed),
        )

    def scores(self, method: str, drawn: SetBatch) -> Iterator[Score]:
        """Compare images with the halves that judge."""
        target = self.held_out.target
        yield from self.held_out.scores(method, drawn)
        pixels = Sinkhorn()(drawn.replace(x=drawn.flat), target.replace(x=target.flat))
        features = Sinkhorn()(self.features(drawn), self.features(target))
        yield Score("sinkhorn", method, float(pixels.mean()))
        yield Score("sinkhorn_features", method, float(features.mean()))


def _digits(seed: int) -> tuple[Sets, Sets]:
    return digit_pools(seed=seed)


def _characters(seed: int) -> tuple[Sets, Sets]:
    sets = character_images()
    order = torch.randperm(len(sets), generator=stream(seed, "held out")).numpy()
    third = len(sets) // 3
    return sets.select(order[third:]), sets.select(order[:third])


def _measure(name: str, pools: Pools, label: str, trial: Trial[Settings]) -> Iterator[Score]:
    settings = trial.settings
    sets = ImageSets.of(pools, settings, trial.seed)
    half = settings.images[2] // 2
    arms = {arm.label: arm for arm in (Arm("gde"), *image_arms(settings.width, half))}
    fitted = fit_for(trial, arms[label], sets.train, LATENT, settings.seconds, settings.pilot)
    count = generator_traits(fitted.model.network.generator).fixed_size
    scores = list(sets.scores(label, sets.held_out.draw(fitted.model, count)))
    if label == "gde":
        scores += sets.scores("untrained", sets.held_out.draw(fitted.model.untrained()))
        for reference, drawn in sets.held_out.references().items():
            scores += sets.scores(reference, drawn)
    named = (Score(s.metric, s.method, s.value, task=name) for s in scores)
    yield from trial.report(label, named, fitted.seconds)


def _tasks(name: str, pools: Pools, folder: str | None = None) -> Iterator[tuple[str, Task[Any]]]:
    missing = (lambda: None) if folder is None else partial(missing_data, folder)
    for label in ("gde", *(arm.label for arm in image_arms())):
        short = "default" if label == "gde" else label.replace("+", "_")
        yield f"{name}_{short}", Task(partial(_measure, name, pools, label), missing=missing)


TASKS: dict[str, Task[Settings]] = dict(
    [*_tasks("digits", _digits), *_tasks("omniglot", _characters, CHARACTERS)]
)
