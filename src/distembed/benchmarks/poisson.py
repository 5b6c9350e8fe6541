r"""P(X = 0) of a Poisson variable from m draws, after table 1 of GDE (arXiv 2505.18150).

The prior, which the paper does not state, is $\lambda \sim$ Gamma(2, rate 1). With T the sum of
the draws, the methods are

- `naive`: the share of zeros, of risk $E[p (1 - p)] / m$ with $p = e^{-\lambda}$;
- `rao_blackwell`: $(1 - 1/m)^T$, the unbiased estimator of least variance, of risk
  $E[e^{-2 \lambda} (e^{\lambda / m} - 1)]$;
- `bayes`: the posterior mean $((1 + m) / (2 + m))^{2 + T}$, which has the least mean squared error
  of all under this prior;
- `gde`: the probability of zero under a model trained on sets from the prior, with a negative
  binomial likelihood. The posterior predictive of a Gamma prior is one, and so the best loss is
  reached at `bayes`;
- `gde_poisson`: the same with a Poisson likelihood, whose best rate is the posterior mean of
  $\lambda$: it ignores the uncertainty of the rate, and exp(-mean) lies below `bayes` by Jensen's
  inequality;
- `untrained`: `gde` before its first step, when generator and shrinkage are regressions.

`mse` is over held-out sets; `risk` is the closed form for the first two, and `excess` is the mean
squared difference to `bayes`, which together with its risk makes up the error of any method.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from distembed.batch import SetBatch
from distembed.benchmarks.bench import Arm, Bench, Task, Trial, held_out_seed
from distembed.data.synthetic.counts import Poissons
from distembed.evaluation.result import Score
from distembed.generators.explicit import Explicit
from distembed.model.gde import GDE
from distembed.rng import stream
from distembed.training.config import TrainConfig

__all__ = [
    "BENCH",
    "TASKS",
    "Array",
    "Estimator",
    "GammaPrior",
    "RatePrior",
    "Settings",
    "distinct_atoms",
    "draws_of",
    "estimator_scores",
    "explicit",
    "probability_of_zero",
    "unbiased_estimators",
    "unbiased_risks",
]

Array = NDArray[np.float64]
Estimator = Callable[[Array, Array], Array]
"""A function of the sum and of the number of zeros of m draws."""


class RatePrior(Protocol):
    """A prior of the rate, with what is known under it in closed form."""

    def draw(self, sets: int, size: int, seed: int) -> Poissons:
        """Draw sets whose rates come from the prior."""

    def estimators(self, m: int) -> dict[str, Estimator]:
        """Return estimators of P(X = 0) by name; `bayes` is among them."""

    def risk(self, m: int) -> dict[str, float]:
        """Return expected squared errors in closed form."""


@dataclass(frozen=True)
class GammaPrior:
    r"""A Gamma prior of the rate, and the estimators of P(X = 0) from m draws of sum T.

    Attributes:
        shape: Shape of the Gamma distribution.
        rate: Its rate.
    """

    shape: float = 2.0
    rate: float = 1.0

    def draw(self, sets: int, size: int, seed: int) -> Poissons:
        """Draw sets whose rates come from the prior."""
        shape = torch.full((sets, 1), self.shape, dtype=torch.float64)
        rate = torch._standard_gamma(shape, generator=stream(seed, "rates")) / self.rate
        return Poissons(rate.numpy(), size=size, seed=seed)

    def estimators(self, m: int) -> dict[str, Estimator]:
        """Return estimators by name, functions of the sums and of the numbers of zeros."""
        return {
            **unbiased_estimators(m),
            "bayes": lambda total, zeros: (
                ((self.rate + m) / (self.rate + m + 1)) ** (self.shape + total)
            ),
        }

    def risk(self, m: int) -> dict[str, float]:
        r"""Return risks in closed form, by $E[e^{-s \lambda}] = (1 + s / rate)^{-shape}$."""
        return unbiased_risks(m, lambda s: math.pow(1 + s / self.rate, -self.shape))


def unbiased_estimators(m: int) -> dict[str, Estimator]:
    """Return the share of zeros, and the unbiased estimator of least variance."""
    return {
        "naive": lambda total, zeros: zeros / m,
        "rao_blackwell": lambda total, zeros: (1 - 1 / m) ** total,
    }


def unbiased_risks(m: int, laplace: Callable[[float], float]) -> dict[str, float]:
    r"""Return their risks under a prior, from its Laplace transform $E[e^{-s \lambda}]$."""
    return {
        "naive": (laplace(1) - laplace(2)) / m,
        "rao_blackwell": laplace(2 - 1 / m) - laplace(2),
    }


def explicit(label: str, likelihood: str) -> Arm:
    """Return a model with a likelihood of counts."""
    generator = {"name": "explicit", "likelihood": likelihood}
    return Arm(label, generator=generator, options={"transform": ()})


@dataclass(frozen=True)
class Settings:
    """Sizes, schedule and arms.

    Attributes:
        training: The defaults but for a schedule of fixed length, and the sizes that are measured.
        arms: Models. The first one is also measured before training.
        prior: The prior of the rates.
        latent: Dimension of the embedding.
        train_sets: Training sets.
        sets: Held-out sets.
        sizes: Draws of each held-out set.
        sets_at_once: Sets that are drawn and embedded together.
    """

    training: TrainConfig = field(
        default_factory=lambda: TrainConfig(
            steps=1500, context=(10, 1000), every=250, validation=0.02, patience=0
        )
    )
    arms: tuple[Arm, ...] = (
        explicit("gde", "negative_binomial"),
        explicit("gde_poisson", "poisson"),
    )
    prior: GammaPrior = GammaPrior()
    latent: int = 8
    train_sets: int = 20_000
    sets: int = 4_000
    sizes: tuple[int, ...] = (10, 100, 1000)
    sets_at_once: int = 500


def _data(settings: Settings, seed: int) -> tuple[Poissons, Poissons]:
    draw, size = settings.prior.draw, settings.training.context[1]
    return (
        draw(settings.train_sets, size, seed),
        draw(settings.sets, size, held_out_seed(seed)),
    )


def distinct_atoms(x: Tensor) -> SetBatch:
    """Merge equal draws `(B, m)` into one atom of their weight: the same distributions."""
    unique = [row.unique(return_counts=True) for row in x]
    return SetBatch.from_list([value[:, None] for value, _ in unique], [c for _, c in unique])


def probability_of_zero(model: GDE, batch: SetBatch, m: int) -> Array:
    """Return P(X = 0) under the distribution of each set of m draws, `(B,)`: exact, not drawn."""
    network = model.network
    z = torch.from_numpy(model.embed(batch, covariance=False).z)
    zero = SetBatch.from_dense(torch.zeros(len(batch), 1, 1))
    device = network.device
    with torch.inference_mode():
        sizes = torch.full((len(batch),), float(m), device=device)
        condition = network.condition(z.to(device), sizes)
        nats = cast(Explicit, network.generator).log_prob(zero.to(device), condition)
    probability: Array = nats.exp().cpu().double().numpy()
    return probability


def estimator_scores(
    models: Mapping[str, GDE],
    test: Poissons,
    m: int,
    prior: RatePrior,
    seed: int,
    task: str,
    sets_at_once: int = 500,
) -> Iterator[Score]:
    """Compare every method on m draws of each held-out set.

    Args:
        models: Models with a density, by name.
        test: Held-out sets.
        m: Draws of each.
        prior: Where their rates come from.
        seed: Of the draws.
        task: Task of the scores.
        sets_at_once: Sets that are drawn and embedded together.
    """
    truth = np.exp(-np.asarray(test.rate, dtype=np.float64)[:, 0])
    estimators = prior.estimators(m)
    parts: dict[str, list[Array]] = {name: [] for name in (*estimators, *models)}
    for _, drawn in draws_of(test, m, seed, sets_at_once):
        x, batch = drawn.double().numpy(), distinct_atoms(drawn)
        for name, estimator in estimators.items():
            parts[name].append(estimator(x.sum(1), (x == 0).sum(1)))
        for name, model in models.items():
            parts[name].append(probability_of_zero(model, batch, m))
    estimates = {name: np.concatenate(values) for name, values in parts.items()}
    for name, p in estimates.items():
        yield Score("mse", name, float(np.mean((p - truth) ** 2)), task=task)
        yield Score("excess", name, float(np.mean((p - estimates["bayes"]) ** 2)), task=task)
    for name, value in prior.risk(m).items():
        yield Score("risk", name, value, task=task)


def draws_of(
    test: Poissons, m: int, seed: int, sets_at_once: int
) -> Iterator[tuple[range, Tensor]]:
    """Yield the numbers of sets, and m draws of each, `(B, m)`."""
    for start in range(0, len(test), sets_at_once):
        index = range(start, min(start + sets_at_once, len(test)))
        yield index, test.batch(index, m, stream(seed, "draws", m, start)).x.view(len(index), m)


def _measure(trial: Trial[Settings]) -> Iterator[Score]:
    train, test = trial.data()
    models, seconds = {}, {}
    for arm in trial.settings.arms:
        fitted = trial.fit(arm.model(trial.settings.latent), train)
        models[arm.label] = fitted.model
        seconds[arm.label] = fitted.seconds
    models["untrained"] = models["gde"].untrained()
    for m in trial.settings.sizes:
        settings, task = trial.settings, trial.at(m)
        scores = estimator_scores(
            models, test, m, settings.prior, trial.seed, task, settings.sets_at_once
        )
        yield from trial.report(f"{m} draws", scores, seconds["gde"])


TASKS = {"gamma": Task(_measure, _data)}
BENCH = Bench(
    "poisson",
    TASKS,
    {
        "tiny": Settings(
            TrainConfig(
                steps=2, warmup=1, every=2, batch=4, target=4, context=(10, 1000), patience=0
            ),
            train_sets=40,
            sets=800,
        ),
        "quick": Settings(
            TrainConfig(steps=300, context=(10, 1000), every=100, validation=0.02, patience=0),
            train_sets=2000,
            sets=1000,
        ),
        "full": Settings(),
    },
)
