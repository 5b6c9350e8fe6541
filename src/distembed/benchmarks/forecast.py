r"""Forecasts of the next set, beside persistence, the mean change, and a linear model of means.

A model and a forecast are fitted to training units, and the next set of other units is forecast
from the one before. The energy score of drawn atoms X at the atoms y of the real next set,

    E|X - y| - E|X - X'| / 2,

is smallest in expectation for the true law, at any number of atoms. Methods:

- `gde`: draws of the forecast embedding. `gde_errors`: draws of embeddings that are drawn from the
  error of the forecast first, the distribution of what may come.
- `mean_change`: draws of the embedding after the mean change. `persistence`: the atoms before.
- `means`: the atoms before, moved by a ridge regression of the change of the mean.
- `pooled`: atoms of all training sets that follow.
- `floor`: other atoms of the true law, where it is known.

`branching` is simulated (`distembed.benchmarks.branching`). `larry` has clones of blood cells in
culture, day 4 to 6, in 10 principal components of the source: day 2 has 27 cells of 264 clones,
too few to start from. Most of its sets have one or two cells.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distembed.benchmarks.bench import Bench, Task, Trial, data_folder, held_out_seed, missing_data
from distembed.benchmarks.branching import Branching
from distembed.evaluation.result import Score
from distembed.heads.baseline import mean_table
from distembed.heads.forecasts import Forecast, forecast
from distembed.model.gde import GDE
from distembed.sets.collection import Sets
from distembed.sets.pairs import Pairs, next_set
from distembed.sets.read import read
from distembed.training.config import TrainConfig

__all__ = ["BENCH", "TASKS", "Settings", "energy_score"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Settings:
    """Sizes and schedule.

    Attributes:
        training: Of the models.
        latent: Dimension of the embedding.
        units: Training units, and others that are forecast, of `branching`.
        atoms: Atoms of a set of `branching`.
        drawn: Atoms drawn of each forecast.
        errors: Embeddings that are drawn from the error of a forecast.
    """

    training: TrainConfig = field(
        default_factory=lambda: TrainConfig(steps=200, warmup=40, every=100, patience=0)
    )
    latent: int = 16
    units: tuple[int, int] = (120, 60)
    atoms: int = 150
    drawn: int = 256
    errors: int = 32


@dataclass(frozen=True)
class Split:
    """Sets of training units and of others.

    Attributes:
        train: Training sets.
        test: The others.
        order: Column of metadata that orders them.
        unit: Column of metadata of the units.
        truth: Atoms of the law of each of the others, if it is known.
    """

    train: Sets
    test: Sets
    order: str
    unit: str
    truth: Sets | None = None


def _branching(settings: Settings, seed: int) -> Split:
    train, test = (
        Branching.drawn(units, s)
        for units, s in zip(settings.units, (seed, held_out_seed(seed)), strict=True)
    )
    m = settings.atoms
    return Split(
        train.sets(m, seed), test.sets(m, seed + 1), "time", "unit", test.sets(m, seed + 2)
    )


def _larry(settings: Settings, seed: int) -> Split:
    """Divide the clones at random into two halves."""
    file = data_folder("lineage_larry") / "larry_invitro_781.h5ad"
    sets = read(file, by=["clone", "day"], obsm="X_pca", min_size=1)
    sets = sets.select(np.isin(np.asarray(sets.meta["day"]), [4, 6]))
    batch = sets.batch(range(len(sets)))
    # the first of the components that the source computed, each set as it was
    first = [x[:, :10] for x in np.split(batch.x.numpy(), batch.offsets[1:-1].numpy())]
    sets = read(first, min_size=1, atoms="vectors").with_meta(sets.meta)
    clones = np.unique(sets.meta["clone"])
    chosen = np.random.default_rng(seed).permutation(clones)[: len(clones) // 2]
    own = np.isin(sets.meta["clone"], chosen)
    return Split(sets.select(own), sets.select(~own), "day", "clone")


def energy_score(drawn: Array, real: Array) -> float:
    """Return the energy score of draws `(n, D)` at atoms `(m, D)`.

    Example:
        >>> energy_score(np.array([[0.0], [2.0]]), np.array([[1.0]]))
        0.0
    """
    from scipy.spatial.distance import cdist, pdist

    return float(cdist(drawn, real).mean() - pdist(drawn).mean() / 2)


@dataclass(frozen=True)
class _Judge:
    """The pairs that are forecast.

    Attributes:
        split: The sets.
        pairs: Pairs of the other units.
        settings: Sizes.
        seed: Of draws.
    """

    split: Split
    pairs: Pairs
    settings: Settings
    seed: int

    def atoms(self, sets: Sets, index: int) -> Array:
        """Return all atoms of a set."""
        x: Array = sets.batch([index]).x.double().numpy()
        return x

    def score(self, method: str, draws: list[Array]) -> Score:
        """Compare the draws of every pair with the set that follows."""
        values = [
            energy_score(drawn, self.atoms(self.split.test, int(after)))
            for drawn, after in zip(draws, self.pairs.after, strict=True)
        ]
        return Score("energy_score", method, float(np.mean(values)))

    def references(self, train: Pairs) -> Iterator[Score]:
        """Score what needs no model."""
        split, rng = self.split, np.random.default_rng(self.seed)
        before = [self.atoms(split.test, int(i)) for i in self.pairs.before]
        # one atom has no spread, of which a score needs some: it is taken twice
        yield self.score("persistence", [_several(x) for x in before])
        means = forecast(mean_table(split.train), train, folds=5, seed=self.seed)
        table = mean_table(split.test).select(self.pairs.before)
        moves = means.predict(table).z.astype(float) - table.z
        yield self.score(
            "means", [_several(x + move) for x, move in zip(before, moves, strict=True)]
        )
        pool = np.concatenate([self.atoms(split.train, int(i)) for i in train.after])
        some = [pool[rng.choice(len(pool), self.settings.drawn)] for _ in before]
        yield self.score("pooled", some)
        if split.truth is not None:
            yield self.score("floor", [self.atoms(split.truth, int(i)) for i in self.pairs.after])

    def forecasts(self, model: GDE, train: Pairs) -> Iterator[Score]:
        """Score forecasts of embeddings."""
        n, k = self.settings.drawn, self.settings.errors
        tables = [model.embed(s, covariance=False) for s in (self.split.train, self.split.test)]
        before = tables[1].select(self.pairs.before)
        fit = forecast(tables[0], train, folds=5, seed=self.seed)
        mean = forecast(tables[0], train, penalties=[np.inf], folds=5, seed=self.seed)
        for method, head in (("gde", fit), ("mean_change", mean)):
            drawn = model.sample(head.predict(before), n, self.seed)
            yield self.score(method, list(np.asarray(drawn, np.float64)))
        yield self.score("gde_errors", self._with_errors(model, fit, before, n // k, k))

    def _with_errors(self, model: GDE, fit: Forecast, before: Any, n: int, k: int) -> list[Array]:
        z = fit.draw(fit.predict(before), k, self.seed)
        drawn = np.asarray(model.sample(z.reshape(-1, z.shape[2]), n, self.seed), np.float64)
        by_pair = drawn.reshape(k, len(before), n, -1).swapaxes(0, 1)
        return list(by_pair.reshape(len(before), k * n, -1))


def _several(x: Array) -> Array:
    return x if len(x) > 1 else np.repeat(x, 2, axis=0)


def _measure(trial: Trial[Settings]) -> Iterator[Score]:
    split: Split = trial.data()
    train, test = (next_set(s, split.order, split.unit) for s in (split.train, split.test))
    judge = _Judge(split, test, trial.settings, trial.seed)
    trial.log(f"{trial.name}: forecasts from {len(train)} pairs, of {len(test)} others")
    yield from trial.report("references", judge.references(train))
    several = split.train.select(split.train.sizes > 1)
    fitted = trial.fit(GDE(latent=trial.settings.latent), several)
    yield from trial.report("gde", judge.forecasts(fitted.model, train), fitted.seconds)


TASKS = {
    "branching": Task(_measure, _branching),
    "larry": Task(_measure, _larry, lambda: missing_data("lineage_larry")),
}
BENCH = Bench(
    "forecast",
    TASKS,
    {
        "tiny": Settings(
            TrainConfig(
                steps=2, every=2, warmup=0, batch=4, target=4, context=(8, 16), validation=0
            ),
            latent=4,
            units=(8, 3),
            atoms=20,
            drawn=16,
            errors=4,
        ),
        "quick": Settings(
            TrainConfig(steps=60, warmup=12, every=60, patience=0), units=(40, 20), atoms=100
        ),
        "full": Settings(),
    },
)
