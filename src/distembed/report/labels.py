"""Labels of a map, moved apart until no two overlap."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from distembed.report.style import literal

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Text

__all__ = ["moved_apart", "separate"]

Boxes = NDArray[np.float64]


def separate(ax: Axes, texts: Sequence[Text]) -> None:
    """Move texts in axes apart, along the shorter way, as they would be drawn now.

    Args:
        ax: The axes, with the points already drawn.
        texts: Their labels.
    """
    if len(texts) < 2:
        return
    figure: Any = ax.get_figure(root=True)
    literal(ax)
    figure.draw_without_rendering()
    extents = [text.get_window_extent() for text in texts]
    boxes = np.array([[e.x0, e.y0, e.x1, e.y1] for e in extents])
    for text, shift in zip(texts, moved_apart(boxes), strict=True):
        if shift.any():
            at = text.get_transform().transform(text.get_position()) + shift
            text.set_position(tuple(text.get_transform().inverted().transform(at)))


def moved_apart(boxes: Boxes, gap: float = 2.0, rounds: int = 200) -> NDArray[np.float64]:
    """Return the shift of each box after which no two overlap, `(K, 2)`.

    In every round two boxes that overlap are moved by half of their overlap each, up and down, as
    text is wide and low.

    Args:
        boxes: Left, bottom, right and top, `(K, 4)`.
        gap: Distance that is left between them.
        rounds: Largest number of rounds; many boxes in little space may overlap after them.

    Example:
        >>> moved_apart(np.array([[0.0, 0, 9, 2], [1, 1, 9, 3]]), gap=0).tolist()
        [[0.0, -0.5], [0.0, 0.5]]
    """
    shift = np.zeros((len(boxes), 2))
    for _ in range(rounds):
        moved = False
        for i in range(len(boxes)):
            for j in range(i):
                a, b = boxes[i, 1::2] + shift[i, 1], boxes[j, 1::2] + shift[j, 1]
                beside = min(boxes[i, 2], boxes[j, 2]) <= max(boxes[i, 0], boxes[j, 0])
                overlap = min(a[1], b[1]) - max(a[0], b[0]) + gap
                if beside or overlap <= 1e-6:
                    continue
                up = 1.0 if a.sum() >= b.sum() else -1.0
                shift[i, 1] += up * overlap / 2
                shift[j, 1] -= up * overlap / 2
                moved = True
        if not moved:
            break
    return shift
