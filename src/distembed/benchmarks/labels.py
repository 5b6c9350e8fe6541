r"""Sets from labels that are known with error: how near they come to the true sets.

Five sets are mixtures of two normals in three dimensions, of 200 atoms each, and a share of the
atoms carries the label of another set. W2 to the atoms that are truly of a set, mean over sets:

- `naive`: the atoms with the label of the set;
- `label_weights`: all atoms, weighted by $p(o | s)$ of their label, as in the GDE paper;
- `inverted`: `by_noisy_label`, which weights by what atoms and labels tell together;
- `floor`: a second sample of the true law.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from distembed.batch import SetBatch
from distembed.benchmarks.bench import Bench, Task, Trial
from distembed.data.observations import Observations
from distembed.divergences.exact import pairwise_w2
from distembed.evaluation.result import Score
from distembed.sets.noisy import by_noisy_label
from distembed.training.config import TrainConfig

__all__ = ["BENCH", "NoisySets", "Settings"]


@dataclass(frozen=True)
class Settings:
    """Sizes.

    Attributes:
        training: Not used: no model is trained.
        sets: Number of sets.
        atoms: Atoms of each.
        apart: Deviation of the means of the normals; each has a deviation of 0.7.
    """

    training: TrainConfig = field(default_factory=TrainConfig)
    sets: int = 5
    atoms: int = 200
    apart: float = 1.5


@dataclass(frozen=True)
class NoisySets:
    """Atoms `(R, 3)` twice, the true set of each, the observed one, and the confusion `(S, S)`."""

    x: NDArray[np.float64]
    again: NDArray[np.float64]
    true: NDArray[np.int64]
    observed: NDArray[np.int64]
    confusion: NDArray[np.float64]


def _data(noise: float, settings: Settings, seed: int) -> NoisySets:
    rng = np.random.default_rng(seed)
    s, m = settings.sets, settings.atoms
    centres = settings.apart * rng.normal(size=(s, 2, 3))
    true = np.repeat(np.arange(s), m)
    x, again = (
        centres[true, rng.integers(0, 2, s * m)] + 0.7 * rng.normal(size=(s * m, 3))
        for _ in range(2)
    )
    confusion = np.full((s, s), noise / (s - 1))
    np.fill_diagonal(confusion, 1 - noise)
    wrong = (true + rng.integers(1, s, s * m)) % s
    observed = np.where(rng.random(s * m) < noise, wrong, true)
    return NoisySets(x, again, true, observed, confusion)


def _measure(trial: Trial[Settings]) -> Iterator[Score]:
    data: NoisySets = trial.data()
    names = [f"set{s}" for s in range(len(data.confusion))]
    labels = np.array(names)[data.observed]
    rows = [dict(zip(names, row, strict=True)) for row in data.confusion]
    matrix = dict(zip(names, rows, strict=True))
    inverted = by_noisy_label(
        Observations(data.x, {"label": labels}), "label", matrix, min_size=1, rng=trial.seed
    )
    every = torch.from_numpy(data.x).float()
    truth, others = list[SetBatch](), dict[str, list[SetBatch]]()
    for s, name in enumerate(names):
        of_set = data.true == s
        weights = torch.from_numpy(data.confusion[s, data.observed]).float()
        truth.append(SetBatch.from_list([every[of_set]]))
        candidates = {
            "inverted": inverted.batch([inverted.ids.tolist().index(name)]),
            "naive": SetBatch.from_list([every[data.observed == s]]),
            "label_weights": SetBatch.from_list([every], [weights]),
            "floor": SetBatch.from_list([torch.from_numpy(data.again[of_set]).float()]),
        }
        for method, batch in candidates.items():
            others.setdefault(method, []).append(batch)
    count = len(names)
    pairs = torch.stack([torch.arange(count), torch.arange(count) + count], 1)
    for method, batches in others.items():
        value = pairwise_w2(SetBatch.concat([*truth, *batches]), pairs).mean()
        yield Score("w2", method, float(value))


TASKS = {f"noise_{noise}": Task(_measure, partial(_data, noise / 100)) for noise in (10, 30, 50)}
BENCH = Bench(
    "labels",
    TASKS,
    {"tiny": Settings(sets=3, atoms=20), "quick": Settings(atoms=100), "full": Settings()},
)
