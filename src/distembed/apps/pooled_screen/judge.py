"""Scores of images: doses from embeddings, and cells that are drawn at held-out conditions.

- `dose`: the dose of held-out wells, by ridge from embeddings, features of CellProfiler, the mean
  image, or the nuclear ratio that the assay is made for.
- `unseen`: cells of a condition without training sets, against one half of its real cells. `gde`
  draws them from the embedding that is interpolated between the doses beside it (or forecast from
  gene vectors); `gde_encoded` from that of the other half, which is the `floor`; `nearest` and
  `mixture` are real cells of the conditions beside it. All have equal numbers of cells.
- `change`: the change of the nuclear ratio from the controls, over held-out conditions.
- `ratio_DRUG_DOSE`: the nuclear ratio itself, of the half that judges (`real`) and of each method.
  Intervals resample wells, whose cells are not independent. They are those of `real` and `floor`,
  which have wells; the other methods are one forecast each.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from distembed.apps.application import Case, Findings
from distembed.apps.descriptors import read_vectors
from distembed.apps.intervals import mean_score, r2_score
from distembed.apps.pooled_screen.between import Neighbours, by_dose, by_vector
from distembed.apps.pooled_screen.data import VECTORS, ScreenSettings, features
from distembed.apps.pooled_screen.masks import nuclear_ratio
from distembed.apps.regression import regress
from distembed.batch import SetBatch
from distembed.divergences.c2st import neighbour_accuracy
from distembed.divergences.energy import unbiased_energy
from distembed.evaluation.result import Score
from distembed.nn.subspace import leading_subspace
from distembed.rng import stream
from distembed.sets.collection import Sets

__all__ = ["judge"]

Array = NDArray[np.float64]
METHODS = (
    "gde", "gde_encoded", "nearest", "mixture", "pooled", "mean_image", "floor",
)  # fmt: skip


@dataclass(frozen=True)
class _Condition:
    """A held-out condition.

    Attributes:
        name: Its name.
        real: Images of its cells, `(n, C, H, W)`.
        cells: Images by method.
        wells: Number of the well of each cell, of `real` and of methods whose cells have wells.
    """

    name: str
    real: NDArray[np.float32]
    cells: dict[str, NDArray[np.float32]]
    wells: dict[str, NDArray[np.int64]]

    def equal(self, method: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the cells of a method and real ones, as many of both for all methods."""
        n = min(map(len, (self.real, *self.cells.values())))
        return self.cells[method][:n], self.real[:n]


def judge(case: Case[ScreenSettings]) -> Findings:
    """Score doses of held-out wells, and cells that are drawn at held-out conditions."""
    z_train, z_test = (
        case.model.embed(sets, covariance=False).z.astype(np.float64)
        for sets in (case.train, case.test)
    )
    scores = list(_doses(case, z_train, z_test)) if "dose" in case.train.meta else []
    conditions = list(_conditions(case, z_train))
    case.log(f"measuring nuclei of {len(conditions)} conditions")
    control = _mean_ratio(_images(case.train, np.flatnonzero(case.train.meta["control"] != 0)))
    real = np.array([_mean_ratio(c.real) for c in conditions])
    ratios = {m: np.array([_mean_ratio(c.cells[m]) for c in conditions]) for m in METHODS}
    seed = case.settings.seed
    axes = _axes(case)
    for method in METHODS:
        yielded = [_against(case, axes, c, method) for c in conditions]
        energy, accuracy = np.array(yielded).T
        gap = np.abs(ratios[method] - real)
        scores.append(mean_score("ratio_error", method, gap, "unseen", seed))
        scores.append(mean_score("energy_unbiased", method, energy, "unseen", seed))
        scores.append(mean_score("c2st", method, accuracy, "unseen", seed))
    for method in ("gde", "gde_encoded", "nearest", "mixture", "pooled"):
        change = ratios[method] - control
        base = np.zeros(1)
        scores.append(r2_score(method, real - control, change, base, "change", seed))
    if "dose" in case.test.meta:
        scores += [score for condition in conditions for score in _ratio_scores(condition, seed)]
    values = {
        "conditions": conditions, "real": real, "drawn": ratios["gde"], "control": control,
        "train": [
            (case.train.ids[s], _mean_ratio(_images(case.train, np.array([s]))))
            for s in range(len(case.train))
        ],
    }  # fmt: skip
    remarks = ("R2 of `change` is 1 - squared error over that of no change.",)
    return Findings(scores, values, remarks)


def _doses(case: Case[ScreenSettings], z_train: Array, z_test: Array) -> Iterator[Score]:
    """Score forecasts of the dose of held-out wells."""
    start = case.model.untrained()
    inputs = {
        "gde": (z_train, z_test),
        "untrained": tuple(
            start.embed(sets, covariance=False).z.astype(np.float64)
            for sets in (case.train, case.test)
        ),
        "features": _standard(features(case.train), features(case.test)),
        "mean_image": (_mean_images(case.train), _mean_images(case.test)),
        "nuclear_ratio": (_ratios(case.train), _ratios(case.test)),
    }
    y = case.train.meta["dose"].astype(np.float64)
    truth = case.test.meta["dose"].astype(np.float64)
    for method, (x, new) in inputs.items():
        forecast = regress(x, y[:, None], new)[:, 0]
        yield r2_score(
            method, truth, forecast, np.array([y.mean()]), "dose", case.settings.seed,
            units=case.test.meta["condition"],
        )  # fmt: skip


