r"""Table 1: P(X = 0) of a Poisson variable from n draws, under three priors of the rate.

The paper does not state its prior. The rows are for $\lambda \sim$ U(0, 10), the range of its
code's data, Gamma(2, 1) and Exp(1). Methods are those of the bench `poisson`, here named
`gde_poisson` and `gde_nb`. `gde` is the default of the package: flow matching, which has no
probability of zero, so that the share of zeros among its draws stands in for it. Of its squared
error the part that is due to the number of draws is subtracted.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from scipy.special import gammainc

from distembed.benchmarks.bench import Arm, Task, Trial, held_out_seed
from distembed.benchmarks.paper.settings import Settings
from distembed.benchmarks.poisson import (
    Array,
    Estimator,
    GammaPrior,
    RatePrior,
    distinct_atoms,
    draws_of,
    estimator_scores,
    explicit,
    unbiased_estimators,
    unbiased_risks,
)
from distembed.data.synthetic.counts import Poissons
from distembed.evaluation.result import Score
from distembed.model.gde import GDE
from distembed.rng import stream

__all__ = ["PRIORS", "TASKS", "UniformPrior", "drawn_error"]


@dataclass(frozen=True)
class UniformPrior:
    r"""A uniform prior of the rate, $\lambda \sim U(0, b)$.

    Attributes:
        high: b.
    """

    high: float = 10.0

    def draw(self, sets: int, size: int, seed: int) -> Poissons:
        """Draw sets whose rates come from the prior."""
        u = torch.rand(sets, 1, generator=stream(seed, "rates"), dtype=torch.float64)
        return Poissons((self.high * u).numpy(), size=size, seed=seed)

    def estimators(self, m: int) -> dict[str, Estimator]:
        r"""Return estimators by name.

        The posterior of $\lambda$ is Gamma(T + 1, m) below b, and so $E[e^{-\lambda}]$ is
        $(m / (m + 1))^{T + 1}$ times the ratio of the probabilities below b at m + 1 and at m.
        """

        def bayes(total: Array, zeros: Array) -> Array:
            below = gammainc(total + 1, (m + 1) * self.high) / gammainc(total + 1, m * self.high)
            mean: Array = (m / (m + 1)) ** (total + 1) * below
            return mean

        return {**unbiased_estimators(m), "bayes": bayes}

    def risk(self, m: int) -> dict[str, float]:
        """Return the risks of the first two in closed form."""
        return unbiased_risks(m, lambda s: -math.expm1(-self.high * s) / (self.high * s))


PRIORS: Mapping[str, RatePrior] = {
    "uniform": UniformPrior(),
    "gamma": GammaPrior(),
    "exponential": GammaPrior(shape=1.0),
}


def drawn_error(zeros: Array, draws: int, truth: Array) -> float:
    """Return the mean squared error of shares of zeros, without that of a finite number of draws.

    Args:
        zeros: Share of zeros among the draws of each set, `(B,)`.
        draws: Number of draws of a set.
        truth: Probabilities of zero, `(B,)`.

    Example:
        >>> abs(drawn_error(np.array([0.5]), 101, np.array([0.45]))) < 1e-15
        True
    """
    noise = zeros * (1 - zeros) / (draws - 1)
    return float(np.mean((zeros - truth) ** 2 - noise))


def _data(prior: RatePrior, settings: Settings, seed: int) -> tuple[Poissons, Poissons]:
    sizes = settings.table1
    atoms = sizes.training.context[1]
    return (
        prior.draw(sizes.train_sets, atoms, seed),
        prior.draw(sizes.sets, atoms, held_out_seed(seed)),
    )


def _drawn_scores(model: GDE, test: Poissons, m: int, trial: Trial[Settings]) -> Iterator[Score]:
    """Yield the error of shares of zeros among draws from a model."""
    sets, draws = trial.settings.table1.drawn
    rows: list[int] = []
    zeros: list[Array] = []
    for index, x in draws_of(test, m, trial.seed, min(sets, 100)):
        if index.start >= sets:
            break
        z = model.embed(distinct_atoms(x), covariance=False).z
        sizes = np.full(len(z), float(m))  # weighted atoms are fewer than the draws
        drawn = model.sample(z, draws, index.start, effective_sizes=sizes, as_data=True)
        zeros.append((drawn == 0).mean((1, 2)))
        rows.extend(index)
    truth = np.exp(-np.asarray(test.rate, dtype=np.float64)[np.array(rows), 0])
    yield Score("mse", "gde", drawn_error(np.concatenate(zeros), draws, truth), task=trial.at(m))


def _measure(prior: RatePrior, trial: Trial[Settings]) -> Iterator[Score]:
    train, test = trial.data()
    sizes = trial.settings.table1
    config = sizes.training.changed({"seed": trial.seed}).model_dump(exclude={"seed"})

    def fit(arm: Arm) -> tuple[GDE, float]:
        fitted = trial.fit(arm.model(sizes.latent), train, **config)
        return fitted.model, fitted.seconds

    arms = explicit("gde_poisson", "poisson"), explicit("gde_nb", "negative_binomial")
    models = {arm.label: fit(arm)[0] for arm in arms}
    default, seconds = fit(Arm("gde"))
    for m in sizes.sizes:
        scores = [
            *estimator_scores(models, test, m, prior, trial.seed, trial.at(m)),
            *_drawn_scores(default, test, m, trial),
        ]
        yield from trial.report(f"{m} draws", scores, seconds)


TASKS: dict[str, Task[Settings]] = {
    f"table1_{name}": Task(partial(_measure, prior), partial(_data, prior))
    for name, prior in PRIORS.items()
}
