r"""Size and power of two-sample tests on embeddings, beside those of others.

The default model is trained on a prior of 5-D distributions. Then pairs of new distributions of
that prior are tested: each, P, has a neighbour Q that lies a fixed fraction of the way towards a
third one, along the parameters that its task names, and of both there are three sets of m atoms.
Six pairs of sets are nulls (two sets of P, or two of Q), six are alternatives (a set of P and one
of Q); they share sets, as all pairs of a collection do.

    location     `ladder_a`, means move and covariances stay
    covariance   `ladder_b`, mean zero, covariances move
    shape        `ladder_c`, parameters of three components move, and all is whitened again, so
                 that mean 0 and covariance I are common to all sets

Fractions were chosen in a pilot on other seeds (1000 and 1001): those at which `gde` and `energy`
together reject about half of the alternatives at m = 100. The methods are

- `gde`: the weighted chi-square of `pairwise_tests`, from embeddings and their covariances;
  `untrained` is the same before the first step of training;
- `gde_permutation`: 99 permutations of the atoms, for m up to 100, where they are needed;
- `mmd` (Gaussian kernel, its bandwidth the median distance) and `energy`, 199 permutations of
  labels over the one matrix of all distances;
- `c2st`: nearest neighbours, about the root of their number, trained on half of the atoms; their
  hits on the other half are binomial under the null (Lopez-Paz, Oquab, 2017).

`size` and `power` are the shares of nulls and alternatives with p <= 0.05, in a task for each m;
`fdr` and `found` are those of the procedure of Benjamini and Hochberg on families of 60 pairs,
half of them nulls: the share of nulls among pairs with q <= 0.05, and the share of alternatives
that have it. `seconds_1000_pairs` is for sets of the largest size. `gde` takes all pairs of 46
sets, embeds each once, and `gde_stored` has embeddings already; for the others it is proportional
from the pairs that they were measured on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from distembed.batch import SetBatch
from distembed.benchmarks.bench import Arm, Bench, Task, Trial, held_out_seed
from distembed.benchmarks.curves import Draw, colours
from distembed.benchmarks.p_values import (
    Pairs,
    PValues,
    atom_permutation,
    chi_square,
    classifier,
    energy_kernel,
    gaussian_kernel,
    label_permutation,
)
from distembed.data.synthetic.gaussians import Gaussians, Mixtures, whitened
from distembed.data.synthetic.ladder import ladder_a, ladder_b, ladder_c
from distembed.evaluation.result import Score
from distembed.inference.tests.multiplicity import benjamini_hochberg
from distembed.inference.tests.pairwise import pairwise_tests
from distembed.model.gde import GDE
from distembed.rng import stream
from distembed.training.config import TrainConfig

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["BENCH", "TASKS", "Settings", "discoveries", "pairs_of_groups"]

SETS = 6
"""Sets of a group: three of a distribution, and three of its neighbour."""


@dataclass(frozen=True)
class Settings:
    """Sizes, schedule and tests.

    Attributes:
        training: The defaults but for a short schedule, and contexts that keep it short.
        arm: The model.
        latent: Dimension of the embedding.
        train_sets: Training sets.
        nominal: Atoms of a training set on paper: fresh ones are drawn at every step.
        sizes: Atoms of a held-out set.
        groups: Pairs of distributions by method: 112 are 2,016 nulls over three seeds.
        permutations: Permutations by method.
        fraction: Step towards another distribution, by task.
        level: Level of the tests.
        family: Groups whose pairs make one family of hypotheses.
        family_size: Atoms of a set at which families are tested; permutations of atoms are left
            out of larger sets.
        timed_sets: Sets whose pairs are timed.
    """

    training: TrainConfig = field(
        default_factory=lambda: TrainConfig(
            steps=400, every=200, warmup=80, context=(8, 128), patience=0, validation=0.02
        )
    )
    arm: Arm = Arm("gde")
    latent: int = 32
    train_sets: int = 5_000
    nominal: int = 32
    sizes: tuple[int, ...] = (25, 50, 100, 200, 400)
    groups: Mapping[str, int] = field(
        default_factory=lambda: {
            "gde": 112,
            "untrained": 40,
            "gde_permutation": 20,
            "mmd": 40,
            "energy": 40,
            "c2st": 112,
        }
    )
    permutations: Mapping[str, int] = field(
        default_factory=lambda: {"gde_permutation": 99, "mmd": 199, "energy": 199}
    )
    fraction: Mapping[str, float] = field(
        default_factory=lambda: {"location": 0.08, "covariance": 0.4, "shape": 0.6}
    )
    level: float = 0.05
    family: int = 5
    family_size: int = 100
    timed_sets: int = 46


Family = Gaussians | Mixtures
Data = tuple[Family, tuple[Family, Family]]
"""Training distributions; new ones and their neighbours."""


def _location(one: Any, other: Any, fraction: float) -> Family:
    return Gaussians(torch.lerp(one.mean, other.mean, fraction), one.cov)


def _covariance(one: Any, other: Any, fraction: float) -> Family:
    return Gaussians(one.mean, torch.lerp(one.cov, other.cov, fraction))


def _shape(one: Any, other: Any, fraction: float) -> Family:
    weights, mean, cov = (
        torch.lerp(getattr(one, name), getattr(other, name), fraction)
        for name in ("weights", "mean", "cov")
    )
    return whitened(Mixtures(weights, mean, cov), "cholesky")


def _data(
    name: str,
    prior: Callable[[int, int, int], Family],
    step: Callable[[Any, Any, float], Family],
    settings: Settings,
    seed: int,
) -> Data:
    """Draw training distributions, new ones, and their neighbours a step towards others."""
    groups = max(settings.groups.values())
    one = prior(groups, 1, held_out_seed(seed))
    other = prior(groups, 1, held_out_seed(held_out_seed(seed)))
    train = prior(settings.train_sets, settings.nominal, seed)
    return train, (one, step(one, other, settings.fraction[name]))


def _atoms(pair: tuple[Family, Family], m: int, rng: torch.Generator) -> Tensor:
    """Draw three sets of each distribution and of its neighbour, `(6 groups, m, D)`."""
    groups = len(pair[0])
    index = torch.arange(groups).repeat_interleave(SETS // 2)
    sides = [d.draw(index, m, rng).unflatten(0, (groups, SETS // 2)) for d in pair]
    return torch.cat(sides, 1).flatten(0, 1)


def pairs_of_groups(groups: int) -> Pairs:
    """Return the two sets of each pair, `(groups, 2, 6, 2)`: nulls, then alternatives."""
    side = range(SETS // 2)
    nulls = [(k + i, k + j) for k in (0, SETS // 2) for i, j in combinations(side, 2)]
    across = [(i, SETS // 2 + j) for i in side for j in side if i != j]
    pairs: Pairs = SETS * np.arange(groups)[:, None, None, None] + np.array([nulls, across])
    return pairs


def _tests(
    model: GDE, settings: Settings, seed: int
) -> dict[str, Callable[[Tensor, Pairs], PValues]]:
    """Return the tests by the name of the method."""
    counts = settings.permutations

    def permuted(x: Tensor, pairs: Pairs) -> PValues:
        rng = stream(seed, "permuted", x.shape[1])
        return atom_permutation(model, counts["gde_permutation"], x, pairs, rng)

    def by_kernel(
        kernel: Callable[[Tensor], Tensor], name: str
    ) -> Callable[[Tensor, Pairs], PValues]:
        def test(x: Tensor, pairs: Pairs) -> PValues:
            rng = stream(seed, name, x.shape[1])
            return label_permutation(kernel, counts[name], x, pairs, rng)

        return test

    return {
        "gde": partial(chi_square, model),
        "untrained": partial(chi_square, model.untrained()),
        "gde_permutation": permuted,
        "mmd": by_kernel(gaussian_kernel, "mmd"),
        "energy": by_kernel(energy_kernel, "energy"),
        "c2st": classifier,
    }


def discoveries(p: PValues, family: int = 5, level: float = 0.05) -> tuple[float, float]:
    """Return the false discovery rate and the share of alternatives that are discovered.

    Args:
        p: P-values `(groups, 2, 6)` of nulls and alternatives.
        family: Groups whose pairs make one family of hypotheses.
        level: Level of the adjusted p-values.

    Example:
        >>> discoveries(np.stack([np.ones((5, 6)), np.zeros((5, 6))], 1))
        (0.0, 1.0)
    """
    families = np.split(p[: len(p) // family * family], len(p) // family)
    hits = [benjamini_hochberg(f.ravel()).reshape(f.shape) <= level for f in families]
    false = [float(h[:, 0].sum() / max(1, h.sum())) for h in hits]
    return float(np.mean(false)), float(np.mean([h[:, 1].mean() for h in hits]))


def _seconds(model: GDE, x: Tensor) -> Iterator[Score]:
    pairs = np.stack(np.triu_indices(len(x), 1), 1)[:1000]
    began = time.perf_counter()
    table = model.embed(SetBatch.from_dense(x))
    embedded = time.perf_counter()
    pairwise_tests(table.z, table.covariances, pairs)
    end = time.perf_counter()
    for method, start in (("gde", began), ("gde_stored", embedded)):
        yield Score("seconds_1000_pairs", method, 1000 * (end - start) / len(pairs))


def _scores(model: GDE, pair: tuple[Family, Family], trial: Trial[Settings]) -> Iterator[Score]:
    settings = trial.settings
    tests = _tests(model, settings, trial.seed)
    for m in settings.sizes:
        task, x = trial.at(m), _atoms(pair, m, stream(trial.seed, "atoms", m))
        for method, test in tests.items():
            if method == "gde_permutation" and m > settings.family_size:
                continue
            groups = settings.groups[method]
            pairs = pairs_of_groups(groups)
            began = time.perf_counter()
            p = test(x[: SETS * groups], pairs.reshape(-1, 2)).reshape(pairs.shape[:-1])
            seconds = 1000 * (time.perf_counter() - began) / (pairs.size / 2)
            yield Score("size", method, float((p[:, 0] <= settings.level).mean()), task=task)
            yield Score("power", method, float((p[:, 1] <= settings.level).mean()), task=task)
            if m == settings.family_size:
                false, share = discoveries(p, settings.family, settings.level)
                yield Score("fdr", method, false, task=task)
                yield Score("found", method, share, task=task)
            if m == max(settings.sizes) and method not in ("gde", "untrained"):
                yield Score("seconds_1000_pairs", method, seconds)
    yield from _seconds(model, x[: settings.timed_sets])


def _measure(trial: Trial[Settings]) -> Iterator[Score]:
    train, pair = trial.data()
    fitted = trial.fit(trial.settings.arm.model(trial.settings.latent), train)
    scores = _scores(fitted.model, pair, trial)
    yield from trial.report("all methods", scores, fitted.seconds)


def _figures(scores: Sequence[Score], settings: Settings) -> dict[str, Sequence[Draw]]:
    tasks = dict.fromkeys(s.task.rpartition("_m")[0] for s in scores)
    return {"tests_power.svg": [_curves(scores, task, settings) for task in tasks if task]}


def _curves(scores: Sequence[Score], task: str, settings: Settings) -> Draw:
    """Draw the power of every method over m, and the level as a dotted line."""
    power = {(s.task, s.method): s.value for s in scores if s.metric == "power"}

    def draw(axes: Axes) -> None:
        tints = colours(len(settings.groups))
        for method, colour in zip(settings.groups, tints, strict=True):
            sizes = [m for m in settings.sizes if (f"{task}_m{m}", method) in power]
            values = [power[f"{task}_m{m}", method] for m in sizes]
            axes.plot(sizes, values, marker="o", markersize=3, color=colour, label=method)
        axes.axhline(settings.level, linestyle=":", color="grey", linewidth=1)
        axes.set(title=task, xlabel="atoms m", ylabel="power", xscale="log", ylim=(0, 1.02))
        axes.set_xticks(settings.sizes, [str(m) for m in settings.sizes])
        axes.minorticks_off()
        axes.legend(fontsize=9, loc="center left", bbox_to_anchor=(1, 0.5))

    return draw


TASKS = {
    "location": Task(_measure, partial(_data, "location", ladder_a, _location)),
    "covariance": Task(_measure, partial(_data, "covariance", ladder_b, _covariance)),
    "shape": Task(_measure, partial(_data, "shape", ladder_c, _shape)),
}
BENCH = Bench(
    "tests",
    TASKS,
    {
        "tiny": Settings(
            TrainConfig(
                steps=2, every=2, warmup=1, batch=4, target=4, context=(8, 16), patience=0
            ),
            latent=8,
            train_sets=40,
            sizes=(20, 30),
            groups=dict.fromkeys(Settings().groups, 5),
            permutations=dict.fromkeys(Settings().permutations, 19),
            family_size=20,
            timed_sets=8,
        ),
        "quick": Settings(
            TrainConfig(
                steps=60, every=60, warmup=12, context=(8, 128), patience=0, validation=0.02
            ),
            groups={name: max(5, n // 4) for name, n in Settings().groups.items()},
        ),
        "full": Settings(),
    },
    _figures,
)
