r"""P(X = 0) of a Poisson variable from n draws, after table 1 of GDE (arXiv 2505.18150).

The prior, which the paper does not state, is $\lambda \sim$ Gamma(2, rate 1). With T the sum of
the draws, the methods are

- `naive`: the share of zeros, of risk $E[p (1 - p)] / n$ with $p = e^{-\lambda}$;
- `rao_blackwell`: $(1 - 1/n)^T$, the unbiased estimator of least variance, of risk
  $E[e^{-2 \lambda} (e^{\lambda / n} - 1)]$;
- `bayes`: the posterior mean $((1 + n) / (2 + n))^{2 + T}$, which has the least mean squared error
  of all under this prior;
- `gde`: the probability of zero under a model trained on sets from the prior, with a negative
  binomial likelihood. The posterior predictive of a Gamma prior is one, and so the best loss is
  reached at `bayes`;
- `gde_poisson`: the same with a Poisson likelihood, whose best rate is the posterior mean of
  $\lambda$: it knows no uncertainty, and exp(-mean) lies below `bayes` by Jensen's inequality;
- `untrained`: `gde` before its first step, when generator and shrinkage are regressions.

`mse` is over held-out sets; `risk` is the closed form for the first two, and `excess` is the mean
squared difference to `bayes`, which together with its risk makes up the error of any method.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from distembed.batch import SetBatch
from distembed.benchmarks.seeds import Score, chosen_from, environment, rows_over_seeds
from distembed.data.synthetic.counts import Poissons
from distembed.generators.explicit import Explicit
from distembed.model.gde import GDE
from distembed.rng import stream
from distembed.training.config import TrainConfig

__all__ = ["TASKS", "bench"]

CONFIG = TrainConfig(steps=1500, context=(10, 1000), every=250, validation=0.02, patience=0)
"""The defaults but for a schedule of fixed length, and the sizes that are asked about."""
LATENT, TRAIN_SETS, TEST_SETS, AT_ONCE = 8, 20_000, 4_000, 500
SHAPE, RATE = 2.0, 1.0
TASKS = {f"n{n}": n for n in (10, 100, 1000)}
LIKELIHOODS = {"gde": "negative_binomial", "gde_poisson": "poisson"}


def prior(sets: int, seed: int) -> Poissons:
    """Draw sets whose rates come from the prior."""
    shape = torch.full((sets, 1), SHAPE, dtype=torch.float64)
    rate = torch._standard_gamma(shape, generator=stream(seed, "rates")) / RATE
    return Poissons(rate.numpy(), size=CONFIG.context[1], seed=seed)


def naive(total: np.ndarray, zeros: np.ndarray, n: int) -> np.ndarray:
    """Share of zeros."""
    return zeros / n


def rao_blackwell(total: np.ndarray, zeros: np.ndarray, n: int) -> np.ndarray:
    """Share of zeros, averaged over all draws of the same sum."""
    return (1 - 1 / n) ** total


def bayes(total: np.ndarray, zeros: np.ndarray, n: int) -> np.ndarray:
    """Posterior mean."""
    return ((RATE + n) / (RATE + n + 1)) ** (SHAPE + total)


METHODS = {"naive": naive, "rao_blackwell": rao_blackwell, "bayes": bayes}


def risk(n: int) -> dict[str, float]:
    r"""Closed forms, from $E[e^{-s \lambda}] = (1 + s / rate)^{-shape}$."""

    def laplace(s: float) -> float:
        return math.pow(1 + s / RATE, -SHAPE)

    return {
        "naive": (laplace(1) - laplace(2)) / n,
        "rao_blackwell": laplace(2 - 1 / n) - laplace(2),
    }


def merged(x: Tensor) -> SetBatch:
    """Count equal draws `(B, n)` once with their weight: the same distributions, of few atoms."""
    unique = [row.unique(return_counts=True) for row in x]
    return SetBatch.from_list([value[:, None] for value, _ in unique], [c for _, c in unique])


def probability_of_zero(model: GDE, batch: SetBatch, n: int) -> np.ndarray:
    """P(X = 0) under the distribution of each set of n draws, `(B,)`: exact, not drawn."""
    network = model.network
    z = torch.from_numpy(model.embed(batch, covariance=False).z)
    zero = SetBatch.from_dense(torch.zeros(len(batch), 1, 1))
    device = network.device
    with torch.inference_mode():
        sizes = torch.full((len(batch),), float(n), device=device)
        condition = network.condition(z.to(device), sizes)
        nats = cast(Explicit, network.generator).log_prob(zero.to(device), condition)
    found: np.ndarray = nats.exp().cpu().double().numpy()
    return found


def score(models: dict[str, GDE], test: Poissons, n: int, seed: int) -> Iterator[Score]:
    """Compare every method on n draws of each held-out set."""
    truth = np.exp(-np.asarray(test.rate, dtype=np.float64)[:, 0])
    found: dict[str, list[np.ndarray]] = {name: [] for name in (*METHODS, *models)}
    for start in range(0, len(test), AT_ONCE):
        index = range(start, min(start + AT_ONCE, len(test)))
        drawn = test.batch(index, n, stream(seed, "draws", n, start)).x.view(len(index), n)
        x, batch = drawn.double().numpy(), merged(drawn)
        for name, method in METHODS.items():
            found[name].append(method(x.sum(1), (x == 0).sum(1), n))
        for name, model in models.items():
            found[name].append(probability_of_zero(model, batch, n))
    joined = {name: np.concatenate(parts) for name, parts in found.items()}
    for name, p in joined.items():
        yield name, "mse", float(np.mean((p - truth) ** 2))
        yield name, "excess", float(np.mean((p - joined["bayes"]) ** 2))
    for name, value in risk(n).items():
        yield name, "risk", value


def bench(
    *,
    quick: bool = False,
    seeds: int = 3,
    tasks: Sequence[str] | None = None,
    log: Callable[[str], None],
) -> dict[str, Any]:
    """Train two models a seed and ask both at every n; a seed changes all sets and weights.

    Args:
        quick: Few steps, few sets: a look, not a result.
        seeds: Number of seeds.
        tasks: Names of tasks; all where left out.
        log: Called with lines of progress.

    Returns:
        The record of design: bench, environment, config, rows.

    Raises:
        ValueError: If a task is unknown.
    """
    chosen = chosen_from(TASKS, tasks)
    config = CONFIG.model_copy(update={"steps": 300, "every": 100}) if quick else CONFIG
    train_sets, test_sets = (2000, 1000) if quick else (TRAIN_SETS, TEST_SETS)
    scores: dict[str, dict[tuple[str, str], list[float]]] = {name: {} for name in chosen}
    seconds = []
    for seed in range(seeds):
        settings = config.model_copy(update={"seed": seed})
        models = {}
        for method, likelihood in LIKELIHOODS.items():
            began = time.perf_counter()
            model = GDE(
                generator={"name": "explicit", "likelihood": likelihood},
                latent=LATENT,
                transform=(),
            )
            models[method] = model.fit(prior(train_sets, seed), settings, progress=False)
            if method == "gde":
                seconds.append(time.perf_counter() - began)
        models["untrained"] = models["gde"].untrained()
        test = prior(test_sets, 1_000_000 + seed)
        for name, n in chosen.items():
            cells = scores[name]
            for method, metric, value in score(models, test, n, seed):
                cells.setdefault((method, metric), []).append(value)
            said = ", ".join(f"{m} {v[-1]:.3g}" for (m, k), v in cells.items() if k == "mse")
            log(f"{name}, seed {seed}: {said}")
    rows = [row for name in chosen for row in rows_over_seeds(name, scores[name], seconds)]
    return {
        "bench": "poisson",
        "environment": environment(),
        "config": {
            "prior": {"distribution": "gamma", "shape": SHAPE, "rate": RATE},
            "latent": LATENT,
            "train_sets": train_sets,
            "held_out_sets": test_sets,
            "likelihoods": LIKELIHOODS,
            **config.model_dump(mode="json", exclude={"seed"}),
        },
        "rows": rows,
    }
