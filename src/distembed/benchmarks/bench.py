"""Parts of a benchmark: tasks, arms, settings at three scales, and the scores of one trial.

A benchmark is one file that ends in a `Bench`. Everything that all of them share (choice of tasks,
seeds, processes, intervals, the written result) is in `distembed.benchmarks.runner`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, Literal, Protocol, TypeVar

from distembed.benchmarks.curves import Draw, panels
from distembed.benchmarks.fitting import FittedModel, fit_model
from distembed.evaluation.result import Score
from distembed.model.gde import GDE
from distembed.protocols import Collection, Objective
from distembed.registry import NamedMember, split_member
from distembed.training.config import TrainConfig

__all__ = [
    "Arm",
    "Bench",
    "Scale",
    "Settings",
    "Task",
    "Trial",
    "data_folder",
    "held_out_seed",
    "missing_data",
]

Scale = Literal["tiny", "quick", "full"]


class Settings(Protocol):
    """Sizes and schedules of a benchmark: a frozen dataclass, whose other fields are its own."""

    @property
    def training(self) -> TrainConfig:
        """How models are trained."""


S = TypeVar("S", bound=Settings)


@dataclass(frozen=True)
class Arm:
    """A method under comparison: a model, under the name that stands in tables.

    Attributes:
        label: The name.
        encoder: A member of `ENCODERS`; `auto` is the package's default.
        generator: A member of `GENERATORS`; `auto` is the package's default.
        options: Further arguments of `GDE`.
        tasks: Names of the tasks that it takes part in; all of them if there are none.
        objectives: Further losses of its training.
        training: Single settings of its training, over those of the benchmark.
        equal_seconds: Whether it trains for as long as the first arm did, where a benchmark
            compares seconds; else for as many steps.
    """

    label: str
    encoder: NamedMember = "auto"
    generator: NamedMember = "auto"
    options: Mapping[str, Any] = field(default_factory=dict)
    tasks: tuple[str, ...] = ()
    objectives: tuple[Objective, ...] = ()
    training: Mapping[str, Any] = field(default_factory=dict)
    equal_seconds: bool = False

    def model(self, latent: int | None) -> GDE:
        """Return an untrained model; None is the default dimension of the embedding."""
        return GDE(self.encoder, self.generator, latent, **self.options)

    def enters(self, task: str) -> bool:
        """Whether the arm takes part in a task."""
        return not self.tasks or task in self.tasks

    def to_json(self) -> dict[str, Any]:
        """Return the members as plain values, each as a mapping with a name."""
        members = {"encoder": self.encoder, "generator": self.generator}
        named = {kind: split_member(member, kind) for kind, member in members.items()}
        return {
            **{kind: {"name": name, **more} for kind, (name, more) in named.items()},
            **self.options,
            **({"objectives": self.objectives} if self.objectives else {}),
            **({"training": self.training} if self.training else {}),
            **({"equal_seconds": True} if self.equal_seconds else {}),
        }


@dataclass(frozen=True)
class Task(Generic[S]):
    """One problem of a benchmark.

    Attributes:
        measure: Yields the scores of one trial.
        data: Draws training and held-out sets from the settings and the seed of a trial.
        missing: Returns the reason why the task cannot run on this machine, or None.
    """

    measure: Callable[[Trial[S]], Iterator[Score]]
    data: Callable[[S, int], Any] = lambda settings, seed: None
    missing: Callable[[], str | None] = lambda: None


@dataclass(frozen=True)
class Trial(Generic[S]):
    """One task with one seed.

    Attributes:
        name: Name of the task.
        task: The task.
        settings: Sizes and schedules.
        seed: Changes training sets, weights and held-out sets.
        plots: Folder of figures, or None.
        log: Takes lines of progress.
    """

    name: str
    task: Task[S]
    settings: S
    seed: int
    plots: Path | None
    log: Callable[[str], None]

    def data(self) -> Any:
        """Draw training and held-out sets."""
        return self.task.data(self.settings, self.seed)

    @property
    def training(self) -> TrainConfig:
        """The training settings, with the seed of this trial."""
        return self.settings.training.model_copy(update={"seed": self.seed})

    def fit(
        self,
        model: GDE,
        train: Collection,
        *,
        steps: int | None = None,
        objectives: Sequence[Objective] = (),
        **settings: Any,
    ) -> FittedModel:
        """Train a model and measure the time.

        Args:
            model: The model, which is trained in place.
            train: Training sets.
            steps: Number of steps, a fifth of them warm-up, in place of those of the settings.
            objectives: Further losses.
            settings: Single settings of `TrainConfig`, over those of this trial.
        """
        if steps is not None:
            settings |= {"steps": steps, "warmup": steps // 5}
        return fit_model(model, train, self.training.changed(settings), objectives)

    def fit_arm(
        self, arm: Arm, train: Collection, latent: int | None, steps: int | None = None
    ) -> FittedModel:
        """Train the model of an arm, with its objectives and settings.

        Args:
            arm: The arm.
            train: Training sets.
            latent: Dimension of the embedding; the default one if None.
            steps: Number of steps, in place of those of the settings.
        """
        model = arm.model(latent)
        return self.fit(model, train, steps=steps, objectives=arm.objectives, **dict(arm.training))

    def fit_arms(
        self,
        arms: Iterable[Arm],
        train: Collection,
        latent: int,
        steps: int | None = None,
        pilot: int = 5,
    ) -> dict[str, FittedModel]:
        """Train every arm that takes part in the task, by its label.

        Args:
            arms: The arms. The training of the first sets the seconds of arms of equal seconds.
            train: Training sets.
            latent: Dimension of the embedding.
            steps: Number of steps, in place of those of the settings.
            pilot: Steps from which the speed of an arm of equal seconds is measured.
        """
        fits: dict[str, FittedModel] = {}
        for arm in arms:
            if not arm.enters(self.name):
                continue
            count = steps
            if arm.equal_seconds and fits:
                seconds = next(iter(fits.values())).step_seconds
                count = self.fit_arm(arm, train, latent, pilot).steps_in(seconds)
            fits[arm.label] = self.fit_arm(arm, train, latent, count)
        return fits

    def at(self, m: int) -> str:
        """Return the name of the task at sets of m atoms, for tasks with several sizes."""
        return f"{self.name}_m{m}"

    def report(
        self, label: str, scores: Iterable[Score], seconds: float | None = None
    ) -> list[Score]:
        """Log scores as one line and return them.

        Args:
            label: What they are about.
            scores: Metric, method and value of each; the task only if it is not that of the trial.
            seconds: Seconds of the training of `gde`, which its scores record.
        """
        complete = [replace(s, seconds=seconds if s.method == "gde" else None) for s in scores]
        numbers = ", ".join(f"{_place(s, self.name)} {s.value:.4g}" for s in complete)
        self.log(f"{self.name}, seed {self.seed}, {label}: {numbers}")
        return complete

    def draw(self, file: str, draws: Sequence[Draw]) -> None:
        """Write a figure of the first seed, where figures are requested."""
        if self.plots is not None and self.seed == 0:
            self.log(f"wrote {panels(self.plots / file, draws)}")


@dataclass(frozen=True)
class Bench(Generic[S]):
    """A benchmark.

    Attributes:
        name: Its name in `BENCHES` and in results.
        tasks: The tasks by name.
        scales: Settings by scale: `tiny` for tests, `quick` for a look, `full` for results.
        figures: Returns figures of the scores over all seeds, panels by file name.
        serial: Whether it measures time, so that trials must not run beside each other.
        combine: Makes the rows of a result from the scores of all trials, in place of means over
            seeds.
        shortened: Tasks that a scale runs where none are named; all if it is not here.
    """

    name: str
    tasks: Mapping[str, Task[S]]
    scales: Mapping[Scale, S]
    figures: Callable[[Sequence[Score], S], Mapping[str, Sequence[Draw]]] | None = None
    serial: bool = False
    combine: Callable[[Iterable[Iterable[Score]]], list[Score]] | None = None
    shortened: Mapping[Scale, tuple[str, ...]] = field(default_factory=dict)


def _place(score: Score, task: str) -> str:
    """Return the metric, the method if it is not `gde`, and the size, for a line of the log."""
    method = "" if score.method == "gde" else f" of {score.method}"
    return f"{score.metric}{score.task.removeprefix(task)}{method}"


def held_out_seed(seed: int) -> int:
    """Return the seed of the held-out distributions that belongs to a seed of the training."""
    return 1_000_000 + seed


def data_folder(name: str) -> Path:
    """Return a folder of `$DISTEMBED_DATA`.

    Raises:
        ValueError: If the variable is unset or the folder does not exist.
    """
    if (reason := missing_data(name)) is not None:
        raise ValueError(reason)
    return Path(os.environ["DISTEMBED_DATA"]) / name


def missing_data(name: str) -> str | None:
    """Return why a folder of `$DISTEMBED_DATA` cannot be read, or None if it can."""
    root = os.environ.get("DISTEMBED_DATA")
    if not root:
        return (
            f"It reads $DISTEMBED_DATA/{name}, and DISTEMBED_DATA is unset. "
            "Set it to the folder of data sets, or choose another task with --task."
        )
    if not (Path(root) / name).is_dir():
        return f"It reads $DISTEMBED_DATA/{name}, and there is no folder {Path(root) / name}."
    return None
