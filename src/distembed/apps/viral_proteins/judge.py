"""Judge of viral proteins: date and region, also forward in time; drawn proteins; their clades."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from distembed.apps.application import Case, Findings
from distembed.apps.drawn import drawn_scores
from distembed.apps.intervals import unit_resamples
from distembed.apps.outcomes import Inputs, Outcome, Predictions, predicted
from distembed.apps.viral_proteins.clades import clade_distance, column_frequencies, nearest_sets
from distembed.apps.viral_proteins.data import ViralSettings, forward_in_time
from distembed.apps.viral_proteins.model import model as untrained_model
from distembed.encoders.sequence_features import mean_kmers
from distembed.evaluation.bootstrap import mean
from distembed.evaluation.result import Score, compare
from distembed.heads.take import take
from distembed.model.gde import GDE
from distembed.rng import stream
from distembed.sets.collection import Sets

__all__ = ["judge"]

Array = NDArray[np.float64]


def judge(case: Case[ViralSettings], fewest: int = 4) -> Findings:
    """Score predictions of date and region, and proteins that are drawn for held-out sets.

    Args:
        case: The trained model and the sets.
        fewest: Fewest training sets of a region that is predicted.
    """
    train, test, model, seed = case.train, case.test, case.model, case.settings.seed
    case.log("predicting the dates and regions of held-out sets")
    inputs = _inputs(model, train, test, seed)
    dates = _date("date_random_split", train, test, inputs, seed)
    scores = [*dates.scores]
    remarks = []
    names, count = np.unique(train.meta["region"], return_counts=True)
    common = names[(count >= fewest) & np.isin(names, test.meta["region"])]
    own = [np.flatnonzero(np.isin(sets.meta["region"], common)) for sets in (train, test)]
    if len(common) >= 2:
        regions = [s.meta["region"][r] for s, r in zip((train, test), own, strict=True)]
        chosen = {
            k: Inputs(take(v.train, own[0]), take(v.test, own[1])) for k, v in inputs.items()
        }
        outcome = Outcome("region", regions[0], regions[1], units=test.meta["country"][own[1]])
        scores += predicted(outcome, chosen, seed=seed).scores
        remarks.append(f"Regions of {fewest} training sets or more: {', '.join(common)}.")
    else:
        remarks.append(
            f"The region is not predicted: fewer than two have {fewest} training sets or more."
        )
    case.log("training a second model, of the sets before the last years")
    early, late = forward_in_time(case.source, case.settings)
    second = untrained_model(case.settings).fit(early, case.settings.training, progress=False)
    forward = _date("date_forward", early, late, _inputs(second, early, late, seed), seed)
    # all late sets are later than the mean of the training, and r2 would reward any late guess
    scores += [score for score in forward.scores if score.metric == "mae"]
    remarks.append(
        f"Forward in time: {len(early)} sets before {np.floor(late.meta['date'].min()):.0f} are "
        f"trained on, and {len(late)} later ones are held out."
    )
    scores += drawn_scores(
        model, test, task="drawn_proteins", atoms=case.settings.atoms, seed=seed, log=case.log,
        metrics=("energy_unbiased", "columns", "copies"), units=test.meta["country"],
    )  # fmt: skip
    of_clades, values = _clades(case)
    scores += of_clades
    table = {"train": inputs["gde"].train, "test": inputs["gde"].test}
    values |= {"dates": test.meta["date"], "predicted": dates.values, **table}
    return Findings(scores, values, tuple(remarks))


def _inputs(model: GDE, train: Sets, test: Sets, seed: int) -> dict[str, Inputs]:
    """Compute embeddings and simple features."""
    vocab = int(train.atoms.facts["vocab"])
    batches = [sets.batch(range(len(sets))) for sets in (train, test)]
    first = model.untrained()
    inputs = {
        "gde": Inputs(model.embed(train), model.embed(test)),
        "untrained": Inputs(first.embed(train), first.embed(test)),
        "kmers": Inputs(*(mean_kmers(batch, vocab, 600).numpy() for batch in batches)),
    }
    for name, most in (("sites", None), ("one_sequence", 1)):
        parts = [b if most is None else b.subsample(most, stream(seed, "one")) for b in batches]
        tokens = range(1, vocab + 1)
        shares = [
            torch.stack([b.mean((b.x == token).double()) for token in tokens], 2) for b in parts
        ]
        inputs[name] = Inputs(*(share.flatten(1).numpy() for share in shares))
    return inputs


def _date(
    task: str, train: Sets, test: Sets, inputs: Mapping[str, Inputs], seed: int
) -> Predictions:
    date = [sets.meta["date"].astype(np.float64) for sets in (train, test)]
    return predicted(
        Outcome(task, date[0], date[1], units=test.meta["country"]), inputs, seed=seed
    )


def _clades(case: Case[ViralSettings]) -> tuple[list[Score], dict[str, Any]]:
    """Draw proteins from half of each held-out set, and compare columns and clades.

    All methods have as many proteins as that half, which is the floor: shares of few proteins are
    noisy, and alike noisy then. A protein has the clade of the training set that holds its nearest
    training protein.
    """
    test, model, seed = case.test, case.model, case.settings.seed
    large = np.flatnonzero(test.sizes >= 4)
    batch = test.batch(large.tolist())
    context, target = batch.split(case.settings.atoms, case.settings.atoms, stream(seed, "clades"))
    table = model.embed(context, covariance=False)
    sizes = context.sizes.tolist()
    drawn = torch.as_tensor(model.sample(table, max(sizes), rng=seed))
    training = case.train.batch(range(len(case.train)))
    vocab, space = int(test.atoms.facts["vocab"]), test.atoms
    shape = len(large), max(sizes)
    every = torch.randint(len(training.x), shape, generator=stream(seed, "any"))
    proteins = {
        "gde": [x[:n] for x, n in zip(drawn, sizes, strict=True)],
        "unconditional": [training.x[rows[:n]] for rows, n in zip(every, sizes, strict=True)],
        "floor": [context[b].x for b in range(len(context))],
    }
    clade = case.train.meta["clade"]
    sources = {"clade": clade} if (clade != "").any() else {"region": case.train.meta["region"]}
    ((label, names),) = sources.items()
    real = [target[b].x for b in range(len(target))]

    def clades(x: torch.Tensor) -> list[str]:
        return list(names[nearest_sets(x, training, space).numpy()].tolist())

    goal = [clades(x) for x in real]
    distances = {
        name: np.array([clade_distance(clades(x), y) for x, y in zip(sets, goal, strict=True)])
        for name, sets in proteins.items()
    }
    units = test.meta["country"][large]
    counts = unit_resamples(len(large), units, 1000, stream(seed, "countries"))
    scores = _compared("clade_distance", f"{label}s_of_drawn", distances, counts)
    if not space.facts["aligned"]:
        return scores, {"frequencies": {}}
    truth = [column_frequencies(x, vocab) for x in real]
    shares = {name: [column_frequencies(x, vocab) for x in v] for name, v in proteins.items()}
    gaps = {
        name: np.array([np.abs(a - b).mean() for a, b in zip(own, truth, strict=True)])
        for name, own in shares.items()
    }
    scores += _compared("column_error", "columns_of_drawn", gaps, counts)
    # of few proteins a share has few values, and no picture
    many = [b for b, x in enumerate(real) if len(x) >= 10] or range(len(real))
    frequencies = {
        name: np.concatenate([own[b].ravel() for b in many])
        for name, own in {**shares, "real": truth}.items()
    }
    return scores, {"frequencies": frequencies}


def _compared(metric: str, task: str, values: Mapping[str, Array], counts: Array) -> list[Score]:
    """Average a number over held-out sets by method, with a test against the best baseline."""
    estimates = {name: mean(v, counts) for name, v in values.items()}
    return [replace(score, task=task) for score in compare(metric, estimates, {})]
