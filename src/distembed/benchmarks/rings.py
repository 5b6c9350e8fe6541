r"""Rings of eight narrow modes: what z lacks, and what the generator cannot use.

A set is a ring of random radius and rotation (`rings`), and with random masses of its modes from a
half to three halves of the mean (`masses`). A model embeds 1,000 atoms of a ring that it has not
been trained on, and draws as many:

- `bad_modes`: of the eight modes, those that do not have between half and twice their mass within
  three deviations; `off_modes` is the share of atoms near none.
- `r2_radius`, `r2_rotation`: the share of the variance of the radius, and of the cosine and sine
  of eight times the rotation, that a ridge regression on z explains on other rings. A generator
  cannot draw a mode in a place that z does not hold.
- `energy_unbiased`: of the drawn atoms.

`gde` is the default. `fine_kernel` joins a kernel mean at a tenth and a fifth of the median
distance to its encoder. `untrained` is the default before training, and `floor` the embedded
atoms.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from distembed.batch import SetBatch
from distembed.benchmarks.bench import Arm, Bench, Task, Trial, held_out_seed
from distembed.benchmarks.generators import mode_scores
from distembed.benchmarks.held_out import HeldOut
from distembed.data.synthetic.families import MODES, rings
from distembed.data.synthetic.gaussians import Mixtures
from distembed.evaluation.result import Score
from distembed.model.gde import GDE
from distembed.registry import NamedMember
from distembed.rng import stream
from distembed.training.config import TrainConfig

__all__ = ["BENCH", "TASKS", "Settings", "explained", "parameters"]

_FINE: NamedMember = {
    "name": "joined",
    "parts": ["closed_form", {"name": "kernel", "bandwidths": [0.1, 0.2]}, "deepsets"],
}


@dataclass(frozen=True)
class Settings:
    """Sizes, schedule and arms.

    Attributes:
        training: The defaults but for a short schedule.
        arms: Models; the first one is the package's default.
        latent: Dimension of the embedding.
        train_sets: Training sets, and atoms of each.
        sets: Held-out sets, and atoms of each that are embedded and drawn.
        probe: Rings on which the regression on z is fitted, and as many that score it.
    """

    training: TrainConfig = field(
        default_factory=lambda: TrainConfig(steps=1500, warmup=300, every=500, patience=0)
    )
    arms: tuple[Arm, ...] = (Arm("gde"), Arm("fine_kernel", _FINE))
    latent: int = 32
    train_sets: tuple[int, int] = (5_000, 500)
    sets: tuple[int, int] = (40, 1_000)
    probe: int = 400


Data = tuple[Mixtures, Mixtures, Mixtures]
"""Training sets, held-out sets, and rings of the probe."""


def _data(spread: float, settings: Settings, seed: int) -> Data:
    sets, atoms = settings.sets
    return (
        rings(*settings.train_sets, seed, spread),
        rings(sets, atoms, held_out_seed(seed), spread),
        rings(2 * settings.probe, atoms, held_out_seed(seed) + 1, spread),
    )


def parameters(sets: Mixtures) -> NDArray[np.float64]:
    """Return radius, and cosine and sine of eight times the rotation, `(S, 3)`."""
    first = sets.mean[:, 0]
    angle = MODES * torch.atan2(first[:, 1], first[:, 0])
    columns = torch.stack([first.norm(dim=1), angle.cos(), angle.sin()], 1)
    values: NDArray[np.float64] = columns.numpy()
    return values


def explained(z: NDArray[np.floating], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the shares of the variance of y `(2 n, K)` that z `(2 n, L)` explains, `(K,)`.

    A ridge regression is fitted on the first n rows and scored on the others.
    """
    half = len(z) // 2
    centre, scale = z[:half].mean(0), z[:half].std(0) + 1e-12
    x = np.c_[(z - centre) / scale, np.ones(len(z))].astype(np.float64)
    train = x[:half]
    slopes = np.linalg.solve(train.T @ train + 0.1 * np.eye(x.shape[1]), train.T @ y[:half])
    error = ((x[half:] @ slopes - y[half:]) ** 2).mean(0)
    shares: NDArray[np.float64] = 1 - error / y[half:].var(0)
    return shares


@dataclass(frozen=True)
class _Judge:
    """Held-out rings."""

    test: Mixtures
    held_out: HeldOut
    probe: Mixtures

    def model(self, method: str, model: GDE) -> Iterator[Score]:
        """Score samples of a model, and what its embeddings hold."""
        yield from self.drawn(method, self.held_out.draw(model))
        z = model.embed(self.probe, covariance=False).z
        shares = explained(z, parameters(self.probe))
        yield Score("r2_radius", method, float(shares[0]))
        yield Score("r2_rotation", method, float(shares[1:].mean()))

    def drawn(self, method: str, drawn: SetBatch) -> Iterator[Score]:
        """Score samples."""
        yield from mode_scores(method, drawn, self.test)
        yield from self.held_out.scores(method, drawn)


def _measure(trial: Trial[Settings]) -> Iterator[Score]:
    train, test, probe = trial.data()
    index = range(len(test))
    fresh = test.batch(index, test.size, stream(trial.seed, "fresh points"))
    judge = _Judge(test, HeldOut(test.batch(index), fresh, ("energy_unbiased",)), probe)
    fits = trial.fit_arms(trial.settings.arms, train, trial.settings.latent)
    for label, fitted in fits.items():
        scores = judge.model(label, fitted.model)
        yield from trial.report(label, scores, fitted.seconds)
    yield from judge.model("untrained", fits["gde"].model.untrained())
    yield from judge.drawn("floor", judge.held_out.context)


TASKS = {
    "rings": Task(_measure, partial(_data, 0.0)),
    "masses": Task(_measure, partial(_data, 0.5)),
}
BENCH = Bench(
    "rings",
    TASKS,
    {
        "tiny": Settings(
            TrainConfig(
                steps=2, every=2, warmup=0, batch=4, target=4, context=(8, 16), validation=0
            ),
            latent=16,
            train_sets=(30, 20),
            sets=(4, 40),
            probe=10,
        ),
        "quick": Settings(
            TrainConfig(steps=50, warmup=10, every=50, patience=0),
            train_sets=(400, 200),
            sets=(10, 500),
            probe=60,
        ),
        "full": Settings(),
    },
)
