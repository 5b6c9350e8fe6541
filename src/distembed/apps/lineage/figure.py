"""Figures of clones: a map of early cells by late fate, and information beside its null."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from distembed.apps.application import Case, Drawing, Findings
from distembed.apps.lineage.data import LineageSettings
from distembed.report.style import ACCENT, OKABE_ITO, REAL, ink_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

__all__ = ["figure"]


def figure(case: Case[LineageSettings], findings: Findings) -> Sequence[Drawing]:
    """Draw what the judge measured."""
    states, types = findings.values["states"], findings.values["types"]
    late, forecast = findings.values["late"], findings.values["forecast"]

    def fates(canvas: Canvas) -> None:
        left, right = canvas.subplots(1, 2, sharex=True, sharey=True)
        axes = np.linalg.svd(late - late.mean(0), full_matrices=False)[2][:2].T
        fate = types.late.argmax(1)
        _fate_map(left, (forecast - late.mean(0)) @ axes, fate, states)
        _fate_map(right, (late - late.mean(0)) @ axes, fate, states)
        left.set(title="forecast from early cells")
        right.set(title="late cells")
        right.legend(title="most late cells", loc="center left", bbox_to_anchor=(1, 0.5))

    def information(canvas: Canvas) -> None:
        _bits(canvas.add_subplot(), findings)

    return (
        Drawing(
            "lineage_fates",
            "Fate map of clones",
            "One point is a held-out clone: left at the embedding that is forecast for its last "
            "day from its early cells, right at that of its late cells, on the principal axes of "
            "the latter. The colour is the type of most of its late cells. Colours that are apart "
            "on the left are fates that early cells betray.",
            (900, 380),
            fates,
        ),
        Drawing(
            "lineage_information",
            "Information shared by early and late cells",
            "A point is the estimated mutual information of early and late vectors over held-out "
            "clones. The bar is the range of 95 % of estimates when clones are re-paired within "
            "their cell types: what lies to the right of it is more than cell types.",
            (700, 300),
            information,
        ),
    )


def _fate_map(
    ax: Axes, points: NDArray[np.float64], fate: NDArray[np.int64], states: Sequence[str]
) -> None:
    """Draw clones in the colours of their fates; the seventh fate and later ones are grey."""
    for number in np.unique(fate).tolist():
        rows = fate == number
        ax.scatter(
            points[rows, 0], points[rows, 1], s=26, lw=0, alpha=0.8,
            color=OKABE_ITO[number] if number < 6 else REAL, label=states[number],
        )  # fmt: skip
    ax.set(xticks=[], yticks=[], xlabel="axis 1", ylabel="axis 2")


def _bits(ax: Axes, findings: Findings) -> None:
    rows = {(s.metric, s.method): s for s in findings.scores if s.task == "held_out"}
    methods = [method for metric, method in rows if metric == "bits_shared"]
    for place, method in enumerate(reversed(methods)):
        null, value = rows["bits_null", method], rows["bits_shared", method].value
        ax.plot([null.low, null.high], [place, place], color=REAL, lw=7, solid_capstyle="butt")
        color = ACCENT if method == "gde" else ink_of(ax)
        ax.plot([value], [place], "o", color=color, ms=8)
    ax.set_yticks(range(len(methods)), [m.replace("_", " ") for m in reversed(methods)])
    ax.set(xlabel="bits", ylim=(-0.6, len(methods) - 0.4))
