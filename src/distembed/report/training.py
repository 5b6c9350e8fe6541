"""The curves of a training run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from distembed.report.style import ACCENT, REAL

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["training_curves"]


def training_curves(
    ax: Axes, history: Sequence[Mapping[str, Any]], *, rate: Axes | None = None
) -> Axes:
    """Draw the losses of a run, and mark the step whose validation loss was lowest.

    The frame leaves out the steep beginning: it ends above the highest loss after the first
    tenth of the run.

    Args:
        ax: Where to draw.
        history: Records with `step`, and where known `loss`, `validation` and `lr`.
        rate: Axes for the learning rate.
    """
    step, loss = _series(history, "loss")
    ax.plot(step, loss, color=REAL, linewidth=1.2, label="training")
    at, validation = _series(history, "validation")
    shown = [loss[len(loss) // 10 :]]
    if len(at):
        ax.plot(at, validation, color=ACCENT, linewidth=1.8, label="validation, held-out sets")
        best = int(np.argmin(validation))
        ax.plot(at[best], validation[best], "o", color=ACCENT, label=f"best, step {at[best]:.0f}")
        shown.append(validation[len(validation) // 10 :])
    late = np.concatenate(shown)
    if len(late):
        pad = 0.06 * (float(np.ptp(late)) or 1.0)
        ax.set_ylim(float(late.min()) - pad, float(late.max()) + pad)
    ax.set_ylabel("loss")
    ax.legend(loc="upper right")
    lowest = ax if rate is None else rate
    if rate is not None:
        rate.plot(*_series(history, "lr"), color=ax.xaxis.label.get_color(), linewidth=1.2)
        rate.set(ylabel="rate", ylim=(0, None), xlim=ax.get_xlim())
        rate.locator_params("y", nbins=2)
        ax.tick_params(labelbottom=False)
    lowest.set_xlabel("step")
    return ax


def _series(history: Sequence[Mapping[str, Any]], key: str) -> tuple[np.ndarray, np.ndarray]:
    rows = [(r["step"], r[key]) for r in history if r.get(key) is not None]
    table = np.array(rows, dtype=float).reshape(-1, 2)
    table = table[np.isfinite(table).all(1)]
    return table[:, 0], table[:, 1]
