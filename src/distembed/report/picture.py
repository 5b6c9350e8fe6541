"""One wide picture of a model: the map, real and generated sets, a path, and distances.

It has a white background, so that it can stand in a README or a talk.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any

import numpy as np

from distembed.files import claim, write_atomically
from distembed.registry import need
from distembed.report import plots
from distembed.report.colour import choose_column, colouring
from distembed.report.images import are_images, as_images, tone_of
from distembed.report.plane import pca_plane, spread_along
from distembed.report.results import w2_title
from distembed.report.samples import Between, interpolate, project, read_pairs, view_of
from distembed.report.style import ACCENT, drawing

if TYPE_CHECKING:
    from matplotlib.figure import SubFigure

    from distembed.evaluation.result import Evaluation
    from distembed.geometry.distance import Calibration
    from distembed.model.embeddings import Embeddings
    from distembed.model.gde import GDE
    from distembed.protocols import Collection
    from distembed.report.colour import Colouring
    from distembed.report.plane import Plane
    from distembed.report.samples import Pair, Path

__all__ = ["overview"]

_LEFT = 0.06
_TEXT, _SOFT, _LINE = "#1c2026", "#626a75", "#b8bdc5"
_FONTS = ("Inter", "Helvetica Neue", "Helvetica", "Arial", "Noto Sans", "DejaVu Sans")


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
    """Draw a model as one PNG of 1600 by 520 pixels, 1220 wide without an evaluation.

    Args:
        path: The file; its folder is made, and an old file is replaced in one go.
        model: A fitted model.
        test: Held-out sets of images or vectors.
        evaluation: Adds latent distance against W2.
        embeddings: Of `test`; computed where left out.
        color: As for `write_report`.
        between: As for `write_report`.

    Returns:
        The path.

    Raises:
        ImportError: If matplotlib is not installed.
        ValueError: If `color` or `between` names nothing.
        OSError: If the file cannot be written.
    """
    need("matplotlib", "report")
    path = claim(path, force=True, make=True)
    if embeddings is None:
        embeddings = model.embed(test, covariance=False)
    column = choose_column(embeddings.z, embeddings.meta, embeddings.sizes, color)
    plane = pca_plane(embeddings.z)
    pictures = are_images(tuple(test.event_shape))
    chosen = spread_along(plane, 3)
    pairs = read_pairs(model, test, embeddings, chosen, 24 if pictures else 400)
    way = interpolate(model, test, embeddings, between, steps=7, n=7 if pictures else 150)
    painters = [
        _map(plane, colouring(column.name, column.values)),
        _image_pairs(pairs) if pictures else _vector_pairs(model, pairs),
        _strip(way, pairs) if pictures else _way(model, way, pairs),
    ]
    if evaluation is not None and len(evaluation.pairs.w2):
        painters.append(_distances(evaluation, model.calibration))
    write_atomically(path, _png(painters))
    return path


@dataclass(frozen=True)
class _Panel:
    """A part of the picture: its title, a line below it, its width, and what draws it."""

    title: str
    note: str
    width: float
    paint: Any


def _png(panels: list[_Panel]) -> bytes:
    from matplotlib import font_manager
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    known = set(font_manager.get_font_names())
    colors = dict.fromkeys(
        ("text_color", "axes_labelcolor", "xtick_labelcolor", "ytick_labelcolor"), _TEXT
    )
    lines = dict.fromkeys(("axes_edgecolor", "xtick_color", "ytick_color"), _LINE)
    family = next(f for f in _FONTS if f in known)
    sizes = dict.fromkeys(("font_size", "axes_labelsize", "axes_titlesize"), 14.0)
    ticks = dict.fromkeys(("xtick_labelsize", "ytick_labelsize"), 12.0)
    with drawing(font_family=family, **colors, **lines, **sizes, **ticks):
        widths = [panel.width for panel in panels]
        figure = Figure((4 * sum(widths), 5.2), dpi=100, facecolor="white")
        FigureCanvasAgg(figure)
        parts: Any = figure.subfigures(1, len(panels), width_ratios=widths)
        for part, panel in zip(parts, panels, strict=True):
            part.set_facecolor("white")
            part.text(_LEFT, 0.955, panel.title, weight="bold", size=17, va="top")
            note = panel.note if len(panel.note) <= 44 else panel.note[:43] + "…"
            part.text(_LEFT, 0.885, note, size=13, color=_SOFT, va="top")
            panel.paint(part)
        file = io.BytesIO()
        figure.savefig(file, format="png", metadata={"Software": None})
    return file.getvalue()


def _map(plane: Plane, colours: Colouring) -> _Panel:
    def paint(part: SubFigure) -> None:
        from matplotlib.patheffects import withStroke

        ax = part.add_axes((_LEFT, 0.08, 0.88, 0.71))
        plots.embedding_map(ax, plane, colours)
        ax.set(xlabel="", ylabel="")
        for text in ax.texts:
            text.set_path_effects([withStroke(linewidth=3.5, foreground="white")])

    return _Panel("One point a set", f"colour: {colours.name}", 1.0, paint)


def _image_pairs(pairs: list[Pair]) -> _Panel:
    def paint(part: SubFigure) -> None:
        _columns(part)
        tone = tone_of(np.concatenate([as_images(p.real) for p in pairs]))
        for row, pair in enumerate(pairs):
            for column, x in enumerate((pair.real, pair.generated)):
                at = (_LEFT + 0.46 * column, 0.572 - 0.246 * row, 0.42, 0.218)
                plots.image_grid(part.add_axes(at, anchor="NW"), x, 6, tone=tone)

    return _Panel("Real and generated", "", 1.0, paint)


def _columns(part: SubFigure) -> None:
    part.text(_LEFT, 0.885, "held-out sets", size=13, color=_SOFT, va="top")
    part.text(_LEFT + 0.46, 0.885, "from their vectors", size=13, color=ACCENT, va="top")


def _vector_pairs(model: GDE, pairs: list[Pair]) -> _Panel:
    def paint(part: SubFigure) -> None:
        _columns(part)
        view = view_of(model, pairs)
        for row, pair in enumerate(pairs[::2]):
            left, right = (
                part.add_axes((_LEFT + 0.46 * c, 0.45 - 0.37 * row, 0.42, 0.34)) for c in range(2)
            )
            if pair.real[0].size == 1:
                plots.marginal(left, pair.real.ravel(), pair.generated.ravel(), view.names[0])
                right.set_axis_off()
                continue
            real, generated = (project(model, view, x) for x in (pair.real, pair.generated))
            plots.real_and_generated((left, right), real, generated)
            for ax in (left, right):
                ax.set_title("", loc="left")
                ax.set(xticks=[], yticks=[])

    return _Panel("Real and generated", "", 1.0, paint)


def _strip(way: Path, pairs: list[Pair]) -> _Panel:
    def paint(part: SubFigure) -> None:
        tone = tone_of(np.concatenate([as_images(p.real) for p in pairs]))
        steps = len(way.samples)
        images = way.samples.swapaxes(0, 1).reshape(-1, *way.samples.shape[2:])
        plots.image_grid(
            part.add_axes((_LEFT, 0.08, 0.9, 0.71), anchor="NW"), images, steps, tone=tone
        )

    return _Panel("A path between two vectors", " → ".join(way.names), 1.0, paint)


def _way(model: GDE, way: Path, pairs: list[Pair]) -> _Panel:
    def paint(part: SubFigure) -> None:
        ax = part.add_axes((0.15, 0.13, 0.8, 0.66))
        view = view_of(model, pairs)
        if way.samples[0, 0].size > 1:
            points = np.stack([project(model, view, x) for x in way.samples])
            plots.interpolation_path(ax, points, view.names)

    return _Panel("A path between two vectors", " → ".join(way.names), 1.0, paint)


def _distances(evaluation: Evaluation, calibration: Calibration) -> _Panel:
    def paint(part: SubFigure) -> None:
        ax = part.add_axes((0.15, 0.13, 0.8, 0.66))
        pairs, title = evaluation.pairs, w2_title(evaluation.settings)
        plots.distance_scatter(ax, pairs.latent, pairs.w2, line=calibration, title=title)

    return _Panel("Latent distance and W2", "one point a pair of sets", 1.0, paint)
