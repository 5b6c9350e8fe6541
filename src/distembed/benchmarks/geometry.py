r"""Latent distances beside W2, against baselines that see the same atoms.

All methods see the same atoms of held-out distributions. Tasks are those of
`distembed.benchmarks.problems`; tasks `..._m10` and `..._m20` give all methods ten or twenty atoms
of the same sets, with the same models.

- `spearman_w2`, `spearman_w2_near`: rank correlation of distances with the W2 of the true
  distributions, over all pairs and over near ones; `spearman_mw2` with the distance of the
  components of mixtures; `pearson_w2` is the linear correlation.
- `relative_error`: the median of |D / W2 - 1|, of calibrated distances and of baselines in units
  of W2; not where W2 is measured on few points, which makes it too large.
- `..._lead`: what `gde` has more than the method of the row, on the same pairs of the same sets.
- `energy_unbiased`: of samples from z against other atoms of the held-out distribution, so that
  neither geometry nor reconstruction is bought with the other.

`gde` is `GDE.distances` of the default model: in units of W2, and without the noise of sampling.
`latent` is the plain distance |z_1 - z_2| of the same embeddings, `untrained` the same as `gde`
before training, without units. `generative` is the default that learned from its generator alone,
without steps on measured W2. `wormhole` is an attention encoder and a fixed-size decoder,
trained on Sinkhorn divergences between sets for as many seconds as `gde`; not on large images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from distembed.batch import SetBatch
from distembed.benchmarks.bench import Arm, Bench, Task, Trial, missing_data
from distembed.benchmarks.fitting import FittedModel
from distembed.benchmarks.held_out import HeldOut
from distembed.benchmarks.pair_distances import Distances, baseline_distances
from distembed.benchmarks.pair_scores import PairScores
from distembed.benchmarks.problems import Problem, Sizes, gaussian, ladder, mixture, simplex
from distembed.benchmarks.real_problems import CELLS, CHARACTERS, cells, characters, digits
from distembed.benchmarks.truth import ground_unit
from distembed.data.synthetic.ladder import ladder_a, ladder_b, ladder_c
from distembed.evaluation import BASELINES
from distembed.evaluation.result import Score
from distembed.model.gde import GDE
from distembed.protocols import generator_traits
from distembed.registry import NamedMember, applicable
from distembed.rng import stream
from distembed.training.config import TrainConfig
from distembed.training.objectives import PairDistances

__all__ = ["BENCH", "TASKS", "Settings", "geometry_scores", "model_distances"]


# atoms of at most 64 numbers: a decoder of all atoms at once is too large for others
_SMALL = ("gaussian_2d", "mixture_2d", "simplex", "ladder_a", "ladder_b", "ladder_c", "digits")


def _wormhole(atoms: int) -> Arm:
    return Arm(
        "wormhole",
        "attention",
        {"name": "wormhole", "atoms": atoms},
        objectives=(PairDistances(),),
        # in equal seconds, small contexts are many steps; a validation would take most of them
        training={"validation": 0, "context": (8, atoms)},
        tasks=_SMALL,
        equal_seconds=True,
    )


def _baselines(**options: Mapping[str, int]) -> tuple[NamedMember, ...]:
    """Return all baselines, with options of single ones."""
    return tuple(
        {"name": name, **options.get(name, {})} for name in applicable(BASELINES, "vectors")
    )


@dataclass(frozen=True)
class Settings:
    """Sizes, schedule and methods.

    Attributes:
        training: The defaults but for a short schedule.
        arms: Models; the first one is the package's default.
        latent: Dimension of the embedding.
        shares: Tasks with a share of the training steps, because of large images.
        plain: Arms whose distance is |z_1 - z_2|, as published, whatever the sampling noise.
        baselines: Members of `BASELINES`.
        sizes: How many sets, atoms and pairs a task has.
        few: Atoms of a set in the tasks of few atoms.
        transport_pairs: Most pairs of a baseline that solves a transport problem for each.
        drawn_sets: Held-out sets that samples are drawn of.
    """

    training: TrainConfig = field(
        default_factory=lambda: TrainConfig(steps=400, warmup=80, every=200, patience=0)
    )
    arms: tuple[Arm, ...] = (
        Arm("gde"),
        Arm("generative", training={"metric_steps": 0}),
        _wormhole(64),
    )
    latent: int = 32
    shares: Mapping[str, float] = field(
        default_factory=lambda: {"omniglot": 1 / 3, "cells": 1 / 3}
    )
    plain: tuple[str, ...] = ("wormhole",)
    # 300 problems of optimal transport of 300 atoms take 15 seconds
    baselines: tuple[NamedMember, ...] = _baselines(
        ot={"atoms": 300}, ot_standardised={"atoms": 300}
    )
    sizes: Sizes = Sizes()
    few: tuple[int, ...] = (10, 20)
    transport_pairs: int = 300
    drawn_sets: int = 50


def model_distances(
    fits: Mapping[str, FittedModel],
    batch: SetBatch,
    pairs: np.ndarray,
    plain: Sequence[str] = (),
) -> dict[str, Distances]:
    """Return the distances of pairs by every model, those of `gde` in units of the data's W2.

    Args:
        fits: Models by label; `gde` is among them.
        batch: The sets.
        pairs: Rows of the two sets of each pair, `(P, 2)`.
        plain: Labels of models whose distances are not corrected for sampling noise.
    """
    models = {label: fitted.model for label, fitted in fits.items()}
    models["untrained"] = models["gde"].untrained()
    distances = {}
    for label, model in models.items():
        table = model.embed(batch, covariance=label not in plain)
        own = label == "gde"
        # sets of fewer than 50 atoms have no calibration
        calibrated = own and model.calibration.pairs > 0
        matrix = model.distances(table, calibrated=calibrated)
        unit = ground_unit(model) if calibrated else 1.0
        distances[label] = Distances.of_matrix(matrix / unit, pairs, calibrated)
        if own:
            latent = model.distances(table, calibrated=False, denoise="none")
            distances["latent"] = Distances.of_matrix(latent, pairs)
    return distances


def geometry_scores(
    fits: Mapping[str, FittedModel], problem: Problem, trial: Trial[Settings]
) -> Iterator[Score]:
    """Yield the scores of all distances, on all atoms of the held-out sets and on few.

    Args:
        fits: Models by label.
        problem: Held-out sets and their W2.
        trial: Methods and sizes.
    """
    settings, context = trial.settings, problem.context
    yield from _pair_scores(fits, problem, context, settings).all()
    for m in settings.few:
        if m < int(context.sizes.min()):
            batch = context.subsample(m, stream(trial.seed, "few", m))
            scores = _pair_scores(fits, problem, batch, settings, trial.at(m))
            yield from scores.correlations()


def _pair_scores(
    fits: Mapping[str, FittedModel],
    problem: Problem,
    batch: SetBatch,
    settings: Settings,
    task: str = "",
) -> PairScores:
    """Compute the distances of all methods."""
    models = model_distances(fits, batch, problem.pairs, settings.plain)
    baselines = baseline_distances(
        settings.baselines, batch, problem.pairs, settings.transport_pairs
    )
    return PairScores(problem, models | baselines, task)


def sample_scores(
    fits: Mapping[str, FittedModel], problem: Problem, trial: Trial[Settings]
) -> Iterator[Score]:
    """Yield the energy distance of samples from z, beside the references of `HeldOut`."""
    rows = list(range(min(trial.settings.drawn_sets, len(problem.context))))
    context, target = problem.context.select(rows), problem.target.select(rows)
    size = int(target.sizes.min())
    held_out = HeldOut(
        context, target.subsample(size, stream(trial.seed, "targets")), ("energy_unbiased",)
    )
    models: dict[str, GDE] = {label: fitted.model for label, fitted in fits.items()}
    models["untrained"] = models["gde"].untrained()
    for label, model in models.items():
        count = generator_traits(model.network.generator).fixed_size
        yield from held_out.scores(label, held_out.draw(model, count))
    for name, drawn in held_out.references().items():
        yield from held_out.scores(name, drawn)


def _measure(trial: Trial[Settings]) -> Iterator[Score]:
    problem: Problem = trial.data()
    settings = trial.settings
    steps = round(settings.training.steps * settings.shares.get(trial.name, 1))
    fits = trial.fit_arms(settings.arms, problem.train, settings.latent, steps)
    seconds = fits["gde"].seconds
    yield from trial.report("distances", geometry_scores(fits, problem, trial), seconds)
    yield from trial.report("samples", sample_scores(fits, problem, trial), seconds)


def _task(data: Callable[[Sizes, int], Problem], folder: str | None = None) -> Task[Settings]:
    def problem(settings: Settings, seed: int) -> Problem:
        return data(settings.sizes, seed)

    if folder is None:
        return Task(_measure, problem)
    return Task(_measure, problem, partial(missing_data, folder))


TASKS = {
    "gaussian_2d": _task(gaussian),
    "mixture_2d": _task(mixture),
    "simplex": _task(simplex),
    "ladder_a": _task(partial(ladder, ladder_a)),
    "ladder_b": _task(partial(ladder, ladder_b)),
    "ladder_c": _task(partial(ladder, ladder_c)),
    "digits": _task(digits),
    "omniglot": _task(characters, CHARACTERS),
    "cells": _task(cells, CELLS),
}
BENCH = Bench(
    "geometry",
    TASKS,
    {
        "tiny": Settings(
            TrainConfig(
                steps=2, every=2, warmup=0, batch=4, target=4, context=(4, 16), validation=0
            ),
            arms=(Arm("gde"), _wormhole(8)),
            latent=8,
            baselines=("mean", "bures", "ot"),
            few=(10,),
            sizes=Sizes(30, 8, (30, 8), 40, 20, 20, 24, (4, 5)),
            transport_pairs=20,
            drawn_sets=3,
        ),
        "quick": Settings(
            TrainConfig(steps=30, warmup=6, every=30, patience=0),
            arms=(Arm("gde"),),
            baselines=_baselines(
                lot={"atoms": 100, "pooled": 1_000},
                kmeans_emd={"pooled": 2_000},
                ot={"atoms": 200},
                ot_standardised={"atoms": 200},
            ),
            few=(10,),
            sizes=Sizes(200, 24, (30, 12), 200, pairs=60, net=192),
            transport_pairs=60,
            drawn_sets=10,
        ),
        "full": Settings(),
    },
)
