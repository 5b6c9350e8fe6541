"""Parts of an application: data, model, judge and figures, and settings at three scales.

An application is a package that ends in an `Application`. Everything that all of them share (the
folder, the training, the written numbers, the page) is in `distembed.apps.run`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from distembed.evaluation.cohort import Cohort
from distembed.evaluation.result import Score
from distembed.model.gde import GDE
from distembed.sets.collection import Sets
from distembed.training.config import TrainConfig

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

__all__ = [
    "AppScale",
    "Application",
    "Case",
    "Drawing",
    "Findings",
    "Published",
    "Settings",
    "tiny_training",
]

AppScale = Literal["tiny", "quick", "full"]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Sizes and schedule of an application; its own ones are fields of a subclass.

    Attributes:
        training: How the model is trained.
        latent: Dimension of the embedding.
        atoms: Most atoms of a set.
        sets: Most sets.
        test: Share of the units that is held out.
        seed: Seed of the division and of what the judge draws.

    Raises:
        ValueError: If the share is not between 0 and 1.
    """

    training: TrainConfig
    latent: int = 32
    atoms: int = 300
    sets: int = 2000
    test: float = 0.25
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.test < 1:
            raise ValueError(
                f"test = {self.test}; give a share between 0 and 1 of the units that is held out."
            )


def tiny_training(**changes: Any) -> TrainConfig:
    """Return the training of applications at the scale of tests.

    Args:
        changes: Single settings.

    Example:
        >>> tiny_training(context=(1, 8)).context
        (1, 8)
    """
    tiny = TrainConfig(
        steps=2, every=2, warmup=1, batch=4, target=2, context=(4, 8), patience=0, metric_steps=2
    )
    return tiny.changed(changes)


S = TypeVar("S", bound=Settings)


@dataclass(frozen=True)
class Published:
    """The size of the published application, for which time and memory are estimated.

    Attributes:
        sets: Number of sets.
        atoms: Number of atoms in all.
        values: Numbers, pixels or symbols of an atom.
        value_bytes: Bytes of one of them as it is stored.
        set_size: Atoms of a set in a step.
        batch: Sets of a step.
        steps: Number of steps.
        source: Where the data are deposited, and the files that are read.
    """

    sets: int
    atoms: int
    values: int
    value_bytes: int
    set_size: int
    batch: int
    steps: int
    source: str


@dataclass(frozen=True)
class Case(Generic[S]):
    """A trained application, which is judged.

    Attributes:
        source: The folder of the data.
        settings: Sizes and schedule.
        train: Training sets.
        test: Held-out sets.
        model: The model, trained on those training sets that have two atoms or more.
        log: Takes lines of progress.
    """

    source: Path
    settings: S
    train: Sets
    test: Sets
    model: GDE
    log: Callable[[str], None]


@dataclass(frozen=True)
class Findings:
    """What a judge measures.

    Attributes:
        scores: One number each, beside those of baselines; `task` names the outcome.
        values: What the figures show, by name.
        remarks: Sentences for the reader of the page.
    """

    scores: Sequence[Score]
    values: Mapping[str, Any] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Drawing:
    """One figure of an application.

    Attributes:
        name: Name of the file, and of the place on the page.
        title: Its heading.
        caption: How to read it.
        size: Width and height in CSS pixels.
        paint: Draws into an empty figure.
    """

    name: str
    title: str
    caption: str
    size: tuple[float, float]
    paint: Callable[[Canvas], None]


@dataclass(frozen=True)
class Application(Generic[S]):
    """An application.

    Attributes:
        name: Its name in `APPS`.
        title: Heading of the page.
        question: What it answers, for a reader of the field.
        units: What is held out, as a sentence.
        folder: Folder of `$DISTEMBED_DATA` that is read if no other is named.
        data: Reads training and held-out sets from a folder in either layout.
        model: Makes the untrained model.
        judge: Scores the trained model on the held-out sets, beside baselines.
        figure: Draws what the judge measured.
        scales: Settings by scale: `tiny` for tests, `quick` for a look, `full` for results.
        published: The size of the published application.
        color: Column of metadata that colours the map of the page; chosen by the page if None, or
            if the layout has none of that name.
        outcomes: Labels of sets that `distembed bench applications` predicts, by name, each read
            from the folder.
        simulate: Writes data of a known law into a folder, in the published layout.
    """

    name: str
    title: str
    question: str
    units: str
    folder: str
    data: Callable[[Path, S], tuple[Sets, Sets]]
    model: Callable[[S], GDE]
    judge: Callable[[Case[S]], Findings]
    figure: Callable[[Case[S], Findings], Sequence[Drawing]]
    scales: Mapping[AppScale, S]
    published: Published
    color: str | None = None
    outcomes: Mapping[str, Callable[[Path, S], Cohort]] = field(default_factory=dict)
    simulate: Callable[[Path], Path] | None = None
