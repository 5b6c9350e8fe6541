"""Scores of early cells as witnesses of late ones, on clones that were held out.

For each kind of vector (embedding, mean expression, mean on principal components, cell types):

- `held_out`: mutual information of the early and the late vector over held-out clones. Its null
  pairs each clone with another of the same early and late cell type, so that what lies above it is
  more than cell types. The contrastive bound and the retrieval are those of a ridge forecast that
  was fitted to training clones.
- `in_sample`: the same estimate on training clones, the protocol of the paper.
- `fate`: the late composition of cell types, forecast from the early vector.
- `generation`: cells that are drawn from the forecast late embedding, against the real ones;
  beside them the same generator at the mean late embedding (`unconditional`) and at the early one
  (`persistence`), late cells of all training clones (`pooled`), and, of clones with four late
  cells or more, one half of them against the other (`floor`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from distembed.apps.application import Case, Findings
from distembed.apps.intervals import mean_score, r2_score
from distembed.apps.lineage.clones import Phases, atom_means, compositions, phases
from distembed.apps.lineage.data import LineageSettings
from distembed.apps.lineage.information import (
    contrastive_bits,
    permuted_bits,
    retrieval,
)
from distembed.apps.lineage.model import fit_wormhole
from distembed.apps.regression import regress
from distembed.batch import SetBatch
from distembed.divergences.energy import unbiased_energy
from distembed.evaluation.bootstrap import mean, resamples
from distembed.evaluation.result import Score, compare
from distembed.model.gde import GDE
from distembed.rng import stream
from distembed.sets.collection import Sets

__all__ = ["judge"]

Array = NDArray[np.float64]


def judge(case: Case[LineageSettings]) -> Findings:
    """Score embeddings and baselines on held-out clones."""
    large = case.train.select(case.train.sizes >= 2)
    case.log("training Wormhole, a baseline")
    published = fit_wormhole(large, case.settings)
    train, test = (_vectors(case, published, sets) for sets in (case.train, case.test))
    own_types, types = train["cell_types"], test["cell_types"]
    scores: list[Score] = []
    for task, parts, fate in (("held_out", test, types), ("in_sample", train, own_types)):
        for method, vectors in parts.items():
            scores += _information(case, task, method, vectors, _strata(fate))
    for method, vectors in test.items():
        score = _Forecast(train[method]).score(vectors)
        scores += _retrieval(method, score, case.settings.seed)
    for method, vectors in test.items():
        predicted = regress(train[method].early, own_types.late, vectors.early)
        scores.append(r2_score(method, types.late, predicted, own_types.late.mean(0), "fate"))
    forecast = _Forecast(train["gde"])
    scores += _generation(case, forecast, test["gde"])
    order = ("held_out", "in_sample", "fate", "generation")
    scores.sort(key=lambda score: order.index(score.task))
    states, _ = compositions(case.test)
    late = test["gde"].late
    values = {
        "states": states, "types": types, "late": late,
        "forecast": forecast.predict(test["gde"].early),
    }  # fmt: skip
    remarks = (
        f"Of the held-out clones, {len(types.clones)} have cells both before and on day "
        f"{case.settings.late:g}; of the training clones, {len(own_types.clones)}.",
    )
    return Findings(scores, values, remarks)


def _vectors(case: Case[LineageSettings], published: GDE, sets: Sets) -> dict[str, Phases]:
    """Return the vectors of the clones of both phases by method."""
    model, last = case.model, case.settings.late
    values = {
        "gde": model.embed(sets, covariance=False).z.astype(np.float64),
        "untrained": model.untrained().embed(sets, covariance=False).z.astype(np.float64),
        "wormhole": published.embed(sets, covariance=False).z.astype(np.float64),
        "mean_pca": atom_means(sets, model.atom_transform),
        "mean_expression": atom_means(sets, lambda x: torch.log1p(x)),
        "cell_types": compositions(sets)[1],
    }
    return {method: phases(value, sets, last) for method, value in values.items()}


def _strata(types: Phases) -> NDArray[np.int64]:
    """Number clones by their most frequent early and late cell type, `(C,)`."""
    pair = np.stack([types.early.argmax(1), types.late.argmax(1)], axis=1)
    return np.asarray(np.unique(pair, axis=0, return_inverse=True)[1]).ravel().astype(np.int64)


def _information(
    case: Case[LineageSettings],
    task: str,
    method: str,
    vectors: Phases,
    strata: NDArray[np.int64],
) -> Iterator[Score]:
    """Estimate mutual information, and its null within cell types."""
    rng = np.random.default_rng(case.settings.seed)
    # a little noise, without which clones of equal composition would be neighbours at distance 0
    x, y = (v + 1e-10 * rng.normal(size=v.shape) for v in (vectors.early, vectors.late))
    value, null = permuted_bits(x, y, strata, case.settings.permutations, rng)
    low, high = np.quantile(null, [0.025, 0.975])
    p = float((1 + (null >= value).sum()) / (1 + len(null)))
    yield Score("bits_shared", method, value, task=task)
    yield Score("bits_null", method, float(null.mean()), float(low), float(high), task=task)
    yield Score("p_null", method, p, task=task)


class _Forecast:
    """Ridge regression of late vectors on early ones, with a Gaussian score of pairs.

    The deviations and the temperature of the score are those of out-of-fold forecasts.

    Args:
        train: Vectors of training clones.
    """

    def __init__(self, train: Phases) -> None:
        self.train = train
        fold = np.arange(len(train.clones)) % 5
        late = np.empty_like(train.late)
        for number in range(5):
            rows = fold != number
            late[~rows] = regress(train.early[rows], train.late[rows], train.early[~rows])
        # a coordinate that hardly varies among training clones would decide every score
        error = np.sqrt(np.square(train.late - late).mean(0))
        self.deviation = np.maximum(error, 0.1 * np.sqrt(np.square(error).mean()))
        own = self._distances(late, train.late)
        bits = {t: contrastive_bits(-t * own) for t in np.logspace(-4, 0.5, 19)}
        self.temperature = float(max(bits, key=lambda t: bits[t]))

    def predict(self, early: Array) -> Array:
        """Forecast late vectors, `(C, F)`."""
        return regress(self.train.early, self.train.late, early)

    def score(self, vectors: Phases) -> Array:
        """Score each early vector with each late one, `(C, C)`."""
        return -self.temperature * self._distances(self.predict(vectors.early), vectors.late)

    def _distances(self, forecast: Array, late: Array) -> Array:
        distance = cdist(forecast / self.deviation, late / self.deviation, "sqeuclidean")
        return np.asarray(distance, np.float64) / 2


def _retrieval(method: str, score: Array, seed: int) -> Iterator[Score]:
    """Score the retrieval of the late cells of a clone among those of all held-out clones."""
    yield Score("bits_contrastive", method, contrastive_bits(score), task="held_out")
    yield mean_score("retrieval", method, retrieval(score), "held_out", seed)


def _generation(
    case: Case[LineageSettings], forecast: _Forecast, vectors: Phases, n: int = 64
) -> list[Score]:
    """Compare drawn late cells with real ones, in the ground space of the model."""
    model, last, seed = case.model, case.settings.late, case.settings.seed
    day, clone = case.test.meta["day"], case.test.meta["clone"]
    large = case.test.sizes >= 2
    real = case.test.select((day == last) & large & np.isin(clone, vectors.clones))
    place = {name: i for i, name in enumerate(vectors.clones.tolist())}
    rows = [place[name] for name in real.meta["clone"].tolist()]
    z = {
        "gde": forecast.predict(vectors.early[rows]),
        "unconditional": np.repeat(forecast.train.late.mean(0)[None], len(rows), axis=0),
        "persistence": vectors.early[rows],
    }
    cells = {name: model.sample(own, n, rng=seed, ground="model") for name, own in z.items()}
    late = case.train.select(case.train.meta["day"] == last)
    others = model.atom_transform(late.batch(range(len(late))).x)
    drawn = torch.randint(len(others), (len(rows), n), generator=stream(seed, "pooled"))
    truth = _ground(model, real)
    values = {
        name: _energies(SetBatch.from_dense(torch.as_tensor(np.asarray(x))), truth)
        for name, x in {**cells, "pooled": others[drawn].numpy()}.items()
    }
    counts = resamples(len(real), 1000, stream(seed, "units"))
    estimates = {name: mean(v, counts) for name, v in values.items()}
    divided = np.flatnonzero(real.sizes >= 4)
    if len(divided):
        most = int(real.sizes.max())
        halves = truth.select(divided.tolist()).split(most, most, stream(seed, "halves"))
        estimates["floor"] = mean(_energies(*halves), counts[:, divided])
    scores = compare("energy_unbiased", estimates, {})
    return [replace(score, task="generation") for score in scores]


def _ground(model: GDE, sets: Sets) -> SetBatch:
    """Return sets in the ground space of a model."""
    batch = sets.batch(range(len(sets)))
    return batch.replace(x=model.atom_transform(batch.x))


def _energies(a: SetBatch, b: SetBatch) -> Array:
    values: Array = unbiased_energy(a.replace(x=a.x.to(b.x.dtype)), b).double().numpy()
    return values
