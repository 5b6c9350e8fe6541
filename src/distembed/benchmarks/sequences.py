r"""Models of sequences: held-out bits a residue, against known laws and on real sets.

The problems are those of `distembed.benchmarks.sequence_problems`. A context is embedded, and
other atoms of the same set are scored under its z. Methods:

- `gde`: the default model. `masked`: the same with masked diffusion, whose bits are a bound.
- `unconditional`: a generator of the same size that sees no set.
- `label`: the same with a vector for the label of a set, where the label has a training share.
- `markov`, `positions`: counted laws of the context itself, smoothed, with the order by
  cross-validation (`distembed.evaluation.sequence_baselines`).
- `truth`: the known law. `floor`: the context itself, in the distance of k-mers.

`bits_saved` is the mean over sets of what a method needs more than gde on the same atoms, with the
lower end of its paired 95 % interval (Student's t over sets). A task `..._seen` has held-out atoms
of training sets.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from distembed.benchmarks.bench import Bench, Task, Trial, missing_data
from distembed.benchmarks.held_out import HeldOut
from distembed.benchmarks.pair_distances import every_pair
from distembed.benchmarks.sequence_problems import (
    FAMILIES,
    FOLDERS,
    Part,
    SequenceProblem,
    known,
    real,
)
from distembed.data.spaces import ground_distance
from distembed.divergences.exact import pairwise_w2
from distembed.evaluation.bits import bits_a_residue
from distembed.evaluation.result import Score
from distembed.evaluation.sequence_baselines import fit_markov, fit_positions, log_prob
from distembed.evaluation.sequence_models import LabelModel, unconditional
from distembed.model.embeddings import Embeddings
from distembed.model.gde import GDE
from distembed.rng import stream
from distembed.training.config import TrainConfig

__all__ = ["BENCH", "TASKS", "Settings"]

Bits = Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True)
class Settings:
    """Sizes and schedule.

    Attributes:
        training: The defaults of sequences, with a schedule of fixed length.
        latent: Dimension of the embedding.
        train_sets: Training sets of a known law.
        test_sets: Held-out sets, at most a quarter of real ones.
        atoms: Atoms of a training set, a context or a target, at most.
        masked: Whether masked diffusion is trained too.
        bound_draws: Draws of the noise of a bound.
    """

    training: TrainConfig = field(default_factory=lambda: TrainConfig(patience=0))
    latent: int = 16
    train_sets: int = 200
    test_sets: int = 40
    atoms: int = 200
    masked: bool = True
    bound_draws: int = 16


def _measure(trial: Trial[Settings]) -> Iterator[Score]:
    settings = trial.settings
    problem: SequenceProblem = trial.data()
    models = {"gde": GDE(latent=settings.latent), "unconditional": unconditional(settings.latent)}
    seconds: dict[str, float] = {}
    with warnings.catch_warnings():
        # a model that sees no set is meant to ignore it
        warnings.filterwarnings("ignore", "The generator ignores z|Embeddings hardly differ")
        for name, model in models.items():
            seconds[name] = trial.fit(model, problem.train).step_seconds
            trial.log(f"{trial.name}, seed {trial.seed}: trained {name}")
    label = None
    if problem.seen is not None or bool((problem.unseen.label >= 0).any()):
        label = LabelModel(problem.train, problem.labels, settings.latent, trial.training)
    gde = models["gde"]
    yield from trial.report("samples", _samples(gde, problem.unseen, trial.seed))
    yield from trial.report(
        "geometry", _geometry(gde, problem, gde.embed(problem.unseen.context, covariance=False))
    )
    vocab = int(problem.train.atoms.facts["vocab"])
    for part, suffix in ((problem.unseen, ""), (problem.seen, "_seen")):
        if part is None:
            continue
        values = {name: _bits_of(model, part) for name, model in models.items()}
        if label is not None and bool((part.label >= 0).all()):
            values["label"] = bits_a_residue(part.target, label.log_prob(part.target, part.label))
        for name, fitted in (("markov", fit_markov), ("positions", fit_positions)):
            laws = fitted(part.context, vocab)
            values[name] = bits_a_residue(part.target, log_prob(laws, part.target))
        if part.truth is not None:
            values["truth"] = bits_a_residue(part.target, part.truth)
        scores = [
            Score(s.metric, s.method, s.value, task=f"{trial.name}{suffix}" if suffix else "")
            for s in _compared(values)
        ]
        yield from trial.report(f"bits{suffix}", scores, seconds["gde"])
    if settings.masked:
        yield from trial.report("masked", _masked(trial, problem))


def _compared(values: Bits) -> Iterator[Score]:
    """Yield bits of all methods, and what gde saves, with the end of its interval over sets."""
    from scipy.stats import t

    for name, each in values.items():
        yield Score("bits", name, float(each.mean()))
        if name == "gde":
            continue
        if name == "truth":
            yield Score("bits_above_truth", "gde", float((values["gde"] - each).mean()))
            continue
        saved = each - values["gde"]
        half = t.ppf(0.975, len(saved) - 1) * saved.std(ddof=1) / len(saved) ** 0.5
        yield Score("bits_saved", name, float(saved.mean()))
        yield Score("bits_saved_low", name, float(saved.mean() - half))
        if "truth" in values:
            yield Score("bits_above_truth", name, float((each - values["truth"]).mean()))


def _bits_of(model: GDE, part: Part) -> NDArray[np.float64]:
    """Return bits of the targets under the embeddings of the contexts, `(S,)`."""
    table = model.embed(part.context, covariance=False)
    nats = np.concatenate(model.log_prob(part.target, table))
    return bits_a_residue(part.target, torch.from_numpy(nats))


def _samples(gde: GDE, part: Part, seed: int) -> Iterator[Score]:
    """Compare the k-mers of drawn sequences with those of the targets, and of the contexts."""
    judge = HeldOut(part.context, part.target, ("spectrum",), seed)
    yield from judge.scores("gde", judge.draw(gde, 200))
    yield from judge.scores("floor", part.context)


def _masked(trial: Trial[Settings], problem: SequenceProblem) -> Iterator[Score]:
    """Train masked diffusion, and average its bound over noise."""
    settings, part = trial.settings, problem.unseen
    model = GDE(generator="masked", latent=settings.latent)
    trial.fit(model, problem.train)
    network = model.network
    table = model.embed(part.context, covariance=False)
    z, sizes = (torch.from_numpy(v) for v in (table.z, table.effective_sizes))
    target = network.to_ground(part.target)
    with torch.no_grad():
        condition = network.condition(z, sizes)
        losses = [
            network.generator.loss(target, condition, stream(trial.seed, "bound", k))  # type: ignore[operator]
            for k in range(settings.bound_draws)
        ]
    nats = target.expand(-torch.stack(losses).double().mean(0))
    yield Score("bits_bound", "masked", float(bits_a_residue(target, nats).mean()))


def _geometry(gde: GDE, problem: SequenceProblem, table: Embeddings) -> Iterator[Score]:
    """Compare latent distances with W2 of the targets, and z with known parameters."""
    from scipy.stats import pearsonr, spearmanr

    part, upper = problem.unseen, np.triu_indices(len(table.z), 1)
    pairs = torch.from_numpy(every_pair(len(table.z)))
    w2 = pairwise_w2(part.target, pairs, distance=ground_distance(problem.train.atoms)).numpy()
    truth = np.zeros((len(table.z),) * 2)
    truth[pairs[:, 0], pairs[:, 1]] = truth[pairs[:, 1], pairs[:, 0]] = w2
    for name, model in (("gde", gde), ("untrained", gde.untrained())):
        z = table if model is gde else model.embed(part.context, covariance=False)
        distances = model.distances(z, calibrated=False)[upper]
        yield Score("spearman_w2", name, float(spearmanr(distances, truth[upper])[0]))
        yield Score("pearson_w2", name, float(pearsonr(distances, truth[upper])[0]))
    if part.parameters is not None and problem.parameters is not None:
        train = gde.embed(problem.train, covariance=False).z
        yield Score("r2_weights", "gde", _r2(train, problem.parameters, table.z, part.parameters))


def _r2(
    z: NDArray[np.float32], y: torch.Tensor, other_z: NDArray[np.float32], other_y: torch.Tensor
) -> float:
    """Return the share of the variance of parameters that is linear in z, on held-out sets."""
    design, unseen = (np.column_stack([v, np.ones(len(v))]) for v in (z, other_z))
    weight = np.linalg.lstsq(design, y.numpy(), rcond=None)[0]
    truth = other_y.numpy()
    error = ((unseen @ weight - truth) ** 2).sum()
    return float(1 - error / ((truth - truth.mean(0)) ** 2).sum())


def _known(name: str, settings: Settings, seed: int) -> SequenceProblem:
    return known(name, settings.train_sets, settings.test_sets, settings.atoms, seed)


def _real(name: str, settings: Settings, seed: int) -> SequenceProblem:
    return real(name, settings.test_sets, settings.atoms, seed)


TASKS = {name: Task(_measure, partial(_known, name)) for name in FAMILIES} | {
    name: Task(_measure, partial(_real, name), partial(missing_data, folder))
    for name, folder in FOLDERS.items()
}
BENCH = Bench(
    "sequences",
    TASKS,
    {
        "tiny": Settings(
            TrainConfig(steps=2, every=2, warmup=0, batch=4, target=2, context=(2, 6), patience=0),
            latent=4,
            train_sets=24,
            test_sets=6,
            atoms=12,
            bound_draws=2,
        ),
        "quick": Settings(
            TrainConfig(steps=30, warmup=6, every=30, patience=0, target=2, context=(8, 32)),
            train_sets=60,
            test_sets=12,
            atoms=60,
            masked=False,
        ),
        "full": Settings(),
    },
)
