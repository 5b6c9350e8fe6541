"""Figures of methylation: the mixture curve, and the detection of small shares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from distembed.apps.application import Case, Drawing, Findings
from distembed.apps.methylation.data import MethylationSettings
from distembed.apps.methylation.judge import Confusion
from distembed.registry import need
from distembed.report.style import ACCENT, OKABE_ITO, REAL, ink_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

__all__ = ["figure"]

Estimates = Mapping[str, NDArray[np.float64]]


def figure(case: Case[MethylationSettings], findings: Findings) -> Sequence[Drawing]:
    """Draw probabilities of labels, and estimated against true shares where there are mixtures."""
    of_labels: Mapping[str, Confusion] = findings.values["labels"]
    drawings = [_labels(assay, own) for assay, own in of_labels.items()]
    if findings.values["estimates"]:
        drawings.insert(0, _mixtures(case, findings))
    return drawings


def _labels(assay: str, confusion: Confusion) -> Drawing:
    def matrix(canvas: Canvas) -> None:
        ax = canvas.add_subplot()
        colors = need("matplotlib.colors", "report")
        shades = colors.LinearSegmentedColormap.from_list("share", ("#ffffff00", ACCENT))
        ax.imshow(confusion.probability, cmap=shades, vmin=0, vmax=1)
        places = range(len(confusion.labels))
        names = [str(label).replace("_", " ") for label in confusion.labels]
        ax.set_xticks(places, names, rotation=30, ha="right")
        ax.set_yticks(places, [f"{n} ({k})" for n, k in zip(names, confusion.count, strict=True)])
        for i, row in enumerate(confusion.probability):
            for j, value in enumerate(row):
                if np.isfinite(value) and len(names) <= 12:
                    ax.text(j, i, f"{value:.2f}", ha="center", va="center")
        ax.set(xlabel="predicted", ylabel="true, and number of held-out samples")

    side = 200 + 52 * min(len(confusion.labels), 16)
    return Drawing(
        f"methylation_labels_{assay.lower()}",
        f"Labels of held-out donors, {assay}",
        "The mean probability that the embedding of a held-out sample has each label, by its true "
        "label. Donors of these samples are in no training set.",
        (side + 140, side),
        matrix,
    )


def _mixtures(case: Case[MethylationSettings], findings: Findings) -> Drawing:
    estimates: Estimates = findings.values["estimates"]
    share = findings.values["share"]

    def curve(canvas: Canvas) -> None:
        left, right = canvas.subplots(1, 2)
        _curve(left, share, estimates)
        _detection(right, share, estimates)
        handles, labels = right.get_legend_handles_labels()
        canvas.legend(handles, labels, loc="outside right center")

    return Drawing(
        "methylation_mixtures",
        "Tumour molecules in a background",
        f"Mixtures of {case.settings.atoms} molecules of donors that no training set has. Left: "
        "the estimated share of tumour molecules, median and middle 80 % of mixtures with one "
        "true share; the line is a perfect estimate. Right: how often a mixture with tumour has a "
        "higher estimate than one without (AUC; 0.5 is chance).",
        (900, 360),
        curve,
    )


def _shown(estimates: Estimates) -> list[tuple[str, str]]:
    """Choose the methods that are drawn and their colours: the model, then features."""
    names = ["gde", *(name for name in estimates if name not in ("gde", "untrained", "joined"))]
    return list(zip(names, (ACCENT, *OKABE_ITO[1:]), strict=False))


def _curve(
    ax: Axes, share: NDArray[np.float64], estimates: Estimates, least: float = 0.002
) -> None:
    levels = np.unique(share)
    place = np.maximum(levels, least)
    ax.plot([least, 1], [least, 1], color=REAL, lw=1, zorder=0)
    shown = _shown(estimates)
    for number, (name, color) in enumerate(shown):
        values = np.maximum(estimates[name], least)
        low, middle, high = (
            np.array([np.quantile(values[share == level], q) for level in levels])
            for q in (0.1, 0.5, 0.9)
        )
        x = place * 1.13 ** (number - (len(shown) - 1) / 2)
        width = 2.4 if name == "gde" else 1.4
        ax.vlines(x, low, high, color=color, lw=width, alpha=0.55)
        ax.plot(x, middle, "o", color=color, ms=7 if name == "gde" else 5)
    ticks = {least: "none", 0.01: "1 %", 0.1: "10 %", 1.0: "100 %"}
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_label_text("true share" if axis is ax.xaxis else "estimated share")
    ax.set(xscale="log", yscale="log")
    ax.set_xticks(list(ticks), list(ticks.values()))
    ax.set_yticks(list(ticks), list(ticks.values()))
    ax.minorticks_off()


def _detection(ax: Axes, share: NDArray[np.float64], estimates: Estimates) -> None:
    levels = np.unique(share[share > 0])
    for name, color in _shown(estimates):
        values = estimates[name]
        none = values[share == 0]
        area = [_auc(none, values[share == level]) for level in levels]
        width = 2.4 if name == "gde" else 1.4
        ax.plot(levels, area, "o-", color=color, lw=width, ms=5, label=name)
    ax.axhline(0.5, color=ink_of(ax), lw=0.8, alpha=0.4)
    ax.set(xscale="log", xlabel="true share", ylabel="AUC against none", ylim=(0.3, 1.03))
    ticks = {0.01: "1 %", 0.1: "10 %", 1.0: "100 %"}
    ax.set_xticks(list(ticks), list(ticks.values()))
    ax.minorticks_off()


def _auc(none: NDArray[np.float64], some: NDArray[np.float64]) -> float:
    order = (some[:, None] > none) + 0.5 * (some[:, None] == none)
    return float(order.mean())
