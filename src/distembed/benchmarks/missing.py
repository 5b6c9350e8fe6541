r"""Embeddings of sets with missing values, beside those of the complete sets.

A share of all values, drawn completely at random, is removed from training and held-out sets. The
encoder is the start of the default one, the closed form, prepared on the training sets with
missing values. `missing_change` is the mean of $|z - z_0|$ over held-out sets, z_0 the embedding
of the complete set by the same encoder; `missing_ratio` that over the one of `feature_mean`.

- `gde`: by masks, with the refined moments of the default.
- `pairwise`: by masks, without a refinement.
- `feature_mean`: missing values are the mean of their feature over all training sets.
- `set_mean`: they are the mean of their feature in the set.
- `constant`: every set has the mean embedding: the spread of z_0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from distembed.batch import SetBatch
from distembed.benchmarks.bench import Bench, Task, Trial, held_out_seed, missing_data
from distembed.benchmarks.default_data import READERS, Sizes, folder
from distembed.data.synthetic.gaussians import Gaussians
from distembed.data.transforms.standardise import Standardise
from distembed.encoders.closed_form import ClosedForm
from distembed.encoders.incomplete import Refinement
from distembed.evaluation.result import Score
from distembed.rng import stream
from distembed.training.config import TrainConfig

__all__ = ["BENCH", "TASKS", "Settings"]

Parts = tuple[SetBatch, SetBatch]
"""Complete training and held-out sets."""


@dataclass(frozen=True)
class Settings:
    """Sizes and the share of missing values.

    Attributes:
        training: Not used: no model is trained.
        missing: Share of missing values.
        latent: Dimension of the embedding.
        data: Sizes of the data.
        fewest: Smaller sets are left out.
    """

    training: TrainConfig = field(default_factory=TrainConfig)
    missing: float = 0.3
    latent: int = 32
    data: Sizes = field(default_factory=Sizes)
    fewest: int = 20


def _gaussians(settings: Settings, seed: int) -> Parts:
    sizes = settings.data
    train, test = (
        Gaussians.prior(count, 5, sizes.atoms, seed=part).batch(range(count))
        for count, part in ((sizes.train_sets, seed), (sizes.test_sets, held_out_seed(seed)))
    )
    return train, test


def _folder(name: str, settings: Settings, seed: int) -> Parts:
    data = folder(name, settings.data, seed)
    parts = (sets.batch(range(len(sets))) for sets in (data.train, data.test))
    train, test = (
        p.select((p.sizes >= min(settings.fewest, int(p.sizes.max()))).nonzero().flatten())
        for p in parts
    )
    return train, test


def _masked(batch: SetBatch, share: float, rng: torch.Generator) -> SetBatch:
    observed = torch.rand(batch.x.shape, generator=rng) >= share
    return SetBatch(batch.x, batch.w, batch.offsets, observed)


def _filled(batch: SetBatch, values: Tensor) -> SetBatch:
    """Put values `(N, D)` where features are missing."""
    mask = batch.mask
    x = batch.filled + (1 - mask) * values
    return SetBatch(x, batch.w, batch.offsets)


def _measure(trial: Trial[Settings]) -> Iterator[Score]:
    settings = trial.settings
    train, test = trial.data()
    scale = Standardise().fit(train.x, train.w)
    train, complete = (b.replace(x=scale(b.x)).to(dtype=torch.float64) for b in (train, test))
    rng = stream(trial.seed, "missing values")
    train, test = (_masked(b, settings.missing, rng) for b in (train, complete))
    average = (train.filled * train.w[:, None]).sum(0) / (train.mask * train.w[:, None]).sum(0)
    own = test.mean(test.filled) / test.mean(test.mask).clamp_min(1e-12)
    sets = {
        "gde": test,
        "feature_mean": _filled(test, average.expand_as(test.filled)),
        "set_mean": _filled(test, test.expand(own)),
    }
    changes = {}
    for method, refinement in (("pairwise", Refinement(0)), ("gde", Refinement())):
        encoder = ClosedForm(
            tuple(train.event_shape), settings.latent, masked=True, refinement=refinement
        ).double()
        encoder.prepare(train)
        z = encoder(complete)
        if method == "pairwise":
            changes[method] = encoder(test) - z
            continue
        changes |= {name: encoder(batch) - z for name, batch in sets.items()}
        changes["constant"] = z - z.mean(0)
    values = {name: float(change.norm(dim=1).mean()) for name, change in changes.items()}
    scores = [Score("missing_change", name, value) for name, value in values.items()]
    scores += [
        Score("missing_ratio", name, value / values["feature_mean"])
        for name, value in values.items()
    ]
    yield from trial.report("all methods", scores)


TASKS = {
    "gaussian_5d": Task(_measure, _gaussians),
    **{
        name: Task(_measure, partial(_folder, name), partial(missing_data, READERS[name].folder))
        for name in ("kidney_glomeruli", "flow_dapg")
    },
}
BENCH = Bench(
    "missing",
    TASKS,
    {
        "tiny": Settings(latent=8, data=Sizes(train_sets=12, test_sets=6, atoms=30)),
        "quick": Settings(data=Sizes(train_sets=100, test_sets=20)),
        "full": Settings(),
    },
)
