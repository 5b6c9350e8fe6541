r"""Paths between held-out distributions, beside shortest paths; transport of atoms, beside OT.

Of each pair with $W_2 \ge 1$ the straight path of its embeddings is drawn with common noise.

- `path_error`: W2 between its points and those of the shortest path, averaged over the path, over
  the W2 of the ends. Between Gaussians the shortest path has a closed form, and W2 is that of the
  moments of the drawn atoms. Between mixtures it is the exact displacement of fresh atoms, and W2
  is exact between as many drawn atoms, so that even the truth has an error: the `floor`, which is
  that of fresh atoms of the shortest path.
- `end_error`: the same at the two ends alone, which is the error of reconstruction.
- `path_length`: sum of the W2 of successive points over that of the ends, exact on drawn atoms.
- `transport_error`: W2 of transported atoms to fresh atoms of the target, over that of the ends.
- `transport_cost`: root mean squared displacement over the W2 of atoms before and after.

`gde` is the default; `gde_mixture` decodes by a mixture of Gaussians, which has the form of these
data. Rivals know more than a model or do less: `mw2` is the path of matched components with the
true parameters, `bures` the shortest path of the Gaussians with the moments of the atoms, `blend`
the mixture of both ends with weights 1 - t and t, whose atoms stay where they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from distembed.batch import SetBatch
from distembed.benchmarks.bench import Arm, Bench, Task, Trial, held_out_seed
from distembed.benchmarks.shortest import GaussianShortest, MixtureShortest, ShortestPath
from distembed.data.synthetic.families import blobs
from distembed.data.synthetic.gaussians import Gaussians, Mixtures
from distembed.divergences.exact import ExactW2
from distembed.evaluation.result import Score
from distembed.geometry.displacement import geodesic_error, length_over_chord
from distembed.geometry.path import positions, straight_path
from distembed.model.embeddings import Embeddings
from distembed.model.gde import GDE
from distembed.rng import stream
from distembed.training.config import TrainConfig

__all__ = ["BENCH", "TASKS", "Settings", "path_scores"]

Value = tuple[str, str, float]
"""A metric, a method and a number."""


@dataclass(frozen=True)
class Settings:
    """Sizes and schedule.

    Attributes:
        training: The defaults but for the context, since sets of 10,000 atoms are encoded.
        arms: The models; paths of all, transport of the first.
        latent: Dimension of the embedding.
        train_sets: Training sets.
        pairs: Held-out pairs.
        separation: Least W2 of a pair.
        atoms: Atoms of a held-out set, and of a point of a path between Gaussians.
        exact_atoms: Atoms of exact OT.
        steps: Points of a path.
    """

    training: TrainConfig = field(
        default_factory=lambda: TrainConfig(
            steps=2000, context=(16, 1024), every=250, validation=0.02, patience=0
        )
    )
    arms: tuple[Arm, ...] = (
        Arm("gde"),
        Arm("gde_mixture", generator={"name": "explicit", "likelihood": "mixture"}),
    )
    latent: int = 32
    train_sets: int = 20_000
    pairs: int = 100
    separation: float = 1.0
    atoms: int = 10_000
    exact_atoms: int = 500
    steps: int = 5

    @property
    def t(self) -> NDArray[np.float64]:
        """Positions on a path."""
        return positions(self.steps)


def path_scores(
    models: Mapping[str, GDE], test: Gaussians | Mixtures, settings: Settings
) -> Iterator[Score]:
    """Yield errors and lengths of paths, and errors and costs of transport, means over pairs.

    Args:
        models: Fitted models; `gde` and the same before training, `untrained`, transport too.
        test: Held-out distributions.
        settings: Pairs, and atoms of each comparison.

    Raises:
        ValueError: If no two held-out distributions are far enough apart.
    """
    models = {**models, "untrained": models["gde"].untrained()}
    tables = {name: m.embed(test, covariance=False) for name, m in models.items()}
    values: dict[tuple[str, str], list[float]] = {}
    for pair, shortest in _pairs(test, settings):
        scores = [*_rival_scores(test, pair, shortest)]
        for name, fitted in models.items():
            ends = tables[name].select(list(pair))
            scores += _path_scores(fitted, name, ends, shortest, settings)
            if name in ("gde", "untrained"):
                scores += _transport_scores(fitted, name, ends, test, pair, shortest, settings)
        scores += _transport_floor(test, pair, shortest, settings)
        for metric, method, value in scores:
            values.setdefault((metric, method), []).append(value)
    for (metric, method), numbers in values.items():
        yield Score(metric, method, float(np.mean(numbers)))


def _pairs(
    test: Gaussians | Mixtures, settings: Settings
) -> Iterator[tuple[tuple[int, int], ShortestPath]]:
    """Yield disjoint pairs that are far enough apart, in the order of the sets."""
    count = 0
    for i in range(0, len(test) - 1, 2):
        pair = i, i + 1
        shortest: ShortestPath
        if isinstance(test, Gaussians):
            shortest = GaussianShortest(test, pair, settings.t, settings.atoms)
        else:
            shortest = MixtureShortest(test, pair, settings.t, settings.exact_atoms)
        if shortest.separation >= settings.separation:
            count += 1
            yield pair, shortest
        if count == settings.pairs:
            return
    if not count:
        raise ValueError(
            f"No pair of the {len(test)} held-out distributions has W2 >= {settings.separation}."
        )


def _errors(path: SetBatch, name: str, shortest: ShortestPath) -> Iterator[Value]:
    """Yield the error of a path, and that of its two ends alone."""
    gap = shortest.gap(path).numpy()
    yield "path_error", name, float(geodesic_error(gap, shortest.separation))
    yield "end_error", name, float(geodesic_error(gap[[0, -1]], shortest.separation))


def _rival_scores(
    test: Gaussians | Mixtures, pair: tuple[int, int], shortest: ShortestPath
) -> Iterator[Value]:
    """Yield errors of the floor and of rival paths."""
    a, b = (test.batch([k]) for k in pair)
    for name, path in shortest.rivals(a, b).items():
        yield from _errors(path, name, shortest)


def _path_scores(
    model: GDE, name: str, ends: Embeddings, shortest: ShortestPath, settings: Settings
) -> Iterator[Value]:
    """Yield errors and length of the path that a model draws."""
    z = straight_path(ends.z[0], ends.z[1], t=settings.t)
    x = torch.from_numpy(model.sample(z, shortest.draws, rng=0, common_noise=True))
    yield from _errors(SetBatch.from_dense(x), name, shortest)
    part = SetBatch.from_dense(x[:, : settings.exact_atoms].double())
    yield "path_length", name, length_over_chord(part)


def _transport_scores(
    model: GDE,
    name: str,
    ends: Embeddings,
    test: Gaussians | Mixtures,
    pair: tuple[int, int],
    shortest: ShortestPath,
    settings: Settings,
) -> Iterator[Value]:
    """Yield error and cost of the transport of atoms of the one set to the other."""
    source, target = _fresh(test, pair, settings, "transport")
    x = source.x.numpy()
    moved = model.transport(x, ends.z[0], ends.z[1])
    after = SetBatch.from_dense(torch.from_numpy(moved[None]).double())
    error = float(ExactW2()(after, target))
    yield "transport_error", name, error / shortest.separation
    cost = float(np.sqrt(((moved - x) ** 2).sum(1).mean()))
    yield "transport_cost", name, cost / float(ExactW2()(source, after))


def _transport_floor(
    test: Gaussians | Mixtures,
    pair: tuple[int, int],
    shortest: ShortestPath,
    settings: Settings,
) -> Iterator[Value]:
    """Yield the W2 of two samples of the target."""
    _, one = _fresh(test, pair, settings, "transport")
    _, two = _fresh(test, pair, settings, "floor")
    yield "transport_error", "floor", float(ExactW2()(one, two)) / shortest.separation


def _fresh(
    test: Gaussians | Mixtures, pair: tuple[int, int], settings: Settings, name: str
) -> tuple[SetBatch, SetBatch]:
    """Draw fresh atoms of the two distributions."""
    rng = stream(name, test.seed, *pair)
    a, b = (test.batch([k], settings.exact_atoms, rng).to(dtype=torch.float64) for k in pair)
    return a, b


def _gaussians(settings: Settings, seed: int) -> tuple[Gaussians, Gaussians]:
    size, sets = settings.training.context[1], 3 * settings.pairs
    train = Gaussians.prior(settings.train_sets, d=2, df=10, size=size, seed=seed)
    test = Gaussians.prior(sets, d=2, df=10, size=settings.atoms, seed=held_out_seed(seed))
    return train, test


def _mixtures(settings: Settings, seed: int) -> tuple[Mixtures, Mixtures]:
    size, sets = settings.training.context[1], 3 * settings.pairs
    train = blobs(settings.train_sets, size, seed)
    return train, blobs(sets, settings.atoms, held_out_seed(seed))


def _measure(trial: Trial[Settings]) -> Iterator[Score]:
    train, test = trial.data()
    settings = trial.settings
    fits = {arm.label: trial.fit(arm.model(settings.latent), train) for arm in settings.arms}
    models = {label: fitted.model for label, fitted in fits.items()}
    results = path_scores(models, test, settings)
    yield from trial.report("all methods", results, fits["gde"].seconds)


TASKS = {"gaussian_2d": Task(_measure, _gaussians), "mixture_2d": Task(_measure, _mixtures)}
BENCH = Bench(
    "paths",
    TASKS,
    {
        "tiny": Settings(
            TrainConfig(
                steps=4, every=4, warmup=1, context=(8, 16), batch=4, target=4, patience=0
            ),
            latent=8,
            train_sets=30,
            pairs=2,
            atoms=60,
            exact_atoms=30,
            steps=3,
        ),
        "quick": Settings(
            TrainConfig(steps=300, context=(16, 1024), every=100, validation=0.02, patience=0),
            train_sets=2000,
            pairs=10,
            atoms=5_000,
            exact_atoms=300,
        ),
        "full": Settings(),
    },
)
