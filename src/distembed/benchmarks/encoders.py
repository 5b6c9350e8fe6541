r"""Every encoder on distributions that differ in ever finer ways, with few atoms a set.

Tasks: the ladder of `distembed.data.synthetic.ladder` in 5-D with 64 atoms, and the 2-D Gaussians
of the bench `gaussian` with 500. A training set keeps its atoms for ever, as real data do.

- `spearman_w2`: rank correlation of the raw latent distance, plain Euclidean and not calibrated,
  with the W2 of the true distributions, over pairs of held-out sets; `spearman_w2_minus_bures` is
  its excess over the plug-in Bures distance of the same atoms, where these are Gaussian.
- `spearman_w2_equal_seconds`: the same when training may take as long as that of `gde` did.
  Schedules count steps, so the run of equal steps is timed, and the second one takes

      steps' = steps * seconds of gde / seconds of this one.

The method `gde` is the default encoder with the default generator; others are named
`encoder+generator`, or `encoder` where it has nothing to train. On every task each encoder runs
with a flow; with diffusion, and at equal seconds, on `ladder_c` alone, where only shape tells sets
apart. That keeps three seeds below an hour on two cores. W2 has no formula there and is measured
twice: `floor` is the agreement of the two, the score of a fresh sample of 800 atoms instead of 64.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial

from distembed.benchmarks.bench import Arm, Bench, Task, Trial, held_out_seed
from distembed.benchmarks.fitting import FittedModel
from distembed.benchmarks.pair_distances import COSTLY
from distembed.benchmarks.truth import PairSettings, PairTruth
from distembed.data.synthetic.gaussians import Gaussians, Mixtures
from distembed.data.synthetic.ladder import ladder_a, ladder_b, ladder_c
from distembed.encoders import DEFAULT_ENCODERS, ENCODERS
from distembed.evaluation import BASELINES
from distembed.evaluation.result import Score
from distembed.model.gde import GDE
from distembed.registry import applicable, build
from distembed.sets.collection import Sets
from distembed.training.config import TrainConfig

__all__ = ["BENCH", "TASKS", "Settings"]


@dataclass(frozen=True)
class Settings:
    """Sizes, schedule and arms.

    Attributes:
        training: The defaults but for a short schedule; contexts go up to all atoms of a set.
        arms: Encoders. The package's default comes first: its training sets the seconds of the
            others.
        generators: The first one is the default; the others run on thorough tasks only.
        thorough: Tasks with every generator, and with equal seconds.
        latent: Dimension of the embedding.
        train_sets: Training sets.
        ladder: Held-out sets of the ladder, and atoms of each set, in training too.
        gaussian: The same of `gaussian_2d`.
        pairs: Pairs that are compared; on `gaussian_2d` without exact OT, which takes too long.
    """

    training: TrainConfig = field(
        default_factory=lambda: TrainConfig(steps=400, warmup=80, every=100, patience=0)
    )
    arms: tuple[Arm, ...] = (
        Arm("residual", DEFAULT_ENCODERS["vectors"]),
        Arm("joined", "joined"),
        Arm("deepsets", "deepsets"),
        Arm("resnet_gnn", "resnet_gnn"),
        Arm("gnn", "gnn"),
        Arm("median_gnn", "median_gnn"),
        Arm("attention", {"name": "joined", "parts": ["closed_form", "attention"]}),
        Arm("induced", {"name": "joined", "parts": ["closed_form", "induced"]}),
        Arm("closed_form", "closed_form"),
        Arm("kernel", "kernel"),
        Arm("kernel_learned", {"name": "kernel", "learned": True}),
        Arm("kernel_relative", {"name": "kernel", "relative": True}),
        Arm("moments", "moments"),
    )
    generators: tuple[str, ...] = ("flow", "diffusion")
    thorough: tuple[str, ...] = ("ladder_c",)
    latent: int = 32
    train_sets: int = 5_000
    ladder: tuple[int, int] = (100, 64)
    gaussian: tuple[int, int] = (400, 500)
    pairs: PairSettings = PairSettings()


Known = Gaussians | Mixtures
Data = tuple[Sets, PairTruth]
"""Training sets, and held-out sets with their W2."""


def _draw(
    prior: Callable[[int, int, int], Known],
    sizes: tuple[int, int],
    pairs: PairSettings,
    settings: Settings,
    seed: int,
) -> Data:
    sets, atoms = sizes
    train = prior(settings.train_sets, atoms, seed).batch(range(settings.train_sets))
    return Sets.from_batch(train), PairTruth.of(prior(sets, atoms, held_out_seed(seed)), pairs)


def _ladder(prior: Callable[[int, int, int], Known], settings: Settings, seed: int) -> Data:
    return _draw(prior, settings.ladder, settings.pairs, settings, seed)


def _gaussian_2d(settings: Settings, seed: int) -> Data:
    def prior(sets: int, atoms: int, seed: int) -> Gaussians:
        return Gaussians.prior(sets, 2, 10, size=atoms, seed=seed)

    pairs = replace(
        settings.pairs,
        baselines=tuple(n for n in applicable(BASELINES, "vectors") if n not in COSTLY),
    )
    return _draw(prior, settings.gaussian, pairs, settings, seed)


def _spearman(model: GDE, truth: PairTruth) -> float:
    return truth.correlation(model.embed(truth.batch, covariance=False).z)


def _scores(method: str, model: GDE, truth: PairTruth) -> Iterator[Score]:
    value = _spearman(model, truth)
    yield Score("spearman_w2", method, value)
    if truth.agreement is None:
        yield Score("spearman_w2_minus_bures", method, value - truth.baselines()["bures"])


def _references(model: GDE, truth: PairTruth) -> Iterator[Score]:
    """Yield the scores of the untrained model, of the baselines, and the floor."""
    yield Score("spearman_w2", "untrained", _spearman(model.untrained(), truth))
    for name, value in truth.baselines().items():
        yield Score("spearman_w2", name, value)
    if truth.agreement is not None:
        yield Score("spearman_w2", "floor", truth.agreement)


def _trainable(arm: Arm, train: Sets, latent: int) -> bool:
    """Whether an encoder has a parameter that training changes."""
    encoder = build(ENCODERS, arm.encoder, "encoder", train.event_shape, latent)
    return any(p.requires_grad for p in encoder.parameters())


def _runs(trial: Trial[Settings], train: Sets) -> Iterator[tuple[str, Arm, bool]]:
    """Yield method, arm and whether it trains, of every model; `gde` comes first."""
    settings = trial.settings
    for arm in settings.arms:
        trainable = _trainable(arm, train, settings.latent)
        every = trainable and trial.name in settings.thorough
        for generator in settings.generators if every else settings.generators[:1]:
            default = arm == settings.arms[0] and generator == settings.generators[0]
            label = f"{arm.label}+{generator}" if trainable else arm.label
            yield "gde" if default else label, replace(arm, generator=generator), trainable


def _measure(trial: Trial[Settings]) -> Iterator[Score]:
    """Fit every encoder and yield its scores, then those of the references."""
    settings = trial.settings
    train, truth = trial.data()
    if truth.agreement is not None:
        trial.log(f"{trial.name}: two measurements of W2 agree to {truth.agreement:.3f}")
    context = (settings.training.context[0], int(train.sizes.max()))

    def fit(arm: Arm, steps: int) -> FittedModel:
        return trial.fit(arm.model(settings.latent), train, steps=steps, context=context)

    default: FittedModel | None = None
    for method, arm, trainable in _runs(trial, train):
        fitted = fit(arm, settings.training.steps if trainable else 1)
        first = default is None
        default = default or fitted
        scores = list(_scores(method, fitted.model, truth))
        if trainable:
            scores.append(Score("ms_per_step", method, fitted.ms_per_step))
        if trial.name in settings.thorough:
            if trainable and not first:
                fitted = fit(arm, fitted.steps_in(default.step_seconds))
            value = _spearman(fitted.model, truth)
            scores.append(Score("spearman_w2_equal_seconds", method, value))
        yield from trial.report(method, scores, default.step_seconds)
    if default is not None:
        yield from _references(default.model, truth)


TASKS = {
    "ladder_a": Task(_measure, partial(_ladder, ladder_a)),
    "ladder_b": Task(_measure, partial(_ladder, ladder_b)),
    "ladder_c": Task(_measure, partial(_ladder, ladder_c)),
    "gaussian_2d": Task(_measure, _gaussian_2d),
}
BENCH = Bench(
    "encoders",
    TASKS,
    {
        "tiny": Settings(
            TrainConfig(steps=3, every=3, warmup=0, batch=4, target=4, patience=0),
            arms=(
                Arm("residual", DEFAULT_ENCODERS["vectors"]),
                Arm("gnn", "gnn"),
                Arm("kernel", "kernel"),
            ),
            latent=8,
            train_sets=30,
            ladder=(8, 20),
            gaussian=(8, 20),
            pairs=PairSettings(measured_atoms=30),
        ),
        "quick": Settings(
            TrainConfig(steps=30, warmup=6, every=30, patience=0),
            train_sets=500,
            ladder=(40, 64),
            gaussian=(40, 500),
            pairs=PairSettings(measured_atoms=200),
        ),
        "full": Settings(),
    },
)
