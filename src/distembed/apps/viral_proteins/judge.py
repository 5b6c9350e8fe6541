"""Judge of viral proteins: date and region, also forward in time; drawn proteins; their clades."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from distembed.apps.application import Case, Findings
from distembed.apps.drawn import drawn_scores
from distembed.apps.intervals import mean_score
from distembed.apps.outcomes import Inputs, Outcome, Predictions, predicted
from distembed.apps.viral_proteins.clades import clade_distance, column_frequencies, nearest_sets
from distembed.apps.viral_proteins.data import ViralSettings, forward_in_time
from distembed.apps.viral_proteins.model import model as untrained_model
from distembed.encoders.sequence_features import mean_kmers
from distembed.evaluation.result import Score
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
        scores += predicted(Outcome("region", regions[0], regions[1]), chosen, seed=seed).scores
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
        metrics=("energy_unbiased", "columns", "copies"),
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
    return predicted(Outcome(task, date[0], date[1]), inputs, seed=seed)


def _clades(case: Case[ViralSettings]) -> tuple[list[Score], dict[str, Any]]:
    """Draw proteins from half of each held-out set, and compare columns and clades.

    A protein has the clade of the training set that holds its nearest training protein.
    """
    test, model, seed = case.test, case.model, case.settings.seed
    large = np.flatnonzero(test.sizes >= 4)
    batch = test.batch(large.tolist())
    context, target = batch.split(case.settings.atoms, case.settings.atoms, stream(seed, "clades"))
    table = model.embed(context, covariance=False)
    n = int(target.sizes.max())
    drawn = torch.as_tensor(model.sample(table, n, rng=seed))
    training = case.train.batch(range(len(case.train)))
    vocab, space = int(test.atoms.facts["vocab"]), test.atoms
    every = torch.randint(len(training.x), (len(large), n), generator=stream(seed, "any"))
    proteins = {
        "gde": list(drawn),
        "unconditional": list(training.x[every]),
        "floor": [context[b].x for b in range(len(context))],
    }
    clade = case.train.meta["clade"]
    sources = {"clade": clade} if (clade != "").any() else {"region": case.train.meta["region"]}
    ((label, names),) = sources.items()
    real = [target[b].x for b in range(len(target))]
    goal = [names[nearest_sets(x, training, space).numpy()].tolist() for x in real]
    scores = []
    frequencies: dict[str, Array] = {}
    aligned = bool(space.facts["aligned"])
    for name, sets in proteins.items():
        chosen = [names[nearest_sets(x, training, space).numpy()].tolist() for x in sets]
        values = np.array([clade_distance(a, b) for a, b in zip(chosen, goal, strict=True)])
        scores.append(mean_score("clade_distance", name, values, f"{label}s_of_drawn", seed))
        if aligned:
            shares = [column_frequencies(x, vocab) for x in sets]
            truth = [column_frequencies(x, vocab) for x in real]
            gaps = np.array([np.abs(a - b).mean() for a, b in zip(shares, truth, strict=True)])
            scores.append(mean_score("column_error", name, gaps, "columns_of_drawn", seed))
            # of few proteins a share has few values, and no picture
            many = [b for b in range(len(real)) if len(real[b]) >= 10] or range(len(real))
            frequencies[name] = np.concatenate([shares[b].ravel() for b in many])
            frequencies["real"] = np.concatenate([truth[b].ravel() for b in many])
    return scores, {"frequencies": frequencies}
