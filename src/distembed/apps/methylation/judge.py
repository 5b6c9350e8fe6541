"""Judge of methylation: labels of held-out donors, tumour shares, detection, drawn molecules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distembed.apps.application import Case, Findings
from distembed.apps.drawn import drawn_scores
from distembed.apps.methylation.data import (
    DONORS,
    MethylationSettings,
    log_share,
    share_of_log,
)
from distembed.apps.methylation.features import simple_inputs
from distembed.apps.outcomes import Inputs, Outcome, predicted, ranked
from distembed.evaluation.result import Score
from distembed.heads.take import take
from distembed.sets.collection import Sets

__all__ = ["Confusion", "judge"]


@dataclass(frozen=True)
class Confusion:
    """Mean probabilities of labels, by true label.

    Attributes:
        labels: The labels, `(C,)`.
        count: Held-out samples of each, `(C,)`.
        probability: Mean over them of the probability of each label, `(C, C)`; NaN without any.
    """

    labels: NDArray[Any]
    count: NDArray[np.int64]
    probability: NDArray[np.float64]

    @classmethod
    def of(
        cls, y: NDArray[Any], probability: NDArray[np.float64], labels: NDArray[Any]
    ) -> Confusion:
        """Average the probabilities `(H, C)` of samples with the labels `(H,)`.

        Example:
            >>> Confusion.of(np.array(["a", "a"]), np.eye(2), np.array(["a", "b"])).probability
            array([[0.5, 0.5],
                   [nan, nan]])
        """
        rows = [probability[y == label] for label in labels]
        nothing = np.full(len(labels), np.nan)
        means = [own.mean(0) if len(own) else nothing for own in rows]
        return cls(labels, np.array([len(own) for own in rows]), np.array(means))


def judge(case: Case[MethylationSettings], fewest: int = 2, drawn: int = 24) -> Findings:
    """Predict labels and shares of held-out sets, and draw molecules from their embeddings.

    Args:
        case: The trained model, and the sets.
        fewest: Fewest samples of a label on either side.
        drawn: Most held-out samples whose molecules are drawn.
    """
    train, test, model = case.train, case.test, case.model
    case.log(f"embedding {len(train)} training and {len(test)} held-out sets")
    first = model.untrained()
    inputs = {
        "gde": Inputs(model.embed(train), model.embed(test)),
        "untrained": Inputs(first.embed(train), first.embed(test)),
        **simple_inputs(train, test),
    }
    scores: list[Score] = []
    remarks: list[str] = []
    of_labels: dict[str, Confusion] = {}
    for assay in np.unique(train.meta["assay"]):
        rows = [_labelled(sets, assay) for sets in (train, test)]
        labels = [sets.meta["label"][own] for sets, own in zip((train, test), rows, strict=True)]
        common = [v for v in np.unique(labels[0]) if min((y == v).sum() for y in labels) >= fewest]
        if len(common) < 2:
            remarks.append(
                f"The labels of {assay} samples are not predicted: fewer than two labels have "
                f"{fewest} samples on either side."
            )
            continue
        train_rows, test_rows = (
            own[np.isin(y, common)] for own, y in zip(rows, labels, strict=True)
        )
        outcome = Outcome(
            f"label_{assay}", train.meta["label"][train_rows], test.meta["label"][test_rows],
            train.meta["donor"][train_rows], test.meta["donor"][test_rows],
        )  # fmt: skip
        own_inputs = {k: _rows(v, train_rows, test_rows) for k, v in inputs.items()}
        result = predicted(outcome, own_inputs, seed=case.settings.seed)
        scores += result.scores
        of_labels[str(assay)] = Confusion.of(outcome.test, result.values["gde"], result.labels)
        remarks.append(
            f"{assay}: {len(train_rows)} training and {len(test_rows)} held-out samples of "
            f"{', '.join(common)}."
        )
    mixtures = [np.flatnonzero(sets.meta["kind"] == "mixture") for sets in (train, test)]
    values: Mapping[str, NDArray[np.float64]] = {}
    share = test.meta["share"][mixtures[1]].astype(np.float64)
    if len(mixtures[0]) and len(mixtures[1]):
        of_shares, values = _shares(case, inputs, mixtures)
        scores += of_shares
        donors = [np.setdiff1d(test.meta[kind], [""]) for kind in DONORS]
        remarks.append(
            f"Held-out mixtures have molecules of {len(donors[0])} donors of tumours and "
            f"{len(donors[1])} of the background; both are resampled for the intervals."
        )
    samples = np.flatnonzero((test.meta["kind"] == "sample") & (test.sizes >= 20))[:drawn]
    scores += drawn_scores(
        model, test.select(samples), task="drawn_molecules", atoms=case.settings.atoms,
        seed=case.settings.seed, metrics=("energy_unbiased", "spectrum", "lengths"), log=case.log,
        units=test.meta["donor"][samples],
    )  # fmt: skip
    return Findings(
        scores, {"share": share, "estimates": values, "labels": of_labels}, tuple(remarks)
    )


def _labelled(sets: Sets, assay: str) -> NDArray[np.int64]:
    own = (sets.meta["kind"] == "sample") & (sets.meta["assay"] == assay)
    return np.flatnonzero(own & (sets.meta["label"] != ""))


def _rows(inputs: Inputs, train: NDArray[np.int64], test: NDArray[np.int64]) -> Inputs:
    return Inputs(take(inputs.train, train), take(inputs.test, test))


def _shares(
    case: Case[MethylationSettings], inputs: Mapping[str, Inputs], rows: list[NDArray[np.int64]]
) -> tuple[list[Score], dict[str, NDArray[np.float64]]]:
    """Predict the share of the tumour, and detect small shares; return estimates by method."""
    meta = [
        sets.meta["share"][own].astype(np.float64)
        for sets, own in zip((case.train, case.test), rows, strict=True)
    ]
    donors = case.train.meta["donor"][rows[0]]
    logs = [log_share(share) for share in meta]
    units = [case.test.meta[kind][rows[1]] for kind in DONORS]
    outcome = Outcome("tumour_share_log", logs[0], logs[1], donors, units)
    own_inputs = {k: _rows(v, *rows) for k, v in inputs.items()}
    result = predicted(outcome, own_inputs, seed=case.settings.seed)
    scores = list(result.scores)
    for share in sorted(set(meta[1]) - {0.0})[:4]:
        own = (meta[1] == 0) | (meta[1] == share)
        values = {name: v[own] for name, v in result.values.items()}
        scores += ranked(
            f"tumour_{share:.0%}_against_none", meta[1][own] > 0, values, case.settings.seed,
            [unit[own] for unit in units],
        )  # fmt: skip
    return scores, {name: share_of_log(v) for name, v in result.values.items()}
