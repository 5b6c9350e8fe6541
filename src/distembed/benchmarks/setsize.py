r"""One distribution, seen through sets of growing size: the second figure of the GDE paper.

The default model is trained on a prior. Then one distribution that it has not seen is sampled
into 200 sets of each size m, and each is embedded:

- `w2_m...`: W2 of generated atoms to the true distribution, in units of the data, beside `points`,
  that of the m atoms themselves, and `floor`, that of as many true atoms as are generated. On
  `gaussian_2d` by the moments of atoms; on `digits` exact, the truth being a mixture of all
  held-out scans of three digits, from which sets draw with replacement.
- `sd1_m...` and `sd2_m...`: the standard deviations of z along the two axes in which the clouds
  are widest, the same axes at every m (those of $\sum_m m\,Cov(z_m)$).
- `slope1` and `slope2`: of log sd in log m. A central limit theorem for z makes it -1/2
  (arXiv 2505.18150, section 3).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch import Tensor

from distembed.batch import SetBatch
from distembed.benchmarks.bench import Arm, Bench, Task, Trial, held_out_seed
from distembed.benchmarks.curves import Draw, colours, log_log
from distembed.benchmarks.truth import w2_to_truth
from distembed.data.synthetic.gaussians import Gaussians
from distembed.divergences.exact import ExactW2
from distembed.evaluation.result import Score
from distembed.model.gde import GDE
from distembed.protocols import Collection
from distembed.rng import stream
from distembed.sets.digit_pools import digit_pools
from distembed.sets.mixtures import mixtures
from distembed.training.config import TrainConfig

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["BENCH", "TASKS", "Clouds", "Settings"]


@dataclass(frozen=True)
class Settings:
    """Sizes and schedule.

    Attributes:
        training: The defaults but for a schedule of fixed length.
        arm: The model.
        latent: Dimension of the embedding.
        train_sets: Training sets by task.
        nominal: Atoms of a Gaussian training set on paper: fresh ones are drawn at every step.
        sizes: Atoms of a held-out set.
        sets: Sets of each size that are embedded.
        reconstructed: Sets of each size that are reconstructed, by task.
        drawn: Atoms that are generated of each of them, by task.
        sets_at_once: Sets that are drawn together.
    """

    training: TrainConfig = field(
        default_factory=lambda: TrainConfig(steps=800, every=200, patience=0, validation=0.02)
    )
    arm: Arm = Arm("gde")
    latent: int = 32
    train_sets: Mapping[str, int] = field(
        default_factory=lambda: {"gaussian_2d": 5_000, "digits": 1_000}
    )
    nominal: int = 32
    sizes: tuple[int, ...] = (10, 50, 100, 500, 5_000)
    sets: int = 200
    reconstructed: Mapping[str, int] = field(
        default_factory=lambda: {"gaussian_2d": 50, "digits": 10}
    )
    drawn: Mapping[str, int] = field(default_factory=lambda: {"gaussian_2d": 1_000, "digits": 500})
    sets_at_once: int = 20


class Truth(Protocol):
    """One distribution."""

    def draw(self, sets: int, m: int, rng: torch.Generator) -> Tensor:
        """Draw m atoms of each set, `(B, m, *event)`."""

    def error(self, x: Tensor) -> Tensor:
        """Return W2 of each set of atoms `(B, n, *event)` to this distribution, `(B,)`."""


@dataclass(frozen=True)
class OneGaussian:
    """A Gaussian."""

    gaussian: Gaussians

    def draw(self, sets: int, m: int, rng: torch.Generator) -> Tensor:
        """Draw m atoms of each set."""
        return self.gaussian.draw(torch.zeros(sets, dtype=torch.int64), m, rng)

    def error(self, x: Tensor) -> Tensor:
        """Return W2 by the moments of the atoms."""
        drawn = SetBatch.from_dense(x)
        return w2_to_truth(drawn, self.gaussian, drawn)


@dataclass(frozen=True)
class OneWeightedSet:
    """A distribution on finitely many atoms, a batch of one set."""

    atoms: SetBatch

    def draw(self, sets: int, m: int, rng: torch.Generator) -> Tensor:
        """Draw m atoms of each set with replacement."""
        rows = torch.multinomial(self.atoms.w, sets * m, replacement=True, generator=rng)
        return self.atoms.x[rows].reshape(sets, m, *self.atoms.event_shape)

    def error(self, x: Tensor) -> Tensor:
        """Return W2 by optimal transport, of equal atoms as one of more weight."""
        parts = []
        for points in x:
            atoms, count = points.unique(dim=0, return_counts=True)
            merged = SetBatch.from_list([atoms], [count.to(x.dtype)])
            parts.append(ExactW2()(merged, self.atoms))
        return torch.cat(parts)


Data = tuple[Collection, Truth]
"""Training sets, and a distribution that is not among them."""


def _gaussian_2d(settings: Settings, seed: int) -> Data:
    sets = settings.train_sets["gaussian_2d"]
    train = Gaussians.prior(sets, 2, 10, size=settings.nominal, seed=seed)
    return train, OneGaussian(Gaussians.prior(1, 2, 10, seed=held_out_seed(seed)))


def _digits(settings: Settings, seed: int) -> Data:
    train_pool, test_pool = digit_pools()
    train = mixtures(train_pool, settings.train_sets["digits"], 3, rng=seed)
    rng = stream(seed, "digits to test")
    three = test_pool.select(torch.randperm(len(test_pool), generator=rng)[:3].numpy())
    atoms = three.batch(range(3))
    share = -torch.log1p(-torch.rand(3, generator=rng))
    w = atoms.w * (share / share.sum())[atoms.owner]
    whole = SetBatch(atoms.x, w, torch.tensor([0, len(w)])).checked()
    return train, OneWeightedSet(whole)


@dataclass(frozen=True)
class Clouds:
    """Embeddings of one distribution, on the two axes in which they spread most.

    Attributes:
        points: Coordinates `(S, 2)` by the size of a set.
    """

    points: Mapping[int, np.ndarray]

    @classmethod
    def of(cls, z: Mapping[int, np.ndarray]) -> Clouds:
        """Project embeddings `(S, L)` of sets of each size."""
        # a cloud shrinks as the root of m; scaled by it, every size has the same influence
        spread = sum(m * np.cov(cloud.T) for m, cloud in z.items())
        axes = np.linalg.eigh(spread)[1][:, :-3:-1]
        centre = z[max(z)].mean(0)
        return cls({m: (cloud - centre) @ axes for m, cloud in z.items()})

    def scores(self) -> Iterator[Score]:
        """Yield standard deviations by axis and size, and their slopes."""
        sizes = np.log(list(self.points))
        for axis in range(2):
            sd = [float(cloud[:, axis].std(ddof=1)) for cloud in self.points.values()]
            for m, value in zip(self.points, sd, strict=True):
                yield Score(f"sd{axis + 1}_m{m}", "gde", value)
            yield Score(f"slope{axis + 1}", "gde", float(np.polyfit(sizes, np.log(sd), 1)[0]))

    def draw(self, axes: Axes) -> None:
        """Draw the clouds, a colour for each size."""
        tints = colours(len(self.points))
        for (m, cloud), colour in zip(self.points.items(), tints, strict=True):
            axes.scatter(
                cloud[:, 0], cloud[:, 1], s=6, color=colour, label=f"m = {m}", linewidths=0
            )
        axes.set(title="embeddings of one distribution", xlabel="first axis", ylabel="second axis")
        axes.legend(fontsize=9, loc="center left", bbox_to_anchor=(1, 0.5))


def _at_size(
    model: GDE, truth: Truth, m: int, trial: Trial[Settings]
) -> tuple[np.ndarray, dict[str, float]]:
    """Return embeddings `(S, L)` of sets of m atoms, and the errors of atoms and samples."""
    settings = trial.settings
    count, drawn = settings.reconstructed[trial.name], settings.drawn[trial.name]
    rng, z = stream(trial.seed, "points", m), []
    errors: dict[str, list[Tensor]] = {"points": [], "gde": []}
    for start in range(0, settings.sets, settings.sets_at_once):
        x = truth.draw(min(settings.sets_at_once, settings.sets - start), m, rng)
        table = model.embed(SetBatch.from_dense(x), covariance=False)
        z.append(table.z)
        if (rest := min(count - start, len(x))) > 0:
            sample = model.sample(table.select(range(rest)), drawn, rng)
            errors["points"].append(truth.error(x[:rest]))
            errors["gde"].append(truth.error(torch.from_numpy(sample)))
    means = {name: float(torch.cat(parts).mean()) for name, parts in errors.items()}
    return np.concatenate(z).astype(np.float64), means


def _measure(trial: Trial[Settings]) -> Iterator[Score]:
    settings = trial.settings
    train, truth = trial.data()
    fitted = trial.fit(settings.arm.model(settings.latent), train)
    sets, drawn = settings.reconstructed[trial.name], settings.drawn[trial.name]
    floor = float(truth.error(truth.draw(sets, drawn, stream(trial.seed, "own"))).mean())
    scores, z = [], {}
    for m in settings.sizes:
        z[m], errors = _at_size(fitted.model, truth, m, trial)
        scores += [Score(f"w2_m{m}", name, value) for name, value in errors.items()]
        scores.append(Score(f"w2_m{m}", "floor", floor))
    clouds = Clouds.of(z)
    scores += clouds.scores()
    trial.draw(
        f"setsize_{trial.name}.svg",
        [*_panels(scores, trial.name, settings.sizes), clouds.draw],
    )
    yield from trial.report("all methods", scores, fitted.seconds)


def _panels(scores: Sequence[Score], task: str, sizes: Sequence[int]) -> list[Draw]:
    """Return what draws errors and deviations against the size of a set."""
    values = {(s.method, s.metric): s.value for s in scores}

    def line(method: str, metric: str) -> list[float]:
        return [values[method, f"{metric}_m{m}"] for m in sizes]

    errors = {name: line(name, "w2") for name in ("gde", "points", "floor")}
    spread = {f"axis {k}": line("gde", f"sd{k}") for k in (1, 2)}
    return [
        log_log(task, "W2 to the truth", sizes, errors),
        log_log("sets of one distribution", "sd of z", sizes, spread),
    ]


TASKS = {"gaussian_2d": Task(_measure, _gaussian_2d), "digits": Task(_measure, _digits)}
BENCH = Bench(
    "setsize",
    TASKS,
    {
        "tiny": Settings(
            TrainConfig(
                steps=2, every=2, batch=4, target=4, context=(8, 16), warmup=1, patience=0
            ),
            latent=8,
            train_sets={"gaussian_2d": 20, "digits": 10},
            sizes=(10, 40, 160),
            sets=30,
            reconstructed={"gaussian_2d": 3, "digits": 3},
            drawn={"gaussian_2d": 20, "digits": 20},
        ),
        "quick": Settings(
            TrainConfig(steps=200, warmup=40, every=200, patience=0, validation=0.02)
        ),
        "full": Settings(),
    },
)
