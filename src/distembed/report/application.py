"""The page of an application: its question, figures, and scores beside baselines."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from distembed.evaluation.metrics import metric
from distembed.evaluation.result import Score
from distembed.files import claim, write_atomically
from distembed.registry import need
from distembed.report import figures
from distembed.report.content import read_map
from distembed.report.page import template
from distembed.report.style import SEQUENTIAL, drawing, literal
from distembed.report.text import Fact
from distembed.version import __version__

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

    from distembed.model.card import ModelCard
    from distembed.model.embeddings import Embeddings

__all__ = ["Painted", "png", "write_application"]

_TEXT, _LINE = "#1c2026", "#b8bdc5"


class Painted(Protocol):
    """A figure of the page."""

    @property
    def name(self) -> str:
        """Its place on the page."""

    @property
    def title(self) -> str:
        """Its heading."""

    @property
    def caption(self) -> str:
        """How to read it."""

    @property
    def size(self) -> tuple[float, float]:
        """Width and height in CSS pixels."""

    @property
    def paint(self) -> Callable[[Canvas], None]:
        """Draws into an empty figure."""


@dataclass(frozen=True)
class _Line:
    """A row of a table: a method, and its value and interval by metric."""

    method: str
    cells: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class _Table:
    """The scores of one outcome.

    Attributes:
        title: The outcome.
        heads: Label, meaning and direction of each metric.
        lines: One a method.
    """

    title: str
    heads: tuple[tuple[str, str, str], ...]
    lines: tuple[_Line, ...]


def write_application(
    path: Path,
    title: str,
    facts: Sequence[Fact],
    scores: Sequence[Score],
    drawings: Sequence[Painted],
    *,
    question: str,
    remarks: Sequence[str] = (),
    embeddings: Embeddings,
    color: str | None = None,
    history: Sequence[Mapping[str, Any]] = (),
    card: ModelCard,
) -> Path:
    """Write an HTML page on an application.

    Args:
        path: The HTML file.
        title: Heading of the page.
        facts: Properties of the data and of the run.
        scores: Numbers of the methods, one table an outcome (`task`).
        drawings: Figures.
        question: What the application answers.
        remarks: Sentences below the scores.
        embeddings: Of the held-out sets, for the map.
        color: Metadata column that colours the map.
        history: Records of the training.
        card: Description of the model.

    Returns:
        The path.

    Raises:
        ImportError: If matplotlib or jinja2 is not installed.
    """
    need("matplotlib", "report")
    need("jinja2", "report")
    path = claim(path, force=True, make=True)
    content = read_map(embeddings, color)
    page = template("application.html.j2").render(
        title=title,
        version=__version__,
        question=question,
        facts=facts,
        tables=_tables(scores),
        remarks=remarks,
        drawings=[(d, figures.svg(d.paint, d.size, d.name, d.caption)) for d in drawings],
        map=figures.map_figure(content.plane, content.colours, embeddings),
        column=content.column,
        colours=content.colours,
        gradient=", ".join(SEQUENTIAL),
        training=figures.training_figure(history) if history else None,
        card=card,
    )
    write_atomically(path, page)
    return path


def png(paint: Callable[[Canvas], None], size: tuple[float, float], dpi: float = 144) -> bytes:
    """Draw a figure on white as PNG, for a document or a talk.

    Args:
        paint: Draws into an empty figure.
        size: Width and height in CSS pixels.
        dpi: Resolution; 72 is one pixel for each CSS pixel.
    """
    need("matplotlib", "report")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    colors = dict.fromkeys(
        ("text_color", "axes_labelcolor", "xtick_labelcolor", "ytick_labelcolor"), _TEXT
    )
    lines = dict.fromkeys(("axes_edgecolor", "xtick_color", "ytick_color"), _LINE)
    with drawing(**colors, **lines):
        figure = Figure((size[0] / 72, size[1] / 72), layout="constrained", facecolor="white")
        FigureCanvasAgg(figure)
        paint(figure)
        literal(figure)
        file = io.BytesIO()
        figure.savefig(file, format="png", dpi=dpi, metadata={"Software": None}, facecolor="white")
    return file.getvalue()


def _tables(scores: Sequence[Score]) -> list[_Table]:
    """Arrange scores: one table an outcome, one line a method, one column a metric."""
    outcomes: dict[str, dict[tuple[str, str], Score]] = {}
    for score in scores:
        outcomes.setdefault(score.task, {})[score.method, score.metric] = score
    tables = []
    for task, cells in outcomes.items():
        names = list(dict.fromkeys(name for _, name in cells))
        described = [metric(name) for name in names]
        lines = []
        for method in dict.fromkeys(method for method, _ in cells):
            row = [cells.get((method, name)) for name in names]
            lines.append(_Line(method, tuple(("", "") if s is None else _cell(s) for s in row)))
        heads = tuple((m.label, m.meaning, m.better) for m in described)
        tables.append(_Table(task.replace("_", " "), heads, tuple(lines)))
    return tables


def _cell(score: Score) -> tuple[str, str]:
    """Return the value, and the interval if there is one."""
    value, _, interval = score.text().partition(" [")
    return (score.text(), "") if not score.defined else (value, f"[{interval}" if interval else "")
