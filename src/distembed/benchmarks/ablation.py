"""Ablation: the default model with one part removed, replaced or added.

Each arm is the default, or an arm before it, with one part removed, replaced or added. All arms
of a trial are trained on the same sets with the same schedule, and are compared with the same
held-out atoms by the functions that `evaluate` uses:

- `spearman_w2`: rank correlation of latent distances with W2. On `ladder_b` W2 has a formula; on
  the other tasks it is measured between the halves of held-out sets that no embedding is made
  from.
- `energy_unbiased`, `w2_debiased`: distance of drawn from held-out atoms, in the model's ground
  space.

A part is worth its cost where its row is worse than `gde` by more than the interval over seeds.
Beside the arms stand the default before training (`untrained`), a Gaussian with the moments of the
context half (`mean_cov`), atoms of other sets (`pooled`), and the context half itself (`floor`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray

from distembed.benchmarks.bench import (
    Arm,
    Bench,
    Task,
    Trial,
    data_folder,
    held_out_seed,
    missing_data,
)
from distembed.data.synthetic.families import blobs
from distembed.data.synthetic.ladder import ladder_b
from distembed.evaluation.halves import EvaluationConfig, halves
from distembed.evaluation.rank_correlation import score_geometry
from distembed.evaluation.result import Score
from distembed.evaluation.samples import score_samples
from distembed.evaluation.subject import Subject
from distembed.evaluation.truth import reference_w2
from distembed.model.gde import GDE
from distembed.sets.collection import Sets
from distembed.sets.digit_pools import digit_pools
from distembed.sets.mixtures import mixtures
from distembed.sets.read import read
from distembed.training.config import TrainConfig

__all__ = ["BENCH", "TASKS", "Data", "Settings"]

_KIDNEY = "kidney_glomeruli"


@dataclass(frozen=True)
class Settings:
    """Sizes, schedule and arms.

    Attributes:
        training: The defaults but for a short schedule.
        arms: The default comes first.
        evaluation: Metrics and sizes of the comparison; intervals are over seeds.
        latent: Dimension of the embedding.
        train_sets: Training sets of each synthetic task.
        test_sets: Held-out sets of each synthetic task.
        pairs: Pairs of sets that W2 is measured on.
    """

    training: TrainConfig = field(
        default_factory=lambda: TrainConfig(steps=400, warmup=80, every=100, patience=0)
    )
    arms: tuple[Arm, ...] = (
        Arm("gde"),
        Arm("no_closed_form", "deepsets"),
        Arm("no_learned_part", "closed_form"),
        Arm("base_network", generator={"name": "flow", "base_network": True}),
        Arm("no_closed_form_base_network", "deepsets", {"name": "flow", "base_network": True}),
        Arm(
            "shrinkage_linear",
            options={"conditioning": {"name": "shrinkage", "network": False}},
        ),
        Arm("conditioning_size", options={"conditioning": "size"}),
        Arm("conditioning_none", options={"conditioning": "none"}),
    )
    evaluation: EvaluationConfig = EvaluationConfig(
        metrics=("energy_unbiased", "w2_debiased"), transport_atoms=128, resamples=1
    )
    latent: int = 32
    train_sets: int = 1000
    test_sets: int = 80
    pairs: int = 400


@dataclass(frozen=True)
class Data:
    """Training and held-out sets.

    Attributes:
        train: Training sets.
        test: Held-out sets.
        w2: W2 of every pair of held-out sets `(S, S)` in closed form; measured if None.
    """

    train: Sets
    test: Sets
    w2: NDArray[np.float64] | None = None


def _ladder_b(settings: Settings, seed: int) -> Data:
    train, test = settings.train_sets, settings.test_sets
    distributions = ladder_b(test, 128, held_out_seed(seed))
    i, j = np.indices((test, test)).reshape(2, -1)
    w2 = distributions.w2(i, j).reshape(test, test)
    return Data(
        Sets.from_batch(ladder_b(train, 64, seed).batch(range(train))),
        Sets.from_batch(distributions.batch(range(test))),
        np.where(np.eye(test, dtype=bool), 0.0, (w2 + w2.T) / 2),
    )


def _mixture_2d(settings: Settings, seed: int) -> Data:
    train, test = settings.train_sets, settings.test_sets
    return Data(
        Sets.from_batch(blobs(train, 256, seed).batch(range(train))),
        Sets.from_batch(blobs(test, 512, held_out_seed(seed)).batch(range(test))),
    )


def _digits(settings: Settings, seed: int) -> Data:
    train_pool, test_pool = digit_pools(seed=seed)
    return Data(
        mixtures(train_pool, settings.train_sets, 3, size=(64, 256), rng=2 * seed),
        mixtures(test_pool, settings.test_sets, 3, size=(64, 256), rng=2 * seed + 1),
    )


def _kidney(settings: Settings, seed: int) -> Data:
    sets = read(data_folder(_KIDNEY) / "glomeruli.parquet", by="patient", columns="glom_[dst]*")
    return Data(*sets.split(test=0.2, rng=seed))


def _measure(trial: Trial[Settings]) -> Iterator[Score]:
    """Fit every arm, and compare all of them with the same held-out atoms."""
    settings, data = trial.settings, trial.data()
    models: dict[str, GDE] = {}
    seconds = 0.0
    for arm in settings.arms:
        fitted = trial.fit(arm.model(settings.latent), data.train)
        seconds = seconds or fitted.seconds
        models[arm.label] = fitted.model
    models["untrained"] = models["gde"].untrained()
    # the transform is fitted to the same sets in every arm, so the ground space is the same
    subject, config = Subject.of(models["gde"]), settings.evaluation
    sets = halves(subject, data.test, config, trial.seed)
    reference = reference_w2(sets, data.w2, settings.pairs, config, trial.seed)
    tables = {
        name: (Subject.of(model), model.embed(sets.raw, covariance=False))
        for name, model in models.items()
    }
    embedded = {name: (own, table.z) for name, (own, table) in tables.items()}
    once = np.ones((1, len(data.test)))
    scores = score_samples(embedded, sets, data.test.atoms.name, once, config, trial.seed)
    geometry, _ = score_geometry(
        {
            name: own.distances(table, reference.index.numpy())
            for name, (own, table) in tables.items()
        },
        sets,
        reference,
        {},
        once,
        pairs=settings.pairs,
        near=config.near,
        seed=trial.seed,
        say=trial.log,
    )
    # intervals and verdicts over sets give way to intervals over seeds
    values = [
        Score(score.metric, score.method, score.value)
        for score in (*geometry, *scores)
        if score.metric != "spearman_w2_near"
    ]
    yield from trial.report("all arms", values, seconds)


TASKS = {
    "digits": Task(_measure, _digits),
    "ladder_b": Task(_measure, _ladder_b),
    "mixture_2d": Task(_measure, _mixture_2d),
    "kidney": Task(_measure, _kidney, partial(missing_data, _KIDNEY)),
}
BENCH = Bench(
    "ablation",
    TASKS,
    {
        "tiny": Settings(
            TrainConfig(steps=2, every=2, warmup=0, batch=4, target=4, patience=0),
            arms=(Arm("gde"), Arm("conditioning_none", options={"conditioning": "none"})),
            latent=8,
            train_sets=24,
            test_sets=8,
            pairs=10,
        ),
        "quick": Settings(
            TrainConfig(steps=40, warmup=8, every=40, patience=0),
            train_sets=100,
            test_sets=20,
            pairs=100,
        ),
        "full": Settings(),
    },
)
