"""Figures of promoters: a heat map of motifs by bin, and the oracle along expression."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from distembed.apps.application import Case, Drawing, Findings
from distembed.apps.promoters.data import PromoterSettings
from distembed.apps.promoters.motifs import MOTIFS
from distembed.registry import need
from distembed.report.style import ACCENT, DIVERGING, OKABE_ITO, REAL, ink_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

__all__ = ["figure"]

Array = NDArray[np.float64]


def figure(case: Case[PromoterSettings], findings: Findings) -> Sequence[Drawing]:
    """Draw the hits of motifs by bin, and the expression that the oracle predicts."""
    values = findings.values
    medium = values["medium"][0]
    own = np.flatnonzero(values["medium"] == medium)

    def heat(canvas: Canvas) -> None:
        _heat_maps(canvas, values, own)

    def oracle(canvas: Canvas) -> None:
        _oracle(canvas.add_subplot(), values)

    return (
        Drawing(
            "promoters_motifs",
            "Motifs by expression",
            f"A column is a bin of expression in {medium}, from low to high; a row is a motif; "
            "the colour is its mean hits in deviations over training bins. Left: measured "
            "promoters. Right: promoters drawn from the embedding of each bin. The triangles mark "
            "bins whose promoters are in no training set; the last ones lie beyond all training "
            "bins.",
            (900, 560),
            heat,
        ),
        Drawing(
            "promoters_oracle",
            "Expression of drawn promoters",
            "A point is a held-out bin: across its measured expression, up the mean expression "
            "that the oracle predicts for promoters of the bin and for drawn ones. Shaded bins "
            "lie beyond all training bins; `direction` extrapolates to them.",
            (640, 380),
            oracle,
        ),
    )


def _heat_maps(canvas: Canvas, values: Any, own: NDArray[np.int64], limit: float = 3.0) -> None:
    colors = need("matplotlib.colors", "report")
    shades = colors.LinearSegmentedColormap.from_list("hits", DIVERGING)
    real, generated = values["real"][own], np.full_like(values["real"][own], np.nan)
    place = {int(b): k for k, b in enumerate(own)}
    for bins, hits in ((values["training"], values["trained"]), (values["bins"], values["drawn"])):
        for b, row in zip(bins, hits, strict=True):
            if int(b) in place:
                generated[place[int(b)]] = row
    # motifs that rise with expression first
    slope = (np.arange(len(own)) - (len(own) - 1) / 2) @ real
    order = np.argsort(-slope, kind="stable")
    names = np.array(list(MOTIFS))[order]
    axes = canvas.subplots(1, 2, sharey=True)
    held_out = np.flatnonzero(values["held_out"][own])
    for ax, hits, title in zip(axes, (real, generated), ("measured", "drawn"), strict=True):
        image = ax.imshow(
            hits[:, order].T, cmap=shades, vmin=-limit, vmax=limit, aspect="auto",
            interpolation="nearest",
        )  # fmt: skip
        ax.plot(held_out, np.full(len(held_out), -1.1), "v", color=ink_of(ax), ms=6, clip_on=False)
        ax.set_title(title, pad=24)
        ax.set(xlabel="bin of expression", ylim=(len(names) - 0.5, -0.5))
    axes[0].set_yticks(range(len(names)), names)
    canvas.colorbar(image, ax=axes, label="hits, in deviations over training bins", shrink=0.6)


def _oracle(ax: Axes, values: Any) -> None:
    bins = values["bins"]
    level = values["level"][bins]
    order = np.argsort(level)
    trained = values["level"][values["training"]]
    ax.axvspan(trained.max(), level.max() * 1.02, color=REAL, alpha=0.15, lw=0)
    series = [("promoters of the bin", values["goal"], REAL, "s")]
    colors = {"gde": ACCENT, "direction": OKABE_ITO[2], "label": OKABE_ITO[1]}
    series += [(name, values["oracle"][name], color, "o") for name, color in colors.items()]
    series.append(("markov", values["oracle"]["markov"], OKABE_ITO[3], "o"))
    for name, height, color, marker in series:
        width = 2.4 if name == "gde" else 1.3
        ax.plot(
            level[order], height[order], marker=marker, color=color, lw=width, ms=6, label=name
        )
    ax.set(xlabel="measured expression of the bin", ylabel="expression by the oracle")
    ax.legend(loc="upper left")
