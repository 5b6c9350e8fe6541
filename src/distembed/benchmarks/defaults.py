r"""The default fit on every data set at hand: is it worth more than its start and than a Gaussian?

`de.GDE().fit(train)` with nothing stated but a schedule of fixed length, on three families of
counts and fractions and on the folders of `$DISTEMBED_DATA` that hold vectors, counts or images
(`distembed.benchmarks.default_data`). One half of a held-out set is embedded; samples are compared
with the other half by the unbiased metrics of `evaluate`.

The ground of all methods is that of the data, each feature divided by its deviation over the
training atoms (images by one deviation), whatever the model's own transforms are. Draws are taken
as `model.sample(z, n)` returns them.

Beside the model stand itself before training (`untrained`), a Gaussian with the mean and
covariance of the embedded half (`mean_cov`), atoms of other sets (`pooled`), and the embedded half
(`floor`). `outside` is the share of drawn numbers beyond the range of the training atoms.

The name of a row says how much of a data set is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from distembed.batch import SetBatch
from distembed.benchmarks.bench import Arm, Bench, Task, Trial, missing_data
from distembed.benchmarks.default_data import (
    FAMILIES,
    READERS,
    DefaultData,
    Sizes,
    family,
    folder,
)
from distembed.data.transforms.standardise import Standardise
from distembed.evaluation.halves import EvaluationConfig, halves
from distembed.evaluation.result import Score
from distembed.evaluation.samples import score_samples
from distembed.evaluation.subject import Subject
from distembed.model.gde import GDE
from distembed.sets.collection import Sets
from distembed.training.config import TrainConfig

__all__ = ["BENCH", "TASKS", "InDataUnits", "Settings"]


@dataclass(frozen=True)
class Settings:
    """Sizes and schedule.

    Attributes:
        training: The defaults but for a schedule of fixed length.
        arms: Models; the first is the default.
        evaluation: Metrics and sizes of the comparison; intervals are over seeds.
        latent: Dimension of the embedding.
        data: How much of a data set is used.
    """

    training: TrainConfig = field(
        default_factory=lambda: TrainConfig(steps=800, warmup=160, every=200, patience=0)
    )
    arms: tuple[Arm, ...] = (Arm("gde"),)
    evaluation: EvaluationConfig = EvaluationConfig(
        metrics=("energy_unbiased", "w2_debiased"), transport_atoms=128, resamples=1
    )
    latent: int = 32
    data: Sizes = Sizes()


@dataclass(frozen=True)
class InDataUnits:
    """A model that is judged in the units of the data, standardised, and not in its own ground.

    Attributes:
        model: The model.
        scale: Divides each feature by its deviation.
    """

    model: GDE
    scale: Standardise

    def embed(self, sets: SetBatch) -> Any:
        """Embed each set."""
        return self.model.embed(sets, covariance=False)

    def sample(
        self,
        z: NDArray[Any],
        n: int,
        rng: int,
        effective_sizes: ArrayLike | None = None,
        ground: str = "input",
    ) -> NDArray[Any]:
        """Draw atoms in the units of the data, and standardise them; the `ground` is always so."""
        drawn = torch.from_numpy(self.model.sample(z, n, rng, effective_sizes))
        standardised: NDArray[Any] = self.atom_transform(drawn).numpy()
        return standardised

    def atom_transform(self, x: Tensor) -> Tensor:
        """Standardise atoms."""
        return self.scale(x)  # type: ignore[no-any-return]


def _scale(train: Sets) -> tuple[Standardise, Tensor, Tensor]:
    """Return what standardises atoms, and the range of each feature, or of all pixels."""
    batch = train.batch(range(len(train)))
    if train.atoms.name == "images":
        return Standardise("all").fit(batch.x, batch.w), batch.x.min(), batch.x.max()
    return Standardise().fit(batch.x, batch.w), batch.x.amin(0), batch.x.amax(0)


def _measure(trial: Trial[Settings]) -> Iterator[Score]:
    """Fit every arm, and compare all of them with the same held-out atoms."""
    settings, data = trial.settings, trial.data()
    scale, low, high = _scale(data.train)
    models: dict[str, InDataUnits] = {}
    seconds = 0.0
    for arm in settings.arms:
        fitted = trial.fit(arm.model(settings.latent), data.train)
        seconds = seconds or fitted.seconds
        models[arm.label] = InDataUnits(fitted.model, scale)
        if arm.label == "gde":
            models["untrained"] = InDataUnits(fitted.model.untrained(), scale)
    config = settings.evaluation
    sets = halves(Subject.of(models["gde"]), data.test, config, trial.seed)
    tables = {name: model.embed(sets.raw) for name, model in models.items()}
    embedded = {name: (Subject.of(models[name]), t.z) for name, t in tables.items()}
    once = np.ones((1, len(data.test)))
    compared = score_samples(embedded, sets, data.test.atoms.name, once, config, trial.seed)
    scores = [Score(s.metric, s.method, s.value) for s in compared]
    for name, model in models.items():
        drawn = torch.from_numpy(model.model.sample(tables[name], 64, trial.seed))
        share = float(((drawn < low) | (drawn > high)).double().mean())
        scores.append(Score("outside", name, share))
    for score in trial.report("all methods", scores, seconds):
        yield replace(score, task=data.name)


def _family(name: str, settings: Settings, seed: int) -> DefaultData:
    return family(name, settings.data, seed)


def _folder(name: str, settings: Settings, seed: int) -> DefaultData:
    return folder(name, settings.data, seed)


TASKS = {
    **{name: Task(_measure, partial(_family, name)) for name in FAMILIES},
    **{
        name: Task(_measure, partial(_folder, name), partial(missing_data, reader.folder))
        for name, reader in READERS.items()
    },
}
BENCH = Bench(
    "defaults",
    TASKS,
    {
        "tiny": Settings(
            TrainConfig(steps=2, every=2, warmup=0, batch=4, target=4, patience=0),
            latent=8,
            data=Sizes(train_sets=24, test_sets=6, atoms=20),
        ),
        "quick": Settings(
            TrainConfig(steps=40, warmup=8, every=40, patience=0),
            data=Sizes(train_sets=100, test_sets=16, atoms=100),
        ),
        "full": Settings(),
    },
)
