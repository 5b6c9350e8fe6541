r"""Generators of images: scanned digits, and cells of a drug screen.

- `digits`: 8 x 8 pixels, mixtures of three classes, test images apart, as in the demo.
- `cells`: 32 x 32 pixels, DNA and GFP, of `$DISTEMBED_DATA/images_bbbc013`; a set is a well of 64
  cells, a quarter of the wells is held out.

A model embeds one half of a held-out set and draws as many images as the other half has, which
judges:

- `energy`, `sliced_w2`: in pixels; `..._pca` on the first 20 principal components of training.
- `c2st`: accuracy of a nearest neighbour that tells drawn from real
  (`distembed.divergences.c2st`), on the same components; 0.5 is as good as real.

Beside the models stand `floor`, the encoded half itself; `random_set`, real images of another
held-out set; and `mean_image`, one mean image for all.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from distembed.batch import SetBatch
from distembed.benchmarks.seeds import SECONDS, Score, chosen_from, environment, measured_rows
from distembed.benchmarks.timed import fit_timed
from distembed.data.observations import Observations
from distembed.divergences.c2st import neighbour_accuracy
from distembed.divergences.energy import Energy
from distembed.divergences.sliced import SlicedW2
from distembed.model.gde import GDE
from distembed.report.curves import Draw, panels
from distembed.report.mosaic import as_images, tone_of
from distembed.report.plots import image_grid
from distembed.rng import stream
from distembed.sets.collection import Sets
from distembed.sets.construct import by_label, mixtures
from distembed.sets.digits import digit_pools
from distembed.training.config import TrainConfig

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["ARMS", "TASKS", "Arm", "Task", "bench"]

CONFIG = TrainConfig(steps=1000, every=250, patience=0, batch=16)
LATENT, COMPONENTS, SHOWN = 32, 20, 36


@dataclass(frozen=True)
class Arm:
    """A generator and its options, under a name that stands in tables."""

    label: str
    generator: str
    options: Mapping[str, Any] = field(default_factory=dict)


ARMS = (
    Arm("gde", "flow"),
    Arm("flow_unet", "flow", {"backbone": "unet", "width": 32}),
    Arm("diffusion_unet", "diffusion", {"backbone": "unet", "width": 32}),
    Arm("vae", "vae"),
)


@dataclass(frozen=True)
class Task:
    """Where the sets come from.

    Attributes:
        sets: Training and held-out sets, from a seed.
    """

    sets: Callable[[int], tuple[Sets, Sets]]


def _digits(seed: int) -> tuple[Sets, Sets]:
    train, test = digit_pools(seed=seed)
    made = mixtures(train, 1000, 3, size=(64, 256), rng=seed)
    return made, mixtures(test, 40, 3, size=(128, 128), rng=seed)


def _cells(seed: int) -> tuple[Sets, Sets]:
    folder = os.environ.get("DISTEMBED_DATA")
    if folder is None:
        raise ValueError(
            "The task cells reads $DISTEMBED_DATA/images_bbbc013, and DISTEMBED_DATA is unset. "
            "Set it to the folder of data sets, or name another task with --task digits."
        )
    with np.load(Path(folder) / "images_bbbc013" / "cells_32x32_dna_gfp.npz") as file:
        images, wells = file["images"].astype(np.float32), file["well"].astype(str)
    sets = by_label(Observations(images, {"well": wells}), "well")
    order = torch.randperm(len(sets), generator=stream(seed, "wells")).numpy()
    quarter = len(sets) // 4
    return sets.select(order[quarter:]), sets.select(order[:quarter])


TASKS = {"digits": Task(_digits), "cells": Task(_cells)}


@dataclass(frozen=True)
class _Exam:
    """Halves of held-out sets, and the components of training images."""

    encoded: SetBatch
    judge: SetBatch
    mean: Tensor
    components: Tensor

    @classmethod
    def of(cls, train: Sets, test: Sets, seed: int) -> _Exam:
        whole = test.batch(range(len(test)))
        half = int(whole.sizes.min()) // 2
        # equal weights, so that a classifier has nothing but the images to go by
        plain = SetBatch.from_list([whole.select([b]).x for b in range(len(whole))])
        encoded, judge = plain.split(half, half, stream(seed, "halves"))
        few = train.batch(range(min(len(train), 200))).flat
        centred = few - few.mean(0)
        axes = torch.linalg.svd(centred, full_matrices=False)[2][:COMPONENTS]
        return cls(encoded, judge, few.mean(0).unflatten(0, whole.event_shape), axes.T)

    def grades(self, method: str, drawn: SetBatch) -> Iterator[Score]:
        """Compare images with the half that judges."""
        reduced = drawn.replace(x=drawn.flat @ self.components)
        judge = self.judge.replace(x=self.judge.flat @ self.components)
        yield method, "energy", float(Energy()(drawn, self.judge).mean())
        yield method, "sliced_w2", float(SlicedW2()(drawn, self.judge).mean())
        yield method, "energy_pca", float(Energy()(reduced, judge).mean())
        yield method, "sliced_w2_pca", float(SlicedW2()(reduced, judge).mean())
        yield method, "c2st", float(neighbour_accuracy(reduced, judge).mean())

    def draw(self, model: GDE) -> SetBatch:
        """Draw as many images as judge."""
        n = int(self.judge.sizes[0])
        return SetBatch.from_dense(torch.from_numpy(model.reconstruct(self.encoded, n, 0)))

    def beside(self) -> Iterator[Score]:
        """Grade what a model is to be compared with."""
        yield from self.grades("floor", self.encoded)
        others = [(b + 1) % len(self.encoded) for b in range(len(self.encoded))]
        yield from self.grades("random_set", self.encoded.select(others))
        mean = self.mean.expand_as(self.judge.x).contiguous()
        yield from self.grades("mean_image", self.judge.replace(x=mean))


def _panel(title: str, images: Tensor, real: Tensor) -> Draw:
    """Draw the first channel in the tone of real images, so that all panels mean the same."""
    shown, seen = (as_images(x[:SHOWN, :1].numpy()) for x in (images, real))

    def draw(axes: Axes) -> None:
        image_grid(axes, shown, tone=tone_of(seen))
        axes.set_title(title)

    return draw


def bench(
    *,
    quick: bool = False,
    seeds: int = 3,
    steps: int | None = None,
    jobs: int = 1,
    tasks: Sequence[str] | None = None,
    plots: Path | None = None,
    log: Callable[[str], None],
) -> dict[str, Any]:
    """Run the tasks; each seed changes the split, the sets and the weights.

    Args:
        quick: Few steps: a look, not a result.
        seeds: Number of seeds.
        steps: Of training, in the place of the usual number.
        jobs: Processes.
        tasks: Names of tasks; all where left out.
        plots: Folder for a sheet of samples a task, of the first seed and the first held-out set.
        log: Called with lines of progress.

    Returns:
        The record of design: bench, environment, config, rows.

    Raises:
        ValueError: If a task is unknown, or its data are not there.
    """
    judged = chosen_from(TASKS, tasks)
    few = {"steps": 30, "every": 30}
    config = CONFIG.model_copy(update=few if quick else {"steps": steps or CONFIG.steps})

    def measure(name: str, task: Task, seed: int) -> Iterator[Score]:
        train, test = task.sets(seed)
        exam = _Exam.of(train, test, seed)
        real = exam.judge.select([0]).x
        sheets = [_panel("real", real, real)]
        own = config.model_copy(update={"seed": seed})
        for arm in ARMS:
            model = GDE(generator={"name": arm.generator, **arm.options}, latent=LATENT)
            run = fit_timed(model, train, own, config.steps)
            drawn = exam.draw(run.model)
            scores = list(exam.grades(arm.label, drawn))
            scores.append((arm.label, "ms_per_step", 1000 * run.seconds / run.steps))
            log(f"{name}, {arm.label}: " + ", ".join(f"{k} {v:.4g}" for _, k, v in scores))
            yield from scores
            if arm is ARMS[0]:
                yield (*SECONDS, run.seconds)
                yield from exam.grades("untrained", exam.draw(run.model.untrained()))
            sheets.append(_panel(arm.label, drawn.select([0]).x, real))
        yield from exam.beside()
        if plots is not None and seed == 0:
            log(f"wrote {panels(plots / f'images_{name}.png', sheets)}")

    rows = measured_rows(judged, seeds, measure, log, jobs)
    return {
        "bench": "images",
        "environment": environment(jobs),
        "config": {
            "latent": LATENT,
            "generators": {a.label: {"name": a.generator, **a.options} for a in ARMS},
            "components": COMPONENTS,
            **config.model_dump(mode="json", exclude={"seed"}),
            "warmup": "a fifth of the steps",
        },
        "rows": rows,
    }
