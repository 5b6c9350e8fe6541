r"""Every encoder on distributions that differ in ever finer ways, with few points a set.

Tasks: the ladder of `distembed.data.synthetic.ladder` in 5-D with 64 points, and the 2-D Gaussians
of the bench `gaussian` with 500. A training set keeps its points for ever, as real data do.

- `spearman_w2`: rank correlation of the raw latent distance, plain Euclidean and not calibrated,
  with the W2 of the true distributions, over pairs of held-out sets; `spearman_w2_minus_bures` is
  what it is above the plug-in Bures distance of the same points, where these are Gaussian.
- `spearman_w2_equal_seconds`: the same when training may take as long as that of `gde` did.
  Schedules count steps, so the run of equal steps is timed, and the second one takes

      steps' = steps * seconds of gde / seconds of this one.

The method `gde` is the default encoder with the default generator; others are named
`encoder+generator`, or `encoder` where it has nothing to train. On every task each encoder runs
with a flow; with diffusion, and at equal seconds, on `ladder_c` alone, where only shape tells sets
apart. That keeps three seeds below an hour on two cores. W2 has no formula there and is measured
twice: `floor` is the agreement of the two, what a fresh sample of 800 points instead of 64 scores.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from distembed.benchmarks.exam import COSTLY, FEW_PAIRS, Exam
from distembed.benchmarks.seeds import SECONDS, Score, chosen_from, environment, measured_rows
from distembed.benchmarks.timed import Timed, fit_timed
from distembed.data.synthetic.gaussians import Gaussians, Mixtures
from distembed.data.synthetic.ladder import ladder_a, ladder_b, ladder_c
from distembed.evaluation import BASELINES
from distembed.model.gde import GDE
from distembed.sets.collection import Sets
from distembed.training.config import TrainConfig

__all__ = ["GRID", "TASKS", "Arm", "Task", "bench", "score", "training_sets"]

CONFIG = TrainConfig(steps=400, every=100, patience=0)
"""The defaults but for a short schedule, a fifth of it warm-up, and contexts up to all points."""
LATENT, TRAIN_SETS = 32, 5_000
GENERATORS = ("flow", "diffusion")
THOROUGH = ("ladder_c",)
"""Tasks with every generator, and with equal seconds."""


@dataclass(frozen=True)
class Arm:
    """An encoder and its options, under a name that stands in tables."""

    label: str
    encoder: str
    options: Mapping[str, Any] = field(default_factory=dict)


GRID = (
    Arm("deepsets", "joined"),
    Arm("resnet_gnn", "resnet_gnn"),
    Arm("gnn", "gnn"),
    Arm("median_gnn", "median_gnn"),
    Arm("attention", "joined", {"parts": ["closed_form", "attention"]}),
    Arm("induced", "joined", {"parts": ["closed_form", "induced"]}),
    Arm("closed_form", "closed_form"),
    Arm("kernel", "kernel"),
    Arm("kernel_learned", "kernel", {"learned": True}),
    Arm("kernel_relative", "kernel", {"relative": True}),
    Arm("moments", "moments"),
)
"""The package's default comes first: its training sets the seconds of the others."""


@dataclass(frozen=True)
class Task:
    """One prior.

    Attributes:
        prior: Draws distributions, from their number, points of each and a seed.
        sets: Held-out sets.
        points: Points of each set, in training too.
        left_out: Baselines that would take too long.
        truth: Points of each set that W2 is measured on where it has no formula.
    """

    prior: Callable[[int, int, int], Gaussians | Mixtures]
    sets: int = 100
    points: int = 64
    left_out: tuple[str, ...] = ()
    truth: int = 800

    def training_sets(self, count: int, seed: int) -> Sets:
        """Draw sets whose points never change."""
        return Sets.from_batch(self.prior(count, self.points, seed).batch(range(count)))

    def exam(self, seed: int) -> Exam:
        """Draw distributions and points that no model was trained on."""
        names = [name for name in BASELINES if name not in self.left_out]
        return Exam.of(self.prior(self.sets, self.points, 1_000_000 + seed), names, self.truth)


def _gaussian_2d(sets: int, points: int, seed: int) -> Gaussians:
    return Gaussians.prior(sets, 2, 10, size=points, seed=seed)


TASKS = {
    "ladder_a": Task(ladder_a),
    "ladder_b": Task(ladder_b),
    "ladder_c": Task(ladder_c),
    "gaussian_2d": Task(_gaussian_2d, 400, 500, COSTLY),
}


def training_sets(task: str, seed: int, count: int = TRAIN_SETS) -> Sets:
    """Draw the sets that a model of this seed is trained on."""
    return TASKS[task].training_sets(count, seed)


def score(model: GDE, task: str, seed: int) -> dict[tuple[str, str], float]:
    """Examine a model that was fitted to `training_sets(task, seed)`.

    Args:
        model: The model.
        task: One of `TASKS`.
        seed: Of the distributions and points.

    Returns:
        Values by method and metric: of the model, its untrained self and the baselines.
    """
    exam = _exam(TASKS[task], seed)
    scores = [*_grades("gde", model, exam), *_beside(model, exam)]
    return {(method, metric): value for method, metric, value in scores}


