"""The page of a prediction: scores, predictions, calibration, and an explanation of the head."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from distembed.files import claim, write_atomically
from distembed.registry import need
from distembed.report import prediction_plots as plots
from distembed.report.figures import svg
from distembed.report.page import template
from distembed.version import __version__

if TYPE_CHECKING:
    from distembed.heads.cross_validation import CrossValidation
    from distembed.heads.explanation import Explanation
    from distembed.model.embeddings import Embeddings
    from distembed.model.gde import GDE
    from distembed.sets.collection import Sets

__all__ = ["write_prediction"]

logger = logging.getLogger(__name__)


def write_prediction(
    path: str | Path,
    model: GDE,
    sets: Sets | None,
    table: Embeddings,
    head: Any,
    result: CrossValidation,
    baseline: CrossValidation | None,
    target: str,
    group: str | None = None,
    rng: int = 0,
) -> Path:
    """Write an HTML page on a cross-validated prediction.

    Args:
        path: The HTML file.
        model: The model.
        sets: The sets, for the explanation; None if there are no atoms.
        table: Their embeddings.
        head: A head that is fitted to all sets, which is explained.
        result: The cross-validation.
        baseline: That of the means of atoms, on the same folds.
        target: Name of the target.
        group: Column of groups.
        rng: Seed of the explanation.

    Raises:
        ImportError: If matplotlib or jinja2 is not installed.
    """
    need("matplotlib", "report")
    need("jinja2", "report")
    path = claim(Path(path), force=True, make=True)
    explained, reason = _explained(model, sets, table, head, result, target, group, rng)
    page = template("prediction.html.j2").render(
        title=f"Prediction of {target}",
        version=__version__,
        target=target,
        scored=int(result.scored.sum()),
        sets=len(table),
        folds=int(result.fold.max()) + 1,
        scores=_scores(result, baseline),
        times=result.target.dtype.names is not None,
        baseline=baseline is not None,
        p_value=result.p_value,
        level=f"{result.level:.0%}",
        covered=None if result.low is None else f"{result.covered:.1%}",
        **_predictions(result, target),
        **_explanation(explained),
        reason=reason,
    )
    write_atomically(path, page)
    return path


def _scores(result: CrossValidation, baseline: CrossValidation | None) -> list[dict[str, str]]:
    """Return the lines of the table of scores."""
    lines = []
    for score in result.scores:
        line = {"name": score.name.replace("_", " "), "value": str(score)}
        line["chance"] = "" if np.isnan(score.chance) else f"{score.chance:.3g}"
        if baseline is not None:
            line["baseline"] = str(baseline[score.name])
            line["difference"] = str(result.difference(baseline, score.name))
        lines.append(line)
    return lines


def _predictions(result: CrossValidation, target: str) -> dict[str, Any]:
    """Draw predictions, and the calibration of probabilities."""
    rows = result.scored
    y, f = result.target[rows], result.prediction[rows]
    if y.dtype.names is not None:
        alt = f"Kaplan-Meier curves of the halves of {len(y)} sets by predicted hazard."
        figure = svg(
            lambda canvas: plots.survival_curves(canvas.add_subplot(), y, f, target),
            (440, 370), "predictions", alt,
        )  # fmt: skip
        return {"predictions": figure, "calibration": None, "classes": None}
    if result.classes is None:
        low, high = (None if e is None else e[rows] for e in (result.low, result.high))
        figure = svg(
            lambda canvas: plots.predicted_against_observed(
                canvas.add_subplot(), y, f, low, high, target
            ),
            (440, 370), "predictions", f"Predicted against observed {target} of {len(y)} sets.",
        )  # fmt: skip
        return {"predictions": figure, "calibration": None, "classes": None}
    labels = result.classes.tolist()
    agreed = result.reliability
    name = str(labels[1]) if len(labels) == 2 else "a class"
    side = float(np.clip(90 + 70 * len(labels), 230, 440))
    return {
        "predictions": svg(
            lambda canvas: plots.confusion(canvas.add_subplot(), y, f, labels),
            (440, side), "predictions", f"Observed and predicted classes of {len(y)} sets.",
        ),
        "calibration": svg(
            lambda canvas: plots.calibration_curve(canvas.add_subplot(), agreed, name),
            (440, 370), "calibration", "Observed shares against predicted probabilities.",
        ),
        "classes": labels,
        "brier": f"{agreed.brier:.3f}",
        "base": f"{agreed.base:.3f}",
        "error": f"{agreed.error:.3f}",
    }  # fmt: skip


def _explained(
    model: GDE,
    sets: Sets | None,
    table: Embeddings,
    head: Any,
    result: CrossValidation,
    target: str,
    group: str | None,
    rng: int,
) -> tuple[Explanation | None, str]:
    """Explain the head, or say why not."""
    from distembed.heads.explanation import explain

    if sets is None:
        return None, "The table of embeddings has no atoms."
    if len(getattr(head, "classes_", ())) > 2:
        return (
            None,
            "An explanation is of one class against the others; see distembed.heads.explain.",
        )
    groups = None if group is None else table.meta[group]
    try:
        explanation = explain(model, sets, table, head, result.target, groups, rng=rng)
    except ValueError as error:
        logger.warning("The head is not explained: %s", error)
        return None, str(error)
    plain = explanation.unit == "the target"
    return (replace(explanation, unit=target) if plain else explanation), ""


def _explanation(explained: Explanation | None) -> dict[str, Any]:
    """Draw the effects of features, and atoms by contribution."""
    if explained is None:
        return {"effects": None, "atoms": None, "notable": (), "unit": ""}
    count = min(12, len(explained.features))
    alt = f"Effects of {count} features on {explained.unit}, with the range of the null."
    figures = {
        "effects": svg(
            lambda canvas: plots.effects(canvas.add_subplot(), explained),
            (440, 70 + 26 * count), "effects", alt,
        ),
        "atoms": svg(
            lambda canvas: plots.atom_contributions(canvas.add_subplot(), explained),
            (440, 370), "atoms", f"Atoms of {len(explained.ids)} sets, coloured by contribution.",
        ),
    }  # fmt: skip
    order = explained.order.tolist()
    notable = [
        {
            "name": explained.features[j],
            "sign": "raises" if explained.effect[j] > 0 else "lowers",
            "effect": f"{abs(explained.effect[j]):.3g}",
            "p": f"{explained.p[j]:.2g}",
        }
        for j in order
        if explained.p[j] <= 0.05
    ]
    return {**figures, "notable": notable[:6], "unit": explained.unit}
