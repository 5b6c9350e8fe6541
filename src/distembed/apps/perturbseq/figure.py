"""Figures of a screen: a map of perturbations, and forecast beside real changes of genes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from distembed.apps.application import Case, Drawing, Findings
from distembed.apps.perturbseq.data import CONTROL, PerturbSettings
from distembed.report.labels import separate
from distembed.report.style import ACCENT, LOSS, REAL, ink_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas
    from matplotlib.text import Text

__all__ = ["figure"]


def figure(case: Case[PerturbSettings], findings: Findings) -> Sequence[Drawing]:
    """Draw what the judge measured in the first division."""
    shown = findings.values

    def changes(canvas: Canvas) -> None:
        left, right = canvas.subplots(1, 2, width_ratios=(1.1, 1))
        names = [(left, _map(left, shown)), (right, _genes(right, shown))]
        for ax, labels in names:
            separate(ax, labels)

    return (
        Drawing(
            "perturbseq_changes",
            "Perturbations, and forecasts of those held out",
            "Left: the change of the embedding against the control of the same context, on two "
            "principal axes; grey are training sets, black circles held-out ones, and a blue "
            "arrow ends at the forecast; the farthest perturbations are named once, at the mean "
            "of their contexts. Right: forecast and real change of mean log expression "
            "of the genes of the held-out sets; named are the largest real changes.",
            (960, 430),
            changes,
        ),
    )


def _map(ax: Axes, shown: Any, named: int = 7) -> list[Text]:
    """Draw changes of embeddings; return the labels of perturbations."""
    change = shown["z"] - shown["z"][shown["control"]]
    test = shown["test"]
    train = np.setdiff1d(np.flatnonzero(shown["target"] != CONTROL), test)
    axes = np.linalg.svd(change[train] - change[train].mean(0), full_matrices=False)[2][:2]
    place = change @ axes.T
    ends = (shown["z_forecast"] - shown["z"][shown["control"][test]]) @ axes.T
    ax.scatter(place[train, 0], place[train, 1], color=REAL, s=22, lw=0)
    ax.scatter(
        place[test, 0], place[test, 1], facecolor="none", edgecolor=ink_of(ax), s=44, zorder=3
    )
    for start, end in zip(place[test], ends, strict=True):
        ax.annotate(
            "", end, start, arrowprops={"arrowstyle": "->", "color": ACCENT, "lw": 1.2}
        )  # fmt: skip
    names = np.unique(shown["target"][shown["target"] != CONTROL])
    middle = np.array([place[shown["target"] == name].mean(0) for name in names.tolist()])
    labels: list[Text] = [
        ax.annotate(
            str(names[k]), middle[k], xytext=(0, 7), textcoords="offset points", fontsize=10,
            ha="center",
        )
        for k in np.argsort(-np.square(middle).sum(1), kind="stable")[:named].tolist()
    ]  # fmt: skip
    ax.axhline(0, color=REAL, lw=0.6, zorder=0)
    ax.axvline(0, color=REAL, lw=0.6, zorder=0)
    ax.set(xlabel="change of z, axis 1", ylabel="change of z, axis 2", title="perturbations")
    return labels


def _genes(ax: Axes, shown: Any, named: int = 8) -> list[Text]:
    """Draw changes of genes; return the labels of the largest."""
    real, forecast = shown["real"].ravel(), shown["forecast"].ravel()
    largest = float(np.abs(real).max()) * 1.1 or 1.0
    ax.plot([-largest, largest], [-largest, largest], "--", color=REAL, lw=1)
    ax.scatter(forecast, real, s=8, lw=0, color=ACCENT, alpha=0.5, rasterized=len(real) > 300)
    genes = np.tile(np.asarray(shown["genes"]), len(shown["real"]))
    order = np.argsort(-np.abs(real), kind="stable")
    # the place of the largest change of each gene
    largest_of = order[np.sort(np.unique(genes[order], return_index=True)[1])]
    labels: list[Text] = []
    for i in largest_of[:named].tolist():
        side = -6 if forecast[i] > 0 else 6
        labels.append(
            ax.annotate(
                str(genes[i]), (forecast[i], real[i]), xytext=(side, 2),
                textcoords="offset points", ha="right" if side < 0 else "left", fontsize=9,
                color=LOSS,
            )
        )  # fmt: skip
    ax.set(xlabel="forecast change", ylabel="real change", title="genes of held-out sets")
    return labels
