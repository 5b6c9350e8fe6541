r"""Outcomes of all applications: embeddings beside simple features, and what samples add.

The protocol is that of the bench `cohorts`: repeated folds that keep groups together, everything
fitted inside the fold, intervals of Nadeau and Bengio, p-values after Holm, and one line of wins,
ties and losses. An outcome is one that an application declares, or a task of `cohorts` on the data
of one.

Beside it, on every fold, `energy_unbiased` compares atoms that are drawn from the embedding of one
half of a held-out set with its other half, in the ground space of the model. `pooled` are atoms of
other held-out sets, the samples of a model without an embedding, and `floor` is the first half.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from distembed.apps import APPS
from distembed.apps.application import Application
from distembed.apps.run import load, simulated
from distembed.benchmarks.bench import Bench, data_folder
from distembed.benchmarks.cohort_data import COHORTS, CohortReader
from distembed.benchmarks.cohort_scores import combine_folds, combine_samples
from distembed.benchmarks.cohorts import BENCH as COHORT_BENCH
from distembed.benchmarks.cohorts import cohort_task
from distembed.evaluation.bootstrap import resamples
from distembed.evaluation.cohort import Cohort
from distembed.evaluation.halves import EvaluationConfig, halves
from distembed.evaluation.result import Score
from distembed.evaluation.samples import score_samples
from distembed.evaluation.subject import Subject
from distembed.model.gde import GDE
from distembed.rng import stream
from distembed.sets.collection import Sets

__all__ = ["BENCH", "TASKS"]

_SHARED = {"pooled_screen_dose": "cells_pixels"}
"""Tasks of `cohorts` that are the outcome of an application; other labels of its data, such as
pathways and doses from features, are measured there."""
_SAMPLES = ("gde", "pooled", "floor")


def _simulated(app: Application[Any], name: str, atoms: int, seed: int) -> Cohort:
    """Read an outcome of simulated data."""
    with simulated(app) as folder:
        return _fewer(app.outcomes[name](folder, app.scales["full"]), atoms, seed)


def _outcome(app: Application[Any], name: str, atoms: int, seed: int) -> Cohort:
    """Read an outcome of the data of an application."""
    cohort = app.outcomes[name](data_folder(app.folder), app.scales["full"])
    return _fewer(cohort, atoms, seed)


def _fewer(cohort: Cohort, atoms: int, seed: int) -> Cohort:
    """Thin sets to at most so many atoms, which keep the proportions of their weights."""
    sets, rng = cohort.sets, np.random.default_rng(seed)
    if (sets.sizes <= atoms).all():
        return cohort
    kept = [
        np.sort(a + rng.permutation(int(b - a))[:atoms])
        for a, b in itertools.pairwise(sets.offsets)
    ]
    offsets = np.concatenate([[0], np.cumsum([len(k) for k in kept])])
    where, w = np.concatenate(kept), None
    if sets.w is not None:
        w = np.asarray(sets.w[:], np.float64)[where]
        w /= np.repeat(np.add.reduceat(w, offsets[:-1]), np.diff(offsets))
    rows = np.asarray(sets.rows[:])[where]
    return replace(cohort, sets=replace(sets, rows=rows, offsets=offsets, w=w))


def _samples(model: GDE, test: Sets, seed: int) -> Iterator[Score]:
    """Score atoms that are drawn from the embeddings of halves of held-out sets."""
    large = test.sizes >= 4
    if large.sum() < 2:
        return
    test = test.select(large)
    config = EvaluationConfig(context=512, target=128, metrics=("energy_unbiased",))
    subject = Subject.of(model)
    parts = halves(subject, test, config, seed)
    models = {
        "gde": (subject, np.asarray(subject.embed(parts.raw, covariance=True).z)),
    }
    counts = resamples(len(test), 2, stream(seed, "bootstrap"))
    for score in score_samples(models, parts, test.atoms.name, counts, config, seed):
        if score.method in _SAMPLES:
            yield Score("energy_unbiased", score.method, score.value)


def _combine(trials: Iterable[Iterable[Score]]) -> list[Score]:
    """Combine predictions and samples, one after the other."""
    every = [list(scores) for scores in trials]
    drawn = [[s for s in scores if s.metric == "energy_unbiased"] for scores in every]
    labels = [[s for s in scores if s.metric != "energy_unbiased"] for scores in every]
    return [*combine_folds(labels), *combine_samples(drawn)]


def _readers() -> dict[str, CohortReader]:
    """Return the reader of each outcome, by application."""
    readers: dict[str, CohortReader] = {}
    for key in APPS:
        app = load(key)
        for name in app.outcomes:
            readers[f"{key}_{name}"] = CohortReader(partial(_outcome, app, name), app.folder)
            if app.simulate is not None:
                readers[f"{key}_{name}_simulated"] = CohortReader(partial(_simulated, app, name))
        readers |= {k: COHORTS[v] for k, v in _SHARED.items() if k.startswith(f"{key}_")}
    return readers


TASKS = {name: cohort_task(reader, _samples) for name, reader in _readers().items()}
BENCH = Bench(
    "applications",
    TASKS,
    # at every scale, each class of a target is in three contexts, one of which is the test part
    {
        name: replace(own, sets=max(own.sets, 80), most_folds=max(own.most_folds, 3))
        for name, own in COHORT_BENCH.scales.items()
    },
    combine=_combine,
)
