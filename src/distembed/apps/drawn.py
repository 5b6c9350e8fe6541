"""Drawn sequences of held-out sets beside their other half, and beside counted laws.

The embedding of one half of a set is decoded, and compared with the other half
(`distembed.evaluation`): by the energy distance, k-mers, columns and copies, and by the bits a
residue that the held-out half takes. Baselines see the same half: its positions, its Markov chain;
`pooled` and `markov_others` are sequences of the other sets, which is generation without a
condition.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from distembed.apps.intervals import Units, unit_resamples
from distembed.evaluation.bits import score_bits
from distembed.evaluation.halves import EvaluationConfig, halves
from distembed.evaluation.result import Score
from distembed.evaluation.samples import score_samples
from distembed.evaluation.subject import Subject
from distembed.model.gde import GDE
from distembed.rng import stream
from distembed.sets.collection import Sets

__all__ = ["drawn_scores"]


def drawn_scores(
    model: GDE,
    sets: Sets,
    *,
    task: str,
    atoms: int,
    seed: int = 0,
    metrics: tuple[str, ...] = ("energy_unbiased", "spectrum", "columns", "copies"),
    units: Units = None,
    log: Callable[[str], None],
) -> list[Score]:
    """Score drawn sequences, and the likelihood of held-out ones.

    Args:
        model: The model.
        sets: Held-out sets, of four atoms at least to be scored.
        task: Name of the outcome.
        atoms: Most atoms of a half.
        seed: Seed of the halves and the draws.
        metrics: Metrics of samples.
        units: What is resampled as a whole.
        log: Takes lines of progress.
    """
    log(f"drawing sequences of {len(sets)} held-out sets ({task})")
    config = EvaluationConfig(context=atoms, target=atoms, metrics=metrics)
    subject = Subject.of(model)
    parts = halves(subject, sets, config, seed)
    counts = unit_resamples(len(sets), units, config.resamples, stream(seed, "bootstrap"))
    table, other = (m.embed(parts.raw, covariance=False) for m in (model, model.untrained()))
    models = {
        "gde": (subject, np.asarray(table.z)),
        "untrained": (Subject.of(model.untrained()), np.asarray(other.z)),
    }
    scores = score_samples(models, parts, sets.atoms.name, counts, config, seed)
    vocab = int(sets.atoms.facts["vocab"])
    scores += score_bits({"gde": (model, table)}, parts, vocab, counts)
    return [replace(score, task=task) for score in scores]
