r"""Do two sets come from one distribution? Size and power of tests, beside those of others.

The default model is trained on a prior of 5-D distributions. Then tests are asked about new
distributions of that prior: each, P, has a neighbour Q that lies a fixed fraction of the way
towards a third one, along the parameters that its task names, and of both there are three sets of
m atoms. Six pairs of sets are nulls (two sets of P, or two of Q), six are alternatives (a set of P
and one of Q); they share sets, as all pairs of a collection do.

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
- `c2st`: nearest neighbours, about the root of their number, learned on half of the atoms; their
  hits on the other half are binomial under the null (Lopez-Paz, Oquab, 2017).

`size` and `power` are the shares of nulls and alternatives with p <= 0.05, in a task for each m;
`fdr` and `found` what Benjamini and Hochberg make of families of 60 pairs, half of them nulls: the
share of nulls among pairs with q <= 0.05, and the share of alternatives that have it.
`seconds_1000_pairs` is for sets of the largest size. `gde` takes all pairs of 46 sets, embeds each
once, and `gde_stored` has embeddings already; for the others it is proportional from the pairs
that they were measured on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from distembed.batch import SetBatch
from distembed.benchmarks.rivals import P, Rows, c2st, energy, mmd, relabelled
from distembed.benchmarks.seeds import (
    SECONDS,
    Score,
    by_size,
    chosen_from,
    environment,
    measured_rows,
)
from distembed.data.synthetic.gaussians import Gaussians, Mixtures, whitened
from distembed.data.synthetic.ladder import ladder_a, ladder_b, ladder_c
from distembed.inference.tests.multiplicity import benjamini_hochberg
from distembed.inference.tests.pairwise import pairwise_tests
from distembed.inference.tests.two_sample import two_sample_test
from distembed.model.gde import GDE
from distembed.report.curves import Draw, colours, panels
from distembed.rng import stream
from distembed.training.config import TrainConfig

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["TASKS", "Task", "bench"]

CONFIG = TrainConfig(
    steps=400, every=200, warmup=80, context=(8, 128), patience=0, validation=0.02
)
"""The defaults but for a short schedule, and contexts that keep it short."""
LATENT, TRAIN_SETS = 32, 5_000
SIZES, LEVEL, FAMILY = (25, 50, 100, 200, 400), 0.05, 5
"""FAMILY distributions and their neighbours make one family of hypotheses."""
GROUPS = {
    "gde": 112, "untrained": 40, "gde_permutation": 20, "mmd": 40, "energy": 40, "c2st": 112,
}  # fmt: skip
"""Pairs of distributions that a method is asked about: 112 are 2,016 nulls over three seeds."""
PERMUTATIONS = {"gde_permutation": 99, "mmd": 199, "energy": 199}
FEW, BOTH, TIMED = 100, 6, 46

Family = Gaussians | Mixtures


def _location(one: Any, other: Any, by: float) -> Family:
    return Gaussians(torch.lerp(one.mean, other.mean, by), one.cov)


def _covariance(one: Any, other: Any, by: float) -> Family:
    return Gaussians(one.mean, torch.lerp(one.cov, other.cov, by))


def _shape(one: Any, other: Any, by: float) -> Family:
    weights, mean, cov = (
        torch.lerp(getattr(one, name), getattr(other, name), by)
        for name in ("weights", "mean", "cov")
    )
    return whitened(Mixtures(weights, mean, cov), "cholesky")


@dataclass(frozen=True)
class Task:
    """One kind of difference.

    Attributes:
        prior: Draws distributions, from their number, atoms of each and a seed.
        moved: Moves distributions towards others by a fraction.
        by: The fraction.
    """

    prior: Callable[[int, int, int], Family]
    moved: Callable[[Any, Any, float], Family]
    by: float

    def pair(self, groups: int, seed: int) -> tuple[Family, Family]:
        """Draw new distributions and their neighbours."""
        one, other = (self.prior(groups, 1, k * 1_000_000 + seed) for k in (1, 2))
        return one, self.moved(one, other, self.by)


TASKS = {
    "location": Task(ladder_a, _location, 0.08),
    "covariance": Task(ladder_b, _covariance, 0.4),
    "shape": Task(ladder_c, _shape, 0.6),
}


def _atoms(pair: tuple[Family, Family], groups: int, m: int, rng: torch.Generator) -> Tensor:
    """Draw three sets of each distribution and of its neighbour, `(6 groups, m, D)`."""
    index = torch.arange(groups).repeat_interleave(BOTH // 2)
    sides = [d.draw(index, m, rng).unflatten(0, (groups, BOTH // 2)) for d in pair]
    return torch.cat(sides, 1).flatten(0, 1)


def _pairs(groups: int) -> Rows:
    """Rows of the sets of each pair, `(groups, 2, 6, 2)`: nulls, then alternatives."""
    side = range(BOTH // 2)
    nulls = [(k + i, k + j) for k in (0, BOTH // 2) for i, j in combinations(side, 2)]
    across = [(i, BOTH // 2 + j) for i in side for j in side if i != j]
    pairs: Rows = BOTH * np.arange(groups)[:, None, None, None] + np.array([nulls, across])
    return pairs


# -- methods: p-values of pairs (P, 2) of sets (S, m, D) ----------------------------------------


def asymptotic(model: GDE, x: Tensor, pairs: Rows) -> P:
    """Test by embeddings and covariances, `(P,)`."""
    table = model.embed(SetBatch.from_dense(x))
    return pairwise_tests(table.z, table.covariances, pairs).p


@dataclass(frozen=True)
class _Plain:
    """An encoder that is asked for no derivative, which permutations do without."""

    encoder: nn.Module
    smooth: bool = False

    def __call__(self, batch: SetBatch) -> Tensor:
        z: Tensor = self.encoder(batch)
        return z


def permutation(model: GDE, x: Tensor, pairs: Rows, rng: torch.Generator) -> P:
    """Test by permutations of atoms, each embedded again, `(P,)`."""
    embed, count = _Plain(model.network.embedder), PERMUTATIONS["gde_permutation"]
    tests = (two_sample_test(embed, x[a], x[b], permutations=count, rng=rng) for a, b in pairs)
    return np.array([test.p_permutation for test in tests])


def _tests(model: GDE, seed: int) -> dict[str, Callable[[Tensor, Rows], P]]:
    def permuted(x: Tensor, pairs: Rows) -> P:
        return permutation(model, x, pairs, stream(seed, "permuted", x.shape[1]))

    def of_kernel(kernel: Callable[[Tensor], Tensor], name: str) -> Callable[[Tensor, Rows], P]:
        def test(x: Tensor, pairs: Rows) -> P:
            rng = stream(seed, name, x.shape[1])
            return relabelled(kernel, PERMUTATIONS[name], x, pairs, rng)

        return test

    return {
        "gde": partial(asymptotic, model),
        "untrained": partial(asymptotic, model.untrained()),
        "gde_permutation": permuted,
        "mmd": of_kernel(mmd, "mmd"),
        "energy": of_kernel(energy, "energy"),
        "c2st": c2st,
    }


def discoveries(p: P) -> tuple[float, float]:
    """Return the false discovery rate and the share found, of p `(groups, 2, 6)` by families.

    Example:
        >>> discoveries(np.stack([np.ones((5, 6)), np.zeros((5, 6))], 1))
        (0.0, 1.0)
    """
    families = np.split(p[: len(p) // FAMILY * FAMILY], len(p) // FAMILY)
    hits = [benjamini_hochberg(f.ravel()).reshape(f.shape) <= LEVEL for f in families]
    false = [float(h[:, 0].sum() / max(1, h.sum())) for h in hits]
    return float(np.mean(false)), float(np.mean([h[:, 1].mean() for h in hits]))


def _seconds(model: GDE, x: Tensor) -> Iterator[Score]:
    pairs = np.stack(np.triu_indices(len(x), 1), 1)[:1000]
    began = time.perf_counter()
    table = model.embed(SetBatch.from_dense(x))
    stored = time.perf_counter()
    pairwise_tests(table.z, table.covariances, pairs)
    done = time.perf_counter()
    for method, start in (("gde", began), ("gde_stored", stored)):
        yield method, "seconds_1000_pairs", 1000 * (done - start) / len(pairs)


def _judge(model: GDE, task: Task, seed: int, groups: Mapping[str, int]) -> Iterator[Score]:
    most = max(groups.values())
    pair, tests = task.pair(most, seed), _tests(model, seed)
    for m in SIZES:
        x = _atoms(pair, most, m, stream(seed, "atoms", m))
        for method, test in tests.items():
            if method == "gde_permutation" and m > FEW:
                continue
            pairs = _pairs(groups[method])
            began = time.perf_counter()
            p = test(x[: BOTH * groups[method]], pairs.reshape(-1, 2)).reshape(pairs.shape[:-1])
            spent = 1000 * (time.perf_counter() - began) / (pairs.size / 2)
            yield method, f"size_m{m}", float((p[:, 0] <= LEVEL).mean())
            yield method, f"power_m{m}", float((p[:, 1] <= LEVEL).mean())
            if m == FEW:
                false, found = discoveries(p)
                yield method, f"fdr_m{m}", false
                yield method, f"found_m{m}", found
            if m == max(SIZES) and method not in ("gde", "untrained"):
                yield method, "seconds_1000_pairs", spent
    yield from _seconds(model, x[:TIMED])


def bench(
    *,
    quick: bool = False,
    seeds: int = 3,
    jobs: int = 1,
    tasks: Sequence[str] | None = None,
    plots: Path | None = None,
    log: Callable[[str], None],
) -> dict[str, Any]:
    """Run the tasks; each seed changes training sets, weights, distributions and atoms.

    Args:
        quick: Few steps and few pairs: a look, not a result.
        seeds: Number of seeds.
        jobs: Processes.
        tasks: Names of tasks; all where left out.
        plots: Folder for the curves of power, a panel a task.
        log: Called with lines of progress.

    Returns:
        The record of design: bench, environment, config, rows.

    Raises:
        ValueError: If a task is unknown.
    """
    chosen = chosen_from(TASKS, tasks)
    few = {"steps": 60, "every": 60, "warmup": 12}
    config = CONFIG.model_copy(update=few) if quick else CONFIG
    groups = {name: max(FAMILY, n // 4) for name, n in GROUPS.items()} if quick else GROUPS

    def measure(name: str, task: Task, seed: int) -> Iterator[Score]:
        # of few atoms no W2 is calibrated, which nothing here asks for; fresh ones are drawn
        train = task.prior(TRAIN_SETS, 32, seed)
        began = time.perf_counter()
        settings = config.model_copy(update={"seed": seed})
        model = GDE(latent=LATENT).fit(train, settings, progress=False)
        yield (*SECONDS, time.perf_counter() - began)
        scores = list(_judge(model, task, seed, groups))
        log(f"{name}: " + ", ".join(f"{k} {v:.3g}" for m, k, v in scores if m == "gde"))
        yield from scores

    rows = measured_rows(chosen, seeds, measure, log, jobs)
    if plots is not None:
        draws = [_curves(rows, name) for name in chosen]
        log(f"wrote {panels(plots / 'tests_power.svg', draws)}")
    return {
        "bench": "tests",
        "environment": environment(jobs),
        "config": {
            "latent": LATENT,
            "train_sets": TRAIN_SETS,
            "moved_by": {name: task.by for name, task in chosen.items()},
            "sizes": list(SIZES),
            "nulls_over_all_seeds": {name: BOTH * n * seeds for name, n in groups.items()},
            "permutations": PERMUTATIONS,
            **config.model_dump(mode="json", exclude={"seed"}),
        },
        "rows": by_size(rows),
    }


def _curves(rows: Sequence[Mapping[str, Any]], task: str) -> Draw:
    """Draw the power of every method over m, and the level as a dotted line."""
    cells = {(r["method"], r["metric"]): r["value"] for r in rows if r["task"] == task}

    def draw(axes: Axes) -> None:
        for method, colour in zip(GROUPS, colours(len(GROUPS)), strict=True):
            sizes = [m for m in SIZES if (method, f"power_m{m}") in cells]
            power = [cells[method, f"power_m{m}"] for m in sizes]
            axes.plot(sizes, power, marker="o", markersize=3, color=colour, label=method)
        axes.axhline(LEVEL, linestyle=":", color="grey", linewidth=1)
        axes.set(title=task, xlabel="atoms m", ylabel="power", xscale="log", ylim=(0, 1.02))
        axes.set_xticks(SIZES, [str(m) for m in SIZES])
        axes.minorticks_off()
        axes.legend(fontsize=9, loc="center left", bbox_to_anchor=(1, 0.5))

    return draw
