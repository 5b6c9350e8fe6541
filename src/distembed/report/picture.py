"""Overview of a model in one wide picture: map, real and generated sets, a path, and distances.

The background is white, so that the picture fits into a README or a talk.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any

from distembed.files import claim, write_atomically
from distembed.registry import need
from distembed.report import plots
from distembed.report.content import Atoms, Map, read_atoms, read_map
from distembed.report.results import w2_title
from distembed.report.samples import Between, Path
from distembed.report.style import ACCENT, drawing, shortened

if TYPE_CHECKING:
    from matplotlib.figure import SubFigure

    from distembed.evaluation.result import Evaluation
    from distembed.geometry.distance import Calibration
    from distembed.model.embeddings import Embeddings
    from distembed.model.gde import GDE
    from distembed.protocols import Collection

__all__ = ["overview"]

_LEFT = 0.06
_TEXT, _SOFT, _LINE = "#1c2026", "#626a75", "#b8bdc5"
_FONTS = ("Inter", "Helvetica Neue", "Helvetica", "Arial", "Noto Sans", "DejaVu Sans")


@dataclass(frozen=True)
class _Panel:
    """A part of the picture.

    Attributes:
        title: Its title.
        notes: A line below the title: texts, where they begin, and their colours.
        paint: Draws it.
    """

    title: str
    notes: tuple[tuple[str, float, str], ...]
    paint: Callable[[SubFigure], None]


def overview(
    path: str | FilePath,
    *,
    model: GDE,
    test: Collection,
    evaluation: Evaluation | None = None,
    embeddings: Embeddings | None = None,
    color: str | None = None,
    between: Between | None = None,
) -> FilePath:
    """Draw a model as one PNG of 520 pixels height and 400 pixels width a panel.

    The panels are the map, real and generated sets, and a path between two sets, these two for
    kinds of atoms with a view, and latent distance against W2 if there is an evaluation.

    Args:
        path: The file. Its folder is made, and an old file is replaced atomically.
        model: A fitted model.
        test: Held-out sets.
        evaluation: Result of `evaluate`.
        embeddings: Embeddings of `test`; computed if left out.
        color: As for `write_report`.
        between: As for `write_report`.

    Returns:
        The path.

    Raises:
        ImportError: If matplotlib is not installed.
        ValueError: If there is no column `color`, or no set of `between`.
        OSError: If the file cannot be written.
    """
    need("matplotlib", "report")
    path = claim(path, force=True, make=True)
    if embeddings is None:
        embeddings = model.embed(test, covariance=False)
    content = read_map(embeddings, color)
    panels = [_map(content)]
    atoms = read_atoms(model, test, embeddings, content.plane, between, "overview")
    if atoms is not None:
        panels.append(_pairs(atoms))
        if atoms.path is not None:
            panels.append(_path(atoms, atoms.path))
    if evaluation is not None and len(evaluation.pairs.w2):
        panels.append(_distances(evaluation, model.calibration))
    write_atomically(path, _png(panels))
    return path


def _png(panels: list[_Panel]) -> bytes:
    from matplotlib import font_manager
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    installed = set(font_manager.get_font_names())
    colors = dict.fromkeys(
        ("text_color", "axes_labelcolor", "xtick_labelcolor", "ytick_labelcolor"), _TEXT
    )
    lines = dict.fromkeys(("axes_edgecolor", "xtick_color", "ytick_color"), _LINE)
    family = next(f for f in _FONTS if f in installed)
    sizes = dict.fromkeys(("font_size", "axes_labelsize", "axes_titlesize"), 14.0)
    ticks = dict.fromkeys(("xtick_labelsize", "ytick_labelsize"), 12.0)
    with drawing(font_family=family, **colors, **lines, **sizes, **ticks):
        figure = Figure((4 * len(panels), 5.2), dpi=100, facecolor="white")
        FigureCanvasAgg(figure)
        parts: Any = figure.subfigures(1, len(panels), squeeze=False)[0]
        for part, panel in zip(parts, panels, strict=True):
            part.set_facecolor("white")
            part.text(_LEFT, 0.955, panel.title, weight="bold", size=17, va="top")
            for note, left, color in panel.notes:
                part.text(left, 0.885, shortened(note, 44), size=13, color=color, va="top")
            panel.paint(part)
        file = io.BytesIO()
        figure.savefig(file, format="png", metadata={"Software": None})
    return file.getvalue()


def _map(content: Map) -> _Panel:
    def paint(part: SubFigure) -> None:
        from matplotlib.patheffects import withStroke

        ax = part.add_axes((_LEFT, 0.08, 0.88, 0.71))
        plots.embedding_map(ax, content.plane, content.colours)
        ax.set(xlabel="", ylabel="")
        for text in ax.texts:
            text.set_path_effects([withStroke(linewidth=3.5, foreground="white")])

    return _Panel("One point a set", ((f"colour: {content.colours.name}", _LEFT, _SOFT),), paint)


def _pairs(atoms: Atoms) -> _Panel:
    notes = (("held-out sets", _LEFT, _SOFT), ("from their vectors", _LEFT + 0.46, ACCENT))
    return _Panel(
        "Real and generated", notes, lambda part: atoms.view.paint_pairs(part, atoms.pairs)
    )


def _path(atoms: Atoms, path: Path) -> _Panel:
    notes = ((" → ".join(path.names), _LEFT, _SOFT),)
    return _Panel(
        "A path between two vectors", notes, lambda part: atoms.view.paint_path(part, path)
    )


def _distances(evaluation: Evaluation, calibration: Calibration) -> _Panel:
    def paint(part: SubFigure) -> None:
        ax = part.add_axes((0.15, 0.13, 0.8, 0.66))
        pairs, title = evaluation.pairs, w2_title(evaluation.settings)
        plots.distance_scatter(ax, pairs.latent, pairs.w2, line=calibration, title=title)

    return _Panel("Latent distance and W2", (("one point a pair of sets", _LEFT, _SOFT),), paint)