_exam = lru_cache(maxsize=16)(Task.exam)


def _grades(method: str, model: GDE, exam: Exam) -> Iterator[Score]:
    value = exam.grade(model.embed(exam.batch, covariance=False).z)
    yield method, "spearman_w2", value
    if exam.agreement is None:
        yield method, "spearman_w2_minus_bures", value - exam.baselines["bures"]


def _beside(model: GDE, exam: Exam) -> Iterator[Score]:
    """Yield what the model is to be compared with."""
    yield (
        "untrained",
        "spearman_w2",
        exam.grade(model.untrained().embed(exam.batch, covariance=False).z),
    )
    for name, value in exam.baselines.items():
        yield name, "spearman_w2", value
    if exam.agreement is not None:
        yield "floor", "spearman_w2", exam.agreement


def _fit(arm: Arm, generator: str, train: Sets, config: TrainConfig, steps: int) -> Timed:
    model = GDE({"name": arm.encoder, **arm.options}, generator, LATENT)
    return fit_timed(model, train, config, steps)


def _learns(arm: Arm, train: Sets) -> bool:
    """Whether there is anything in an encoder that training changes."""
    spec = GDE({"name": arm.encoder, **arm.options}, latent=LATENT).spec.resolved(train)
    return any(p.requires_grad for p in spec.build(train.event_shape, 0).encoder.parameters())


def _compete(
    exam: Exam, train: Sets, config: TrainConfig, thorough: bool, log: Callable[[str], None]
) -> Iterator[Score]:
    """Fit every encoder, and yield what it scores; then what stands beside `gde`."""
    gde = _fit(GRID[0], GENERATORS[0], train, config, config.steps)
    for arm in GRID:
        learns = _learns(arm, train)
        for generator in GENERATORS if thorough and learns else GENERATORS[:1]:
            first = arm is GRID[0] and generator == GENERATORS[0]
            method = "gde" if first else f"{arm.label}+{generator}" if learns else arm.label
            steps = config.steps if learns else 1
            run = gde if first else _fit(arm, generator, train, config, steps)
            grades = list(_grades(method, run.model, exam))
            if learns:
                grades.append((method, "ms_per_step", 1000 * run.seconds / steps))
            if first:
                grades.append((*SECONDS, run.seconds))
            if thorough:
                if learns and not first:
                    run = _fit(arm, generator, train, config, run.steps_in(gde.seconds))
                value = exam.grade(run.model.embed(exam.batch, covariance=False).z)
                grades.append((method, "spearman_w2_equal_seconds", value))
            log(f"{method}: " + ", ".join(f"{k} {v:.4f}" for _, k, v in grades))
            yield from grades
    yield from _beside(gde.model, exam)


def bench(
    *,
    quick: bool = False,
    seeds: int = 3,
    jobs: int = 1,
    tasks: Sequence[str] | None = None,
    log: Callable[[str], None],
) -> dict[str, Any]:
    """Run the tasks; each seed changes distributions, points and weights.

    Args:
        quick: Few steps, few sets: a look, not a result.
        seeds: Number of seeds.
        jobs: Processes.
        tasks: Names of tasks; all where left out.
        log: Called with lines of progress.

    Returns:
        The record of design: bench, environment, config, rows.

    Raises:
        ValueError: If a task is unknown.
    """
    config = CONFIG.model_copy(update={"steps": 30, "every": 30}) if quick else CONFIG
    train_sets = 500 if quick else TRAIN_SETS
    judged = chosen_from(TASKS, tasks)
    if quick:
        judged = {name: replace(task, sets=40, truth=200) for name, task in judged.items()}

    def measure(name: str, task: Task, seed: int) -> Iterator[Score]:
        exam, train = task.exam(seed), task.training_sets(train_sets, seed)
        if exam.agreement is not None:
            log(f"{name}, seed {seed}: two measurements of W2 agree to {exam.agreement:.3f}")
        own = {"seed": seed, "context": (config.context[0], task.points)}
        yield from _compete(exam, train, config.model_copy(update=own), name in THOROUGH, log)

    rows = measured_rows(judged, seeds, measure, log, jobs)
    return {
        "bench": "encoders",
        "environment": environment(jobs),
        "config": {
            "latent": LATENT,
            "gde": f"{GRID[0].label}+{GENERATORS[0]}",
            "encoders": {arm.label: {"name": arm.encoder, **arm.options} for arm in GRID},
            "generators": {n: GENERATORS[: None if n in THOROUGH else 1] for n in judged},
            "train_sets": train_sets,
            "held_out_sets": {name: task.sets for name, task in judged.items()},
            "points": {name: task.points for name, task in judged.items()},
            "left_out": {name: task.left_out for name, task in judged.items() if task.left_out},
            "pairs": f"all; exact OT, as truth and as baseline, on {FEW_PAIRS}",
            **config.model_dump(mode="json", exclude={"seed", "context"}),
            "warmup": "a fifth of the steps",
            "context": f"{config.context[0]} to the points of a set",
        },
        "rows": rows,
    }
