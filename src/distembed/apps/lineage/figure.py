"""Figures of clones: a map of early cells by late fate, and information beside its null."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from distembed.apps.application import Case, Drawing, Findings
from distembed.apps.lineage.clones import Phases
from distembed.apps.lineage.data import LineageSettings
from distembed.report.plane import pca_plane
from distembed.report.style import ACCENT, OKABE_ITO, REAL, ink_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

__all__ = ["figure"]


def figure(case: Case[LineageSettings], findings: Findings) -> Sequence[Drawing]:
    """Draw what the judge measured."""
    states, types, vectors = (findings.values[k] for k in ("states", "types", "embedded"))

    def fates(canvas: Canvas) -> None:
        left, right = canvas.subplots(1, 2)
        _fate_map(left, vectors, types, states, early=True)
        _fate_map(right, vectors, types, states, early=False)
        right.legend(title="cells on the last day", loc="center left", bbox_to_anchor=(1, 0.5))

    def information(canvas: Canvas) -> None:
        _bits(canvas.add_subplot(), findings)

    return (
        Drawing(
            "lineage_fates",
            "Fate map of clones",
            "One point is a held-out clone, at the embedding of its early cells (left) and of its "
            "cells on the last day (right). The colour is the cell type that most of its late "
            "cells have. Colours that are apart on the left are fates that early cells betray.",
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
    ax: Axes, vectors: Phases, types: Phases, states: Sequence[str], early: bool, most: int = 6
) -> None:
    plane = pca_plane((vectors.early if early else vectors.late).astype(np.float32))
    fate = types.late.argmax(1)
    for number in np.unique(fate):
        rows = fate == number
        shown = number < most
        ax.scatter(
            plane.points[rows, 0], plane.points[rows, 1], s=34, lw=0, alpha=0.85,
            color=OKABE_ITO[number] if shown else REAL, label=states[number],
        )  # fmt: skip
    ax.set(title="early cells" if early else "late cells", xticks=[], yticks=[])
    ax.set(xlabel=plane.axes[0], ylabel=plane.axes[1])


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
