r"""Tables 2 (Normal), 5 and 6: Gaussians in five dimensions, encoder by generator.

Training sets are 64 atoms of Gaussians with mean uniform in [0, 5]^5 and covariance the inverse of
a Wishart(40, scale I) draw; z has 32 coordinates and networks a width of 128 at scale 1 (table 5),
64 and 256 at scale 0.1 (table 6). Held-out sets are encoded from 64 and from 10,000 atoms, and the
moments of drawn atoms are compared with the true ones: by W2, and by the number of the paper,
which adds the mean error to the *squared* covariance part.

`gde` is the default, trained for as many seconds, and `untrained` the same before its first step.
`constant_cov` has the mean of the encoded atoms and the mean covariance over held-out sets,
`mean_cov` the moments of the encoded atoms, and `floor` those of as many true atoms as are drawn.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from distembed.batch import SetBatch
from distembed.benchmarks.bench import Arm, Task, Trial, held_out_seed
from distembed.benchmarks.paper.published import ENCODERS, GENERATORS, combination
from distembed.benchmarks.paper.settings import Settings
from distembed.benchmarks.paper.timed import fit_for
from distembed.benchmarks.truth import gaussian_w2
from distembed.data.synthetic.gaussians import Gaussians
from distembed.evaluation.result import Score
from distembed.model.gde import GDE
from distembed.nn.per_set import moments_per_set
from distembed.protocols import generator_traits
from distembed.rng import stream

__all__ = ["TABLES", "TASKS", "NormalTable", "moment_scores"]


@dataclass(frozen=True)
class NormalTable:
    """A published table.

    Attributes:
        scale: Scale of the Wishart distribution.
        latent: Dimension of z.
        width: Width of networks.
    """

    scale: float
    latent: int
    width: int

    def data(self, settings: Settings, seed: int) -> tuple[Gaussians, Gaussians]:
        """Draw training and held-out sets, whose own atoms are the many that are encoded."""
        sizes = settings.normal
        few, many = sizes.encoded
        prior = partial(Gaussians.prior, d=5, df=40, scale=self.scale)
        return (
            prior(sizes.train_sets, size=few, seed=seed),
            prior(sizes.sets, size=many, seed=held_out_seed(seed)),
        )


TABLES = {"table5": NormalTable(1.0, 32, 128), "table6": NormalTable(0.1, 64, 256)}


def moment_scores(
    method: str, moments: tuple[Tensor, Tensor], test: Gaussians, task: str
) -> Iterator[Score]:
    """Yield the errors of means `(B, D)` and covariances `(B, D, D)`."""
    errors = gaussian_w2(*moments, test, slice(None))
    for metric, values in zip(("w2", "paper_w2"), errors, strict=True):
        yield Score(metric, method, float(values.mean()), task=task)


def model_scores(
    models: Mapping[str, GDE], test: Gaussians, table: str, most: int, trial: Trial[Settings]
) -> Iterator[Score]:
    """Yield the errors of models, from few and from many atoms of each held-out set.

    Args:
        models: Models by label.
        test: Held-out sets.
        table: Name of the table.
        most: Most atoms that are encoded.
        trial: The trial.
    """
    sizes, whole = trial.settings.normal, test.batch(range(len(test)))
    for m in sizes.encoded:
        atoms = encoded(whole, min(m, most), trial.seed)
        for label, model in models.items():
            count = generator_traits(model.network.generator).fixed_size or sizes.drawn
            drawn = torch.from_numpy(model.reconstruct(atoms, count, trial.seed))
            moments = moments_per_set(SetBatch.from_dense(drawn))
            yield from moment_scores(label, moments, test, f"{table}_m{m}")


def encoded(whole: SetBatch, m: int, seed: int) -> SetBatch:
    """Return m atoms of each set, the same for all models."""
    if m == int(whole.sizes.max()):
        return whole
    return whole.subsample(m, stream(seed, "encoded", m))


def _references(test: Gaussians, table: str, trial: Trial[Settings]) -> Iterator[Score]:
    sizes, whole = trial.settings.normal, test.batch(range(len(test)))
    fresh = test.batch(range(len(test)), sizes.drawn, stream(trial.seed, "floor"))
    average = test.cov.mean(0).expand_as(test.cov)
    for m in sizes.encoded:
        task = f"{table}_m{m}"
        mean, cov = moments_per_set(encoded(whole, m, trial.seed))
        yield from moment_scores("constant_cov", (mean, average), test, task)
        yield from moment_scores("mean_cov", (mean, cov), test, task)
        yield from moment_scores("floor", moments_per_set(fresh), test, task)


def _measure_default(table: str, trial: Trial[Settings]) -> Iterator[Score]:
    settings = trial.settings
    train, test = trial.data()
    latent = TABLES[table].latent
    fitted = fit_for(trial, Arm("gde"), train, latent, settings.seconds, settings.pilot)
    models = {"gde": fitted.model, "untrained": fitted.model.untrained()}
    most = max(settings.normal.encoded)
    scores = model_scores(models, test, table, most, trial)
    yield from trial.report("default", scores, fitted.seconds)
    yield from trial.report("references", _references(test, table, trial))


def _measure_cell(
    table: str, encoder: str, generator: str, trial: Trial[Settings]
) -> Iterator[Score]:
    settings, sizes = trial.settings, trial.settings.normal
    train, test = trial.data()
    own = TABLES[table]
    arm = combination(encoder, generator, own.width, own.latent, sizes.encoded[0])
    fitted = fit_for(trial, arm, train, own.latent, settings.seconds, settings.pilot)
    most = sizes.attended if encoder == "attention" else max(sizes.encoded)
    scores = model_scores({arm.label: fitted.model}, test, table, most, trial)
    yield from trial.report(arm.label, scores)


TASKS: dict[str, Task[Settings]] = {}
for _name, _table in TABLES.items():
    TASKS[f"{_name}_default"] = Task(partial(_measure_default, _name), _table.data)
    for _generator in GENERATORS:
        for _encoder in ENCODERS:
            TASKS[f"{_name}_{_encoder}_{_generator}"] = Task(
                partial(_measure_cell, _name, _encoder, _generator), _table.data
            )
