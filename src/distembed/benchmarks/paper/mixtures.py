r"""Table 2, mixtures of three Gaussians in five dimensions.

Training sets are 64 atoms of mixtures with means uniform in [0, 5]^5, Dirichlet(1, 1, 1) weights
and covariances the inverse of Wishart(40, I). A mixture is fitted to the atoms that a model draws,
and compared with the true one by MW2.

- `own`: held-out sets of the same prior.
- `shifted`: as published, covariances are the inverse of Wishart(10, I), of a mean 8.5 times as
  large: a prior that no model has seen.

`paper_mw2` is as published: squared, and the fit starts from the *true* parameters. `mw2` is in
the units of the data, from four starts of its own. `em` is the same fit to the encoded atoms
themselves, and `prior_cov` the true weights and means with the mean covariance of the training
prior.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from distembed.batch import SetBatch
from distembed.benchmarks.bench import Arm, Task, Trial, held_out_seed
from distembed.benchmarks.paper.normal import encoded
from distembed.benchmarks.paper.published import combination
from distembed.benchmarks.paper.settings import Settings
from distembed.benchmarks.paper.timed import fit_for
from distembed.data.synthetic.gaussians import Mixtures
from distembed.divergences.mixture import mixture_w2
from distembed.evaluation.result import Score
from distembed.model.gde import GDE
from distembed.protocols import generator_traits
from distembed.registry import need

__all__ = ["TASKS", "Components", "components", "fitted_mixture", "mixture_scores"]

LATENT, WIDTH, DEGREES, SHIFTED = 128, 512, 40, 10
"""As published; the last two are degrees of freedom in training and in their evaluation."""
Components = tuple[Tensor, Tensor, Tensor]
"""Weights `(K,)`, means `(K, D)` and covariances `(K, D, D)`."""


def components(truth: Mixtures, row: int) -> Components:
    """Return the parameters of one mixture."""
    return truth.weights[row], truth.mean[row], truth.cov[row]


def fitted_mixture(x: NDArray[Any], truth: Components, from_truth: bool, seed: int) -> Components:
    """Fit a mixture by expectation maximisation.

    Args:
        x: Atoms, `(n, D)`.
        truth: True parameters, whose number of components is known.
        from_truth: Whether they are the start, as published; else the best of four is taken.
        seed: Of the starts.
    """
    weights, means, covs = (part.numpy() for part in truth)
    start: dict[str, Any] = {"n_init": 4}
    if from_truth:
        start = {
            "weights_init": weights / weights.sum(),
            "means_init": means,
            "precisions_init": np.linalg.inv(covs),
        }
    model = need("sklearn.mixture", "sklearn").GaussianMixture(
        len(weights), reg_covar=1e-4, random_state=seed, **start
    )
    with warnings.catch_warnings():
        # a hundred iterations, as published, may end before the tolerance is met
        warnings.filterwarnings("ignore", "Best performing initialization did not converge")
        warnings.filterwarnings("ignore", "Initialization .* did not converge")
        model.fit(np.asarray(x, dtype=np.float64))
    parts = (model.weights_, model.means_, model.covariances_)
    w, m, c = (torch.from_numpy(np.ascontiguousarray(part)) for part in parts)
    return w, m, c


def mixture_scores(
    method: str, atoms: SetBatch, truth: Mixtures, seed: int, task: str
) -> Iterator[Score]:
    """Yield both numbers of atoms `(B, n, D)`, means over sets."""
    values: dict[str, list[float]] = {"paper_mw2": [], "mw2": []}
    for row in range(len(atoms)):
        own, x = components(truth, row), atoms.select([row]).x.numpy()
        for metric, from_truth in (("paper_mw2", True), ("mw2", False)):
            distance = float(mixture_w2(*fitted_mixture(x, own, from_truth, seed), *own))
            values[metric].append(distance**2 if from_truth else distance)
    for metric, numbers in values.items():
        yield Score(metric, method, float(np.mean(numbers)), task=task)


def _test(settings: Settings, df: int, seed: int) -> Mixtures:
    sizes = settings.mixtures
    return Mixtures.prior(sizes.sets, 3, 5, df, size=max(sizes.encoded), seed=held_out_seed(seed))


def _train(settings: Settings, seed: int) -> Mixtures:
    sizes = settings.mixtures
    return Mixtures.prior(sizes.train_sets, 3, 5, DEGREES, size=sizes.encoded[0], seed=seed)


def _priors(settings: Settings, seed: int) -> Mapping[str, Mixtures]:
    return {
        name: _test(settings, df, seed) for name, df in (("own", DEGREES), ("shifted", SHIFTED))
    }


def _model_scores(models: Mapping[str, GDE], most: int, trial: Trial[Settings]) -> Iterator[Score]:
    sizes = trial.settings.mixtures
    for prior, truth in _priors(trial.settings, trial.seed).items():
        whole = truth.batch(range(len(truth)))
        for m in sizes.encoded:
            atoms = encoded(whole, min(m, most), trial.seed)
            for label, model in models.items():
                count = generator_traits(model.network.generator).fixed_size or sizes.drawn
                x = torch.from_numpy(model.reconstruct(atoms, count, trial.seed))
                drawn, task = SetBatch.from_dense(x), f"mixtures_{prior}_m{m}"
                yield from mixture_scores(label, drawn, truth, trial.seed, task)


def _references(trial: Trial[Settings]) -> Iterator[Score]:
    """Yield the scores of fits to the encoded atoms, and of a covariance for all."""
    average = _train(trial.settings, trial.seed).cov.mean((0, 1))
    for prior, truth in _priors(trial.settings, trial.seed).items():
        whole = truth.batch(range(len(truth)))
        for m in trial.settings.mixtures.encoded:
            task = f"mixtures_{prior}_m{m}"
            yield from mixture_scores("em", encoded(whole, m, trial.seed), truth, trial.seed, task)
            distances = []
            for row in range(len(truth)):
                w, mean, cov = components(truth, row)
                constant = average.expand_as(cov)
                distances.append(float(mixture_w2(w, mean, constant, w, mean, cov)))
            yield Score("mw2", "prior_cov", float(np.mean(distances)), task=task)
            squared = float(np.mean(np.square(distances)))
            yield Score("paper_mw2", "prior_cov", squared, task=task)


def _measure_default(trial: Trial[Settings]) -> Iterator[Score]:
    settings = trial.settings
    train = _train(settings, trial.seed)
    fitted = fit_for(trial, Arm("gde"), train, LATENT, settings.seconds, settings.pilot)
    models = {"gde": fitted.model, "untrained": fitted.model.untrained()}
    scores = _model_scores(models, max(settings.mixtures.encoded), trial)
    yield from trial.report("default", scores, fitted.seconds)
    yield from trial.report("references", _references(trial))


def _measure(arm: Arm, trial: Trial[Settings], times: int = 1) -> Iterator[Score]:
    settings, sizes = trial.settings, trial.settings.mixtures
    train = _train(settings, trial.seed)
    fitted = fit_for(trial, arm, train, LATENT, times * settings.seconds, settings.pilot)
    most = sizes.attended if arm.label.startswith("attention") else max(sizes.encoded)
    yield from trial.report(arm.label, _model_scores({arm.label: fitted.model}, most, trial))


_ARMS = {
    "gde_mixture": Arm("gde_mixture", generator={"name": "explicit", "likelihood": "mixture"}),
    "resnet_gnn_ddpm": combination("resnet_gnn", "ddpm", WIDTH, LATENT),
    "kme_ddpm": combination("kme", "ddpm", WIDTH, LATENT),
    "attention_wormhole": combination("attention", "wormhole", WIDTH, LATENT),
}
_LONG = replace(_ARMS["gde_mixture"], label="gde_mixture_x15")
"""It trains for fifteen times as long, which is no part of the comparison at equal seconds."""
TASKS: dict[str, Task[Settings]] = {
    "mixtures_default": Task(_measure_default),
    **{f"mixtures_{name}": Task(partial(_measure, arm)) for name, arm in _ARMS.items()},
    "mixtures_gde_mixture_x15": Task(partial(_measure, _LONG, times=15)),
}
