"""Figures of a report page that do not depend on the kind of atoms: map, distances, training.

A figure is about 460 pixels wide, so that two stand side by side on a desktop and one fills a
phone with legible text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from distembed.inference.calibrated import calibration_band
from distembed.registry import need
from distembed.report import plots
from distembed.report.heat_map import heat_map
from distembed.report.svg import draw

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

    from distembed.evaluation.result import Pairs
    from distembed.geometry.distance import Calibration
    from distembed.model.embeddings import Embeddings
    from distembed.report.colour import Colouring
    from distembed.report.plane import Plane

__all__ = [
    "Figure",
    "distance_figure",
    "distances_figure",
    "ellipse_covariances",
    "escaped",
    "interval_band",
    "map_figure",
    "svg",
    "training_figure",
]


@dataclass(frozen=True)
class Figure:
    """The figures of one section of the page.

    Attributes:
        html: `<figure>` elements, in which all text is escaped.
        text: How to read them.
        columns: How many stand side by side.
        narrow: Whether they stand beside their text.
    """

    html: Sequence[Any] = ()
    text: str = ""
    columns: int = 1
    narrow: bool = False


def map_figure(
    plane: Plane, colours: Colouring, embeddings: Embeddings, ellipse_atoms: int = 10
) -> Any:
    """Draw the embedding map, with ellipses if there are covariances.

    Args:
        plane: Coordinates of the sets.
        colours: Colours of the sets.
        embeddings: Of the sets, for covariances and sizes.
        ellipse_atoms: Least effective size of a set with an ellipse.
    """
    cov = ellipse_covariances(embeddings, ellipse_atoms)

    def paint(canvas: Canvas) -> None:
        plots.embedding_map(
            canvas.add_subplot(), plane, colours,
            cov=cov, df=embeddings.df, trained=embeddings.trained,
        )  # fmt: skip

    spread = np.ptp(plane.points, axis=0)
    height = float(np.clip(380 * spread[1] / max(spread[0], 1e-12), 240, 380))
    alt = (
        f"Scatter of {len(plane.points)} sets, one point each, by {plane.axes[0]} and "
        f"{plane.axes[1]} of their embeddings, coloured by {colours.name}."
    )
    return svg(paint, (440, height), f"map-{plane.method.lower()}", alt)


def ellipse_covariances(embeddings: Embeddings, least: int = 10) -> np.ndarray | None:
    """Return the covariances that are drawn, `(S, L, L)`; None if there are none.

    Args:
        embeddings: The sets.
        least: Least effective size of a set with an ellipse: the covariance of fewer atoms is
            close to singular, and its ellipse would be a line. NaN for smaller sets.
    """
    if embeddings.cov is None:
        return None
    large = embeddings.effective_sizes >= least
    return np.where(large[:, None, None], embeddings.cov, np.nan)


def interval_band(calibration: Calibration) -> plots.Band | None:
    """Return the 95 % interval of W2 by latent distance; None for too few held-out pairs."""
    if not calibration.pairs:
        return None
    try:
        calibration_band(calibration, 0.0)
    except ValueError:
        return None
    return partial(calibration_band, calibration)


def distances_figure(
    matrix: np.ndarray, ids: Sequence[str], colours: Colouring, title: str
) -> Any:
    """Draw the clustered distances `(S, S)` of sets, with a strip of their colours."""

    def paint(canvas: Canvas) -> None:
        heat_map(canvas.add_subplot(), matrix, ids, colours, title=title, legend=False)

    alt = f"Heat map of the distances of {len(matrix)} sets, in the order of their similarity."
    return svg(paint, (520, 480), "heat-map", alt)


def distance_figure(
    pairs: Pairs, calibration: Calibration, w2: str, band: plots.Band | None = None
) -> Any:
    """Draw latent distance against W2, called `w2`, with the calibration and a band around it."""

    def paint(canvas: Canvas) -> None:
        ax = canvas.add_subplot()
        plots.distance_scatter(ax, pairs.latent, pairs.w2, line=calibration, band=band, title=w2)

    alt = f"Scatter of {len(pairs.w2)} pairs of sets: latent distance against {w2}."
    return svg(paint, (440, 370), "distances", alt)


def training_figure(history: Sequence[Mapping[str, Any]]) -> Any:
    """Draw the losses, and the learning rate below them if the history has it."""
    with_rate = any(row.get("lr") is not None for row in history)

    def paint(canvas: Canvas) -> None:
        if not with_rate:
            plots.training_curves(canvas.add_subplot(), history)
            return
        upper, lower = canvas.subplots(2, 1, height_ratios=(4, 1))
        plots.training_curves(upper, history, rate=lower)

    alt = f"Training and validation loss by step, up to step {history[-1]['step']:.0f}."
    return svg(paint, (440, 330), "training", alt)


def svg(paint: Callable[[Any], None], size: tuple[float, float], name: str, alt: str) -> Any:
    """Draw a figure as an `<svg>` element that the template does not escape again."""
    return _markup()(draw(paint, size, name=name, alt=alt))


def escaped(template: str, *values: Any) -> Any:
    """Fill HTML with values, which are escaped unless they are elements already.

    Example:
        >>> str(escaped("<p>{}</p>", "a < b"))
        '<p>a &lt; b</p>'
    """
    return _markup()(template).format(*values)


def _markup() -> Any:
    return need("markupsafe", "report").Markup
