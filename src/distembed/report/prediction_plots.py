"""Plots of a prediction: observed values, confusion, survival, calibration, effects, atoms."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from distembed.report.style import ACCENT, DIVERGING, REAL, ink_of, rasterized, shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from distembed.heads.calibration import Reliability
    from distembed.heads.explanation import Explanation

__all__ = [
    "atom_contributions",
    "calibration_curve",
    "confusion",
    "effects",
    "predicted_against_observed",
    "survival_curves",
]


def predicted_against_observed(
    ax: Axes,
    target: np.ndarray,
    prediction: np.ndarray,
    low: np.ndarray | None = None,
    high: np.ndarray | None = None,
    name: str = "target",
) -> None:
    """Draw predictions of sets against their targets, with intervals where they are finite.

    Args:
        ax: The axes.
        target: `(S,)`.
        prediction: `(S,)`.
        low: Lower ends of prediction intervals, `(S,)`.
        high: Upper ends.
        name: Name of the target.
    """
    if low is not None and high is not None:
        finite = np.isfinite(low) & np.isfinite(high)
        ax.vlines(
            target[finite], low[finite], high[finite], color=REAL, lw=1, alpha=0.4, zorder=1,
            rasterized=rasterized(int(finite.sum())),
        )  # fmt: skip
    ax.plot(
        target, prediction, "o", ms=4.5, mew=0, alpha=0.85, color=ACCENT,
        rasterized=rasterized(len(target)),
    )  # fmt: skip
    ends = [float(target.min()), float(target.max())]
    ax.plot(ends, ends, color=ink_of(ax), lw=1, ls=(0, (4, 3)), zorder=0)
    ax.set_xlabel(f"observed {shortened(name)}")
    ax.set_ylabel("predicted, out of fold")


def confusion(ax: Axes, target: np.ndarray, prediction: np.ndarray, labels: Sequence[Any]) -> None:
    """Draw the share of the sets of each class that are predicted as each class.

    Args:
        ax: The axes.
        target: Classes, `(S,)`.
        prediction: Predicted classes, `(S,)`.
        labels: The classes, in the order of rows and columns.
    """
    count = np.array([[((target == a) & (prediction == b)).sum() for b in labels] for a in labels])
    share = count / np.maximum(count.sum(1, keepdims=True), 1)
    for i in range(len(labels)):
        for j in range(len(labels)):
            ax.add_patch(_tile(j, i, share[i, j], ACCENT if i == j else DIVERGING[0]))
            ax.text(j, i, f"{count[i, j]}", ha="center", va="center")
    names = [shortened(str(label), 14) for label in labels]
    ax.set(xlim=(-0.5, len(labels) - 0.5), ylim=(len(labels) - 0.5, -0.5))
    ax.set_xticks(range(len(labels)), names)
    ax.set_yticks(range(len(labels)), names)
    ax.set(xlabel="predicted, out of fold", ylabel="observed")
    ax.tick_params(length=0)


def _tile(x: float, y: float, share: float, colour: str) -> Any:
    from matplotlib.patches import Rectangle

    # half of full strength keeps the number legible on light and dark pages
    return Rectangle((x - 0.48, y - 0.48), 0.96, 0.96, color=colour, alpha=0.5 * share, lw=0)


def calibration_curve(ax: Axes, reliability: Reliability, name: str) -> None:
    """Draw observed shares with 95 % intervals against predicted probabilities."""
    r = reliability
    ax.plot([0, 1], [0, 1], color=ink_of(ax), lw=1, ls=(0, (4, 3)), zorder=0)
    ax.vlines(r.predicted, r.low, r.high, color=REAL, lw=1.5)
    ax.plot(r.predicted, r.observed, "o", ms=6, mew=0, color=ACCENT)
    ax.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
    ax.set(xlabel=f"predicted probability of {name}", ylabel="observed share")


def survival_curves(ax: Axes, target: np.ndarray, risk: np.ndarray, name: str = "time") -> None:
    """Draw Kaplan-Meier curves of the halves of the sets of lower and of higher predicted hazard.

    Bands are pointwise 95 % intervals (Greenwood, on the scale of log minus log), and ticks are
    sets that were followed until then without an event.

    Args:
        ax: The axes.
        target: Times with events, `(S,)`, as of `event_times`.
        risk: Predicted log hazard ratios, `(S,)`.
        name: Name of the time.
    """
    from scipy import stats

    order = np.argsort(risk, kind="stable")
    halves = {"lower": order[: len(order) // 2], "higher": order[len(order) // 2 :]}
    for (side, rows), colour in zip(halves.items(), (ACCENT, DIVERGING[0]), strict=True):
        time, event = target["time"][rows], target["event"][rows]
        followed = stats.CensoredData(uncensored=time[event], right=time[~event])
        curve = stats.ecdf(followed).sf
        with np.errstate(divide="ignore", invalid="ignore"), warnings.catch_warnings():
            # at shares of one and zero there is no interval, and no band is drawn
            warnings.simplefilter("ignore", RuntimeWarning)
            interval = curve.confidence_interval(0.95, method="log-log")
        t = np.concatenate([[0.0], curve.quantiles])
        low, high = (
            np.concatenate([[1.0], end.probabilities]) for end in (interval.low, interval.high)
        )
        alive = np.concatenate([[1.0], curve.probabilities])
        ax.step(
            t, alive, where="post", color=colour, lw=1.6,
            label=f"{side} predicted hazard: {event.sum()} events in {len(rows)} sets",
        )  # fmt: skip
        ax.fill_between(t, low, high, step="post", color=colour, alpha=0.18, lw=0)
        late = time[~event]
        ax.plot(late, curve.evaluate(late), "|", ms=6, mew=1, color=colour)
    ax.set(xlim=(0, None), ylim=(-0.02, 1.02))
    ax.set_xlabel(shortened(name))
    ax.set_ylabel("share without the event")
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), frameon=False)


def effects(ax: Axes, explanation: Explanation, most: int = 12) -> None:
    """Draw the largest effects of features with the 95 % range of the null."""
    rows = explanation.order[:most]
    at = np.arange(len(rows))
    ax.barh(
        at, (explanation.high - explanation.low)[rows], left=explanation.low[rows], height=0.62,
        color=REAL, alpha=0.35, lw=0,
    )  # fmt: skip
    ax.plot(explanation.effect[rows], at, "o", ms=6, mew=0, color=ACCENT)
    ax.axvline(0, color=ink_of(ax), lw=0.8, zorder=0)
    ax.set_yticks(at, [shortened(explanation.features[j], 26) for j in rows])
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.set_xlabel(f"effect on {explanation.unit}")
    ax.tick_params(axis="y", length=0)


def atom_contributions(ax: Axes, explanation: Explanation) -> None:
    """Draw atoms along two features of large effects, coloured by contribution."""
    from matplotlib.colors import LinearSegmentedColormap

    first, second = explanation.plane
    colour = explanation.contribution
    limit = float(np.quantile(np.abs(colour), 0.98)) or 1.0
    # the largest contributions are drawn last, whatever their sign
    order = np.argsort(np.abs(colour), kind="stable")
    ax.scatter(
        explanation.atoms[order, first], explanation.atoms[order, second], c=colour[order], s=7,
        lw=0, alpha=0.8, vmin=-limit, vmax=limit,
        cmap=LinearSegmentedColormap.from_list("contribution", list(DIVERGING)),
        rasterized=rasterized(len(order)),
    )  # fmt: skip
    for axis, j in ((ax.xaxis, first), (ax.yaxis, second)):
        axis.set_label_text(shortened(explanation.features[j], 30))
    bounds = np.quantile(explanation.atoms[:, [first, second]], [0.002, 0.998], axis=0)
    if (bounds[1] > bounds[0]).all():
        margin = 0.05 * (bounds[1] - bounds[0])
        ax.set(
            xlim=(bounds[0, 0] - margin[0], bounds[1, 0] + margin[0]),
            ylim=(bounds[0, 1] - margin[1], bounds[1, 1] + margin[1]),
        )
