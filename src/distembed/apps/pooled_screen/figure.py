"""Figures of a screen: cells that are drawn at held-out conditions, and the nuclear ratio."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from distembed.apps.application import Case, Drawing, Findings
from distembed.apps.pooled_screen.data import ScreenSettings
from distembed.report.style import ACCENT, REAL, ink_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

__all__ = ["figure"]


def figure(case: Case[ScreenSettings], findings: Findings) -> Sequence[Drawing]:
    """Draw real cells beside drawn ones, and the ratio of all conditions."""
    conditions = findings.values["conditions"][:8]
    shown = case.settings.shown

    def cells(canvas: Canvas) -> None:
        grid = canvas.subplots(1, len(conditions), squeeze=False)[0]
        high = np.quantile(np.concatenate([c.real for c in conditions]), 0.995, axis=(0, 2, 3))
        for ax, condition in zip(grid, conditions, strict=True):
            left = _column(condition.real[:shown], high)
            right = _column(condition.cells["gde"][:shown], high)
            gap = np.ones((left.shape[0], 3, 3))
            ax.imshow(np.concatenate([left, gap, right], axis=1))
            ax.set(xticks=[], yticks=[])
            ax.set_title(condition.name, fontsize=10)
            ax.set_xlabel("real | drawn", fontsize=9)
            for spine in ax.spines.values():
                spine.set_visible(False)

    drawings = [
        Drawing(
            "pooled_screen_cells",
            "Cells at conditions that were held out",
            "Each column is a condition of which no well was seen in training: real cells at the "
            "left, and at the right cells that the model draws from an embedding that is "
            "interpolated between the conditions beside it. The drawn cells of a row are made of "
            "one noise, so that they differ by the embedding alone. Blue is DNA, green is the "
            "second channel.",
            (960, 60 + 440 / max(len(conditions), 1) * shown),
            cells,
        )
    ]
    if "dose" in case.train.meta:
        drawings.append(
            Drawing(
                "pooled_screen_dose",
                "Nuclear ratio by dose",
                "One grey point is a training well, a black circle the cells of a held-out "
                "condition, and a blue cross those that are drawn for it. The ratio is that of "
                "the second channel in the nucleus over the ring around it, by a mask.",
                (860, 340),
                lambda canvas: _series(canvas, case, findings),
            )
        )
    return drawings


def _column(images: NDArray[Any], high: NDArray[Any]) -> NDArray[Any]:
    """Stack images of two channels into one column of colours, `(n H, W, 3)`."""
    x = np.clip(images / high[:, None, None], 0, 1)
    dna, signal = x[:, 0], x[:, 1]
    rgb = np.stack([0.25 * dna, np.maximum(signal, 0.35 * dna), dna], axis=-1)
    return rgb.reshape(-1, *rgb.shape[2:])


def _series(canvas: Canvas, case: Case[ScreenSettings], findings: Findings) -> None:
    values = findings.values
    drugs = np.unique(case.train.meta["group"]).tolist()
    axes = canvas.subplots(1, len(drugs), squeeze=False, sharey=True)[0]
    ratio = np.array([value for _, value in values["train"]])
    names = [c.name for c in values["conditions"]]
    for ax, drug in zip(axes, drugs, strict=True):
        own = case.train.meta["group"] == drug
        ax.scatter(
            case.train.meta["dose"][own], ratio[own], color=REAL, s=22, lw=0, label="training well"
        )
        _held_out(ax, case, values, names, drug)
        ax.set(xlabel="dose index", title=drug)
    axes[0].set_ylabel("log nuclear ratio")
    axes[0].legend(loc="upper left")


def _held_out(
    ax: Axes, case: Case[ScreenSettings], values: Any, names: list[str], drug: str
) -> None:
    place = {
        name: float(dose)
        for name, dose, group in zip(
            case.test.meta["condition"].tolist(), case.test.meta["dose"].tolist(),
            case.test.meta["group"].tolist(), strict=True,
        )
        if group == drug
    }  # fmt: skip
    rows = [i for i, name in enumerate(names) if name in place]
    dose = [place[names[i]] for i in rows]
    ax.scatter(
        dose, values["real"][rows], s=60, facecolor="none", edgecolor=ink_of(ax),
        label="real, held out",
    )  # fmt: skip
    ax.scatter(dose, values["drawn"][rows], s=60, color=ACCENT, marker="x", label="drawn")
