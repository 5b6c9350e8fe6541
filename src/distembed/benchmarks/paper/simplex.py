r"""Figures 3, 5 and 11: latent distances of multinomials, with training priors Dirichlet(a, 1, 1).

Held-out sets are the 55 points p of a grid on the simplex, 5,000 draws of Multinomial(20, p) each,
and a runs from 1/32 to 32. Linear correlations over all pairs are with exact W2 between the laws
(`pearson_w2`), with the distances of Fisher and Rao and of Hellinger, and the number of the paper:
with the *squared* W2 of Gaussians of the same moments, over both orders of a pair and over the
diagonal, where all distances are zero.

`gde` is `GDE.distances`, `latent` the plain |z_1 - z_2| that is published, and `gnn+ddpm` the
published model. `fisher_rao`, `hellinger` and `probabilities` are distances of the true p.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from distembed.benchmarks.bench import Arm, Task, Trial
from distembed.benchmarks.fitting import FittedModel
from distembed.benchmarks.geometry import model_distances
from distembed.benchmarks.pair_distances import Distances
from distembed.benchmarks.paper.published import combination
from distembed.benchmarks.paper.settings import Settings
from distembed.benchmarks.problems import Problem, simplex
from distembed.data.synthetic.counts import Multinomials
from distembed.divergences.bures import bures_w2
from distembed.evaluation.result import Score

__all__ = ["STRETCHES", "TASKS", "paper_correlation", "probability_distances"]

Array = NDArray[np.float64]
STRETCHES = tuple(2.0**k for k in range(-5, 6))
"""The first parameter of the Dirichlet prior."""


def probability_distances(p: torch.Tensor, pairs: NDArray[np.int64]) -> dict[str, Array]:
    """Return distances of probabilities `(S, K)`, `(P,)` each.

    Example:
        >>> p = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
        >>> d = probability_distances(p, np.array([[0, 1]]))
        >>> round(d["fisher_rao"].item() / np.pi, 6), round(d["hellinger"].item(), 6)
        (1.0, 1.0)
    """
    a, b = (p[torch.from_numpy(side)].double() for side in pairs.T)
    overlap = (a * b).sqrt().sum(1).clamp(0, 1)
    return {
        "fisher_rao": (2 * overlap.arccos()).numpy(),
        "hellinger": (1 - overlap).sqrt().numpy(),
        "probabilities": (a - b).norm(dim=1).numpy(),
    }


def paper_correlation(values: Array, squared: Array, sets: int) -> float:
    """Return the number of the paper, of distances of all pairs of sets.

    Args:
        values: Distances of each pair once, `(P,)`.
        squared: Squared W2 of Gaussians, `(P,)`.
        sets: Number of sets: as many zeros are on the diagonal.
    """
    one, other = (np.concatenate([np.zeros(sets), x, x]) for x in (values, squared))
    return float(np.corrcoef(one, other)[0, 1])


def _gaussian_squared(test: Multinomials, pairs: NDArray[np.int64]) -> Array:
    """Return the squared W2 of Gaussians with the moments of one trial of each multinomial."""
    p = test.p.double()
    cov = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]
    i, j = (torch.from_numpy(side) for side in pairs.T)
    squared: Array = bures_w2(p[i], cov[i], p[j], cov[j]).square().numpy()
    return squared


def correlation_scores(
    distances: Mapping[str, Distances], problem: Problem, test: Multinomials
) -> Iterator[Score]:
    """Yield the four correlations of every method."""
    own = probability_distances(test.p, problem.pairs)
    rows = np.arange(len(problem.pairs))
    every = {**distances, **{name: Distances(values, rows) for name, values in own.items()}}
    squared = _gaussian_squared(test, problem.pairs)
    for method, distance in every.items():
        truths = {"w2": problem.w2, "fisher_rao": own["fisher_rao"], "hellinger": own["hellinger"]}
        for name, truth in truths.items():
            value = float(np.corrcoef(distance.values, truth)[0, 1])
            yield Score(f"pearson_{name}", method, value)
        value = paper_correlation(distance.values, squared, len(test))
        yield Score("pearson_paper", method, value)


def _measure(first: float, trial: Trial[Settings]) -> Iterator[Score]:
    sizes, config = trial.settings.simplex, trial.settings.stretched
    problem = simplex(sizes, trial.seed, first)
    total, levels = sizes.lattice
    test = Multinomials.grid(levels, total)
    training = config.model_dump(exclude={"seed"})
    fits: dict[str, FittedModel] = {}
    for arm in (Arm("gde"), combination("gnn", "ddpm", 64, 16)):
        changed = training | dict(arm.training)
        model = arm.model(None if arm.label == "gde" else 16)
        fits[arm.label] = trial.fit(model, problem.train, **changed)
    distances = model_distances(fits, problem.context, problem.pairs, plain=("gnn+ddpm",))
    scores = correlation_scores(distances, problem, test)
    yield from trial.report("correlations", scores, fits["gde"].seconds)


def _name(first: float) -> str:
    return f"{first:g}" if first >= 1 else f"1_{1 / first:g}"


TASKS: dict[str, Task[Settings]] = {
    f"figure11_{_name(first)}": Task(partial(_measure, first)) for first in STRETCHES
}
