"""Judge of promoters: expression of held-out bins, hits of motifs, an oracle, novelty."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distembed.apps.application import Case, Findings
from distembed.apps.drawn import drawn_scores
from distembed.apps.intervals import mean_score
from distembed.apps.outcomes import Inputs, Outcome, predicted
from distembed.apps.promoters.data import Division, PromoterSettings, divide
from distembed.apps.promoters.drawing import Texts, draw_promoters, halved
from distembed.apps.promoters.hits import HitScale, hit_correlation, hit_error
from distembed.apps.promoters.motifs import MOTIFS, motif_hits
from distembed.apps.promoters.oracle import Oracle
from distembed.encoders.sequence_features import mean_kmers
from distembed.evaluation.bootstrap import resamples
from distembed.evaluation.result import Score, compare
from distembed.rng import stream

__all__ = ["judge"]

Array = NDArray[np.float64]
Rows = NDArray[np.integer[Any]] | NDArray[np.bool_]


def judge(case: Case[PromoterSettings]) -> Findings:
    """Score embeddings and drawn promoters of held-out bins."""
    settings, seed = case.settings, case.settings.seed
    division = divide(case.source, settings)
    case.log("predicting the expression of held-out bins")
    scores = _expression(case)
    parts = np.flatnonzero(~case.test.meta["beyond"])[:: max(1, len(case.test) // 20)]
    scores += drawn_scores(
        case.model, case.test.select(parts), task="drawn_promoters", atoms=settings.atoms,
        seed=seed, metrics=("energy_unbiased", "spectrum"), units=case.test.meta["bin"][parts],
        log=case.log,
    )  # fmt: skip
    apart = np.flatnonzero(division.bin < 0)
    rng = np.random.default_rng([seed, 3])
    apart = rng.permutation(apart)[: settings.oracle_promoters]
    sequence = division.promoters.sequence
    case.log(f"fitting the oracle of expression to {len(apart)} promoters of no set")
    oracle = Oracle.fit(sequence[apart].tolist(), division.promoters.level[apart], rng)
    bins = np.flatnonzero(division.held_out)
    halves = halved(division, bins.tolist(), case.train, settings.drawn, seed)
    case.log(f"drawing {settings.drawn} promoters for each of {len(bins)} held-out bins")
    drawn = draw_promoters(case, division, halves)
    training = np.flatnonzero(~division.held_out)
    real = _hits([sequence[division.rows(int(b))].tolist() for b in range(len(division.medium))])
    scale, target = HitScale.of(real[training]), _hits(halves.target)
    hits = {name: _hits(texts) for name, texts in drawn.items()}
    levels = {name: _levels(oracle, texts) for name, texts in drawn.items()}
    goal = _levels(oracle, halves.target)
    for name, own in (("held_out", ~division.beyond[bins]), ("beyond", division.beyond[bins])):
        scores += _motif_scores(f"motifs_{name}", hits, target, own, scale, seed)
        for method, level in levels.items():
            gap = np.abs(level - goal)[own]
            scores.append(mean_score("mae", method, gap, f"oracle_expression_{name}", seed))
    scores += _novelty(division, drawn, seed)
    remarks = (
        f"The oracle is a ridge regression on k-mers of {oracle.promoters:,} promoters that are "
        f"in no set; its R2 on others is {oracle.r2:.2f}.",
        "Motif scores are of hits in units of their deviation over training bins, with intervals "
        f"over {len(MOTIFS)} motifs; held out are bins between training bins, and beyond are the "
        f"{settings.beyond} bins of the highest expression.",
    )
    values = {
        "real": scale(real), "level": division.level, "medium": division.medium,
        "held_out": division.held_out, "drawn": scale(hits["gde"]), "bins": bins,
        "direction": scale(hits["direction"]),
        "trained": scale(_trained(case, division, training)), "training": training,
        "oracle": levels, "goal": goal,
    }  # fmt: skip
    return Findings(scores, values, remarks)


def _expression(case: Case[PromoterSettings]) -> list[Score]:
    """Predict the mean expression of held-out sets, of bins between and beyond training bins."""
    train, test, model = case.train, case.test, case.model
    batches = [sets.batch(range(len(sets))) for sets in (train, test)]
    tables = [(m.embed(train), m.embed(test)) for m in (model, model.untrained())]
    kmers = [mean_kmers(batch, 4, 256).numpy() for batch in batches]
    level = [sets.meta["level"].astype(np.float64) for sets in (train, test)]
    scores: list[Score] = []
    beyond = test.meta["beyond"]
    for name, own in (("held_out", ~beyond), ("beyond", beyond)):
        rows = np.flatnonzero(own)
        inputs = {
            "gde": Inputs(tables[0][0], tables[0][1].select(own)),
            "untrained": Inputs(tables[1][0], tables[1][1].select(own)),
            "kmers": Inputs(kmers[0], kmers[1][rows]),
        }
        outcome = Outcome(
            f"expression_{name}", level[0], level[1][rows], train.meta["bin"],
            test.meta["bin"][rows],
        )  # fmt: skip
        scores += predicted(outcome, inputs, seed=case.settings.seed).scores
    # all levels beyond are alike, and there is no variance to explain
    return [s for s in scores if (s.metric, s.task) != ("r2", "expression_beyond")]


def _hits(texts: Texts) -> Array:
    """Return the mean hits of each motif in lists of promoters, `(B, K)`."""
    return np.array([motif_hits(own).mean(0) for own in texts])


def _levels(oracle: Oracle, texts: Texts) -> Array:
    """Return the mean expression by the oracle of lists of promoters, `(B,)`."""
    return np.array([oracle.predict([s for s in own if s]).mean() for own in texts])


def _motif_scores(
    task: str, hits: dict[str, Array], target: Array, own: Rows, scale: HitScale, seed: int
) -> list[Score]:
    counts = resamples(target.shape[1], 1000, stream(seed, "motifs"))
    real = scale(target[own])
    scores = []
    for metric, function in (("motif_correlation", hit_correlation), ("motif_error", hit_error)):
        estimates = {k: function(scale(h[own]), real, counts) for k, h in hits.items()}
        scores += [replace(s, task=task) for s in compare(metric, estimates, {})]
    return scores


def _novelty(division: Division, drawn: dict[str, Texts], seed: int) -> list[Score]:
    """Score the share of drawn promoters that are promoters of training bins."""
    own = (division.bin >= 0) & ~division.held_out[division.bin]
    training = set(division.promoters.sequence[own].tolist())
    scores = []
    for name, texts in drawn.items():
        share = np.array([np.mean([s in training for s in own]) for own in texts])
        scores.append(mean_score("copies", name, share, "copies_of_training_promoters", seed))
    return scores


def _trained(case: Case[PromoterSettings], division: Division, training: Rows) -> Array:
    """Draw from the embeddings of training bins, for the figure; return their hits."""
    halves = halved(
        division, training.tolist(), case.train, case.settings.drawn, case.settings.seed
    )
    table = case.model.embed(halves.context, covariance=False)
    return _hits(case.model.sample(table, case.settings.drawn, rng=1, as_data=True))
