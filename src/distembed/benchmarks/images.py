r"""Generators of images: scanned digits, and cells of a drug screen.

- `digits`: 8 x 8 pixels, mixtures of three classes, test images apart, as in the demo.
- `cells`: 32 x 32 pixels, DNA and GFP, of `$DISTEMBED_DATA/images_bbbc013`; a set is a well of 64
  cells, a quarter of the wells is held out.

A model embeds one half of a held-out set and draws as many images as the other half has, which
judges:

- `energy_unbiased`, in pixels; `energy`, `sliced_w2`: plug-in distances in pixels, and `..._pca`
  on the first 20 principal components of training.
- `c2st`: accuracy of a nearest neighbour that tells drawn from real
  (`distembed.divergences.c2st`), on the same components; 0.5 is as good as real.

Beside the models stand `floor`, the encoded half itself; `random_set`, real images of another
held-out set; and `mean_image`, one mean image for all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from distembed.batch import SetBatch
from distembed.benchmarks.bench import Arm, Bench, Task, Trial, missing_data
from distembed.benchmarks.curves import Draw
from distembed.benchmarks.held_out import HeldOut
from distembed.benchmarks.real_problems import CELLS, cell_images
from distembed.evaluation.result import Score
from distembed.report.mosaic import as_images, tone_of
from distembed.report.plots import image_grid
from distembed.rng import stream
from distembed.sets.collection import Sets
from distembed.sets.digit_pools import digit_pools
from distembed.sets.mixtures import mixtures
from distembed.training.config import TrainConfig

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["BENCH", "TASKS", "ImageJudge", "Settings"]


@dataclass(frozen=True)
class Settings:
    """Sizes, schedule and arms.

    Attributes:
        training: The defaults but for a schedule of fixed length and small batches.
        arms: Generators.
        latent: Dimension of the embedding.
        train_sets: Training sets of digits, and the range of their sizes.
        sets: Held-out sets of digits, and images of each.
        components: Principal components.
        shown: Images of a panel of the figure.
    """

    training: TrainConfig = field(
        default_factory=lambda: TrainConfig(
            steps=1000, warmup=200, every=250, patience=0, batch=16
        )
    )
    arms: tuple[Arm, ...] = (
        Arm("gde"),
        Arm("flow_unet", generator={"name": "flow", "backbone": "unet", "width": 32}),
        Arm("diffusion_unet", generator={"name": "diffusion", "backbone": "unet", "width": 32}),
        Arm("vae", generator="vae"),
    )
    latent: int = 32
    train_sets: tuple[int, tuple[int, int]] = (1000, (64, 256))
    sets: tuple[int, int] = (40, 128)
    components: int = 20
    shown: int = 36


Data = tuple[Sets, Sets]
"""Training and held-out sets."""


def _digits(settings: Settings, seed: int) -> Data:
    train, test = digit_pools(seed=seed)
    (sets, size), (held_out, images) = settings.train_sets, settings.sets
    return (
        mixtures(train, sets, 3, size=size, rng=seed),
        mixtures(test, held_out, 3, size=(images, images), rng=seed),
    )


def _cells(settings: Settings, seed: int) -> Data:
    sets = cell_images()
    order = torch.randperm(len(sets), generator=stream(seed, "wells")).numpy()
    quarter = len(sets) // 4
    return sets.select(order[quarter:]), sets.select(order[:quarter])


@dataclass(frozen=True)
class ImageJudge:
    """Halves of held-out sets, in pixels and on principal components of training images.

    Attributes:
        pixels: The halves.
        mean: Mean of the training images, `(D,)`.
        axes: Principal axes `(D, C)`.
    """

    pixels: HeldOut
    mean: Tensor
    axes: Tensor

    @classmethod
    def of(cls, train: Sets, test: Sets, components: int, seed: int) -> ImageJudge:
        """Divide the held-out sets, and find the principal axes."""
        whole = test.batch(range(len(test)))
        half = int(whole.sizes.min()) // 2
        # equal weights, so that the images are all that a classifier sees
        equal = SetBatch.from_list([whole.select([b]).x for b in range(len(whole))])
        context, target = equal.split(half, half, stream(seed, "halves"))
        images = train.batch(range(min(len(train), 200))).flat
        mean = images.mean(0)
        axes = torch.linalg.svd(images - mean, full_matrices=False)[2][:components].T
        metrics = ("energy_unbiased", "energy", "sliced_w2")
        return cls(HeldOut(context, target, metrics), mean, axes)

    def scores(self, method: str, drawn: SetBatch) -> Iterator[Score]:
        """Compare images with the half that judges."""
        yield from self.pixels.scores(method, drawn)
        context, target, reduced = map(
            self._reduce, (self.pixels.context, self.pixels.target, drawn)
        )
        plug_in = HeldOut(context, target, ("energy", "sliced_w2"))
        yield from plug_in.scores(method, reduced, "_pca")
        yield from HeldOut(context, target, ("c2st",)).scores(method, reduced)

    def references(self) -> Iterator[Score]:
        """Compare the encoded half, another set, and one mean image."""
        context, target = self.pixels.context, self.pixels.target
        yield from self.scores("floor", context)
        others = [(b + 1) % len(context) for b in range(len(context))]
        yield from self.scores("random_set", context.select(others))
        mean = self.mean.unflatten(0, target.event_shape).expand_as(target.x).contiguous()
        yield from self.scores("mean_image", target.replace(x=mean))

    def _reduce(self, batch: SetBatch) -> SetBatch:
        return batch.replace(x=batch.flat @ self.axes)


def _panel(title: str, images: Tensor, real: Tensor, count: int) -> Draw:
    """Draw the first channel in the tone of real images, so that all panels mean the same."""
    shown, reference = (as_images(x[:count, :1].numpy()) for x in (images, real))

    def draw(axes: Axes) -> None:
        image_grid(axes, shown, tone=tone_of(reference))
        axes.set_title(title)

    return draw


def _measure(trial: Trial[Settings]) -> Iterator[Score]:
    settings = trial.settings
    train, test = trial.data()
    judge = ImageJudge.of(train, test, settings.components, trial.seed)
    real = judge.pixels.target.select([0]).x
    sheets = [_panel("real", real, real, settings.shown)]
    for arm in settings.arms:
        fitted = trial.fit(arm.model(settings.latent), train)
        drawn = judge.pixels.draw(fitted.model)
        scores = list(judge.scores(arm.label, drawn))
        scores.append(Score("ms_per_step", arm.label, fitted.ms_per_step))
        yield from trial.report(arm.label, scores, fitted.step_seconds)
        if arm.label == "gde":
            untrained = judge.pixels.draw(fitted.model.untrained())
            yield from judge.scores("untrained", untrained)
        sheets.append(_panel(arm.label, drawn.select([0]).x, real, settings.shown))
    yield from judge.references()
    trial.draw(f"images_{trial.name}.png", sheets)


TASKS = {
    "digits": Task(_measure, _digits),
    "cells": Task(_measure, _cells, partial(missing_data, CELLS)),
}
BENCH = Bench(
    "images",
    TASKS,
    {
        "tiny": Settings(
            TrainConfig(
                steps=2, every=2, warmup=0, batch=2, target=4, context=(8, 16), patience=0
            ),
            arms=(
                Arm("gde"),
                Arm("flow_unet", generator={"name": "flow", "backbone": "unet", "width": 8}),
            ),
            latent=8,
            train_sets=(30, (64, 256)),
            sets=(3, 128),
        ),
        "quick": Settings(TrainConfig(steps=30, warmup=6, every=30, patience=0, batch=16)),
        "full": Settings(),
    },
)
