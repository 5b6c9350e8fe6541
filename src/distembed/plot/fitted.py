"""How a model is calibrated: latent distance to W2, and probabilities to observed shares."""

from __future__ import annotations

from typing import TYPE_CHECKING

from distembed.plot.axes import one_axes
from distembed.report import plots
from distembed.report.figures import interval_band
from distembed.report.prediction_plots import calibration_curve
from distembed.report.results import w2_title
from distembed.report.style import literal

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from distembed.evaluation.result import Evaluation
    from distembed.heads.calibration import Reliability
    from distembed.model.gde import GDE

__all__ = ["calibration", "reliability"]


def calibration(
    model: GDE, evaluation: Evaluation | None = None, *, ax: Axes | None = None
) -> Axes:
    """Draw W2 by latent distance: the calibration of a model with its 95 % interval.

    Args:
        model: A fitted model.
        evaluation: Result of `de.evaluate` on held-out sets, whose pairs are drawn. Without it
            there is the line alone, up to the largest fitted distance.
        ax: Where to draw; new axes if left out.

    Returns:
        The axes.

    Raises:
        ImportError: If matplotlib is not installed.
        ValueError: If the model is not calibrated and there are no pairs to draw; the message has
            the reason.
    """
    line = model.calibration
    band = interval_band(line)
    if evaluation is not None and len(evaluation.pairs.w2):
        pairs, title = evaluation.pairs, w2_title(evaluation.settings)
        return plots.distance_scatter(
            one_axes(ax), pairs.latent, pairs.w2, line=line, band=band, title=title
        )
    if not line.pairs:
        model.attachment("calibration")  # raises with the reason
    return plots.calibration_line(one_axes(ax), line.relation.largest, line=line, band=band)


def reliability(result: Reliability, name: str = "a class", *, ax: Axes | None = None) -> Axes:
    """Draw observed shares with 95 % intervals against predicted probabilities.

    Args:
        result: The `reliability` of a cross-validation of a classifier.
        name: The class whose probability is predicted.
        ax: Where to draw; new axes if left out.

    Returns:
        The axes.

    Raises:
        ImportError: If matplotlib is not installed.
    """
    ax = one_axes(ax)
    calibration_curve(ax, result, name)
    literal(ax)
    return ax