def _conditions(case: Case[ScreenSettings], z_train: Array) -> Iterator[_Condition]:
    """Predict the cells of each held-out condition by all methods."""
    train, test, n = case.train, case.test, case.settings.draws
    names = np.unique(test.meta["condition"])
    first = [int(np.flatnonzero(test.meta["condition"] == name)[0]) for name in names]
    sides: list[Neighbours]
    if "dose" in test.meta:
        sides = [
            by_dose(train, float(test.meta["dose"][s]), str(test.meta["group"][s])) for s in first
        ]
        z = np.array([side.between(z_train) for side in sides])
    else:
        vectors = read_vectors(case.source / VECTORS, "vectors of genes")
        z, sides = by_vector(vectors, train, z_train, names)
    rng = np.random.default_rng(case.settings.seed)
    seed = case.settings.seed
    for k, name in enumerate(names.tolist()):
        wells = test.batch(np.flatnonzero(test.meta["condition"] == name).tolist())
        # half of each well: a training set is a well, and so is what is embedded
        most = int(wells.sizes.max())
        encoded, real = wells.split(most, most, stream(seed, "halves", name))
        z_half = case.model.embed(encoded, covariance=False).z.astype(np.float64).mean(0)
        order = rng.permutation(len(encoded.x))
        half = encoded.x.numpy()[order]
        owner = {"floor": np.repeat(np.arange(len(encoded)), encoded.sizes)[order]}
        beside = [rng.permutation(_images(train, rows)) for rows in sides[k].wells]
        counts = [round(share * n) for share in sides[k].shares]
        nearest = rng.permutation(_images(train, sides[k].nearest))
        cells = {
            "gde": np.asarray(case.model.sample(z[k], n, seed)),
            "gde_encoded": np.asarray(case.model.sample(z_half, n, seed)),
            "nearest": nearest[:n],
            "mixture": _interleaved([x[:m] for x, m in zip(beside, counts, strict=True)]),
            "pooled": rng.permutation(
                _images(train, rng.choice(len(train), min(len(train), 12), replace=False))
            )[:n],
            "mean_image": np.repeat(nearest.mean(0)[None], n, axis=0),
            "floor": half,
        }
        order = rng.permutation(len(real.x))
        owner["real"] = np.repeat(np.arange(len(real)), real.sizes)[order]
        yield _Condition(name, real.x.numpy()[order], cells, owner)


def _interleaved(parts: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Join images so that the first n of them hold the parts in proportion, for every n."""
    place = np.concatenate([(np.arange(len(x)) + 0.5) / len(x) for x in parts if len(x)])
    images: NDArray[np.float32] = np.concatenate(parts)[np.argsort(place, kind="stable")]
    return images


def _images(sets: Sets, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    images: NDArray[np.float32] = sets.batch(rows.tolist()).x.numpy()
    return images


def _log_ratios(images: NDArray[np.float32]) -> Array:
    """Return the log nuclear ratio of each image, NaN of one without a nucleus, `(n,)`."""
    ratio = nuclear_ratio(images)
    logs: Array = np.log(np.where(np.isfinite(ratio) & (ratio > 0), ratio, np.nan))
    return logs


def _mean_ratio(images: NDArray[np.float32]) -> float:
    """Return the mean log nuclear ratio; zero if no image has a nucleus."""
    logs = _log_ratios(images)
    return float(np.nanmean(logs)) if np.isfinite(logs).any() else 0.0


def _ratio_scores(condition: _Condition, seed: int) -> Iterator[Score]:
    """Return the geometric mean of the nuclear ratio, with its interval over wells, by method."""
    task = f"ratio_{condition.name.replace(' ', '_')}"
    for method, images in {"real": condition.real, **condition.cells}.items():
        logs = _log_ratios(images)
        whole = np.isfinite(logs)
        if not whole.any():
            continue
        score = Score("nuclear_ratio", method, float(logs[whole].mean()), task=task)
        if method in condition.wells:
            wells = condition.wells[method][whole]
            score = mean_score("nuclear_ratio", method, logs[whole], task, seed, units=wells)
        value, low, high = np.exp([score.value, score.low, score.high]).tolist()
        yield replace(score, value=value, low=low, high=high)


def _ratios(sets: Sets) -> Array:
    return np.array([[_mean_ratio(_images(sets, np.array([s])))] for s in range(len(sets))])


def _mean_images(sets: Sets) -> Array:
    """Return the mean image of each set, `(S, D)`."""
    batch = sets.batch(range(len(sets)))
    mean: Array = batch.mean(batch.flat64).numpy()
    return mean


def _standard(train: Array, test: Array) -> tuple[Array, Array]:
    """Scale features to one deviation over training sets."""
    centre, scale = train.mean(0), train.std(0).clip(1e-12)
    return (train - centre) / scale, (test - centre) / scale


def _axes(case: Case[ScreenSettings], components: int = 20) -> torch.Tensor:
    """Return principal axes of training images in the ground space, `(D, K)`."""
    x = case.model.atom_transform(case.train.batch(range(len(case.train))).x).flatten(1).double()
    return leading_subspace(x - x.mean(0), min(components, *x.shape))[0]


def _against(
    case: Case[ScreenSettings], axes: torch.Tensor, condition: _Condition, method: str
) -> tuple[float, float]:
    """Return the energy distance to real cells, and the accuracy of telling them apart."""
    pair = [
        case.model.atom_transform(torch.as_tensor(x)).flatten(1).double()
        for x in condition.equal(method)
    ]
    batches = [SetBatch.from_list([x]) for x in pair]
    projected = [SetBatch.from_list([x @ axes]) for x in pair]
    energy = float(unbiased_energy(batches[0], batches[1])[0])
    return energy, float(neighbour_accuracy(projected[0], projected[1])[0])
