"""Figures of sets of images: mosaics of real and of generated ones, in one tone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from distembed.report import plots
from distembed.report.figures import Figure, escaped
from distembed.report.mosaic import as_images, data_uri, mosaic, tone_of
from distembed.report.style import shortened
from distembed.report.views import Budget

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure

    from distembed.model.gde import GDE
    from distembed.report.contributions import Change, Side
    from distembed.report.samples import Pair, Path

__all__ = ["ImageView"]

_BESIDE = (
    '<figure><figcaption><strong>{}</strong></figcaption><div class="beside"><div>{}<span>real'
    '</span></div><div>{}<span class="made">generated</span></div></div></figure>'
)
_PATH = '<figure>{}<p class="ends"><span>{}</span><span>{}</span></p></figure>'
_SIDE = (
    "<figure><figcaption><strong>{}</strong>: these {} of {} images account for {:.0%}"
    "</figcaption>{}</figure>"
)


class ImageView:
    """Mosaics in the tone of all real images that are shown."""

    page = Budget(sets=4, atoms=36, steps=11, path_atoms=5, coupled=128)
    overview = Budget(sets=3, atoms=24, steps=7, path_atoms=3, coupled=128)

    def __init__(self, model: GDE, pairs: Sequence[Pair]) -> None:
        self.tone = tone_of(np.concatenate([as_images(pair.real) for pair in pairs]))

    def pairs(self, pairs: Sequence[Pair]) -> Figure:
        """Draw real images of each set beside generated ones."""
        html = [
            escaped(
                _BESIDE,
                pair.id,
                self._picture(mosaic(as_images(pair.real), 6, self.tone), f"real, {pair.id}"),
                self._picture(
                    mosaic(as_images(pair.generated), 6, self.tone), f"generated, {pair.id}"
                ),
            )
            for pair in pairs
        ]
        return Figure(html, columns=2)

    def path(self, path: Path) -> Figure:
        """Draw one column a step and one row a noise, and below it the path of optimal transport.

        The samples through z stand between real images of the two ends.
        """
        steps, (first, last) = len(path.samples), path.names
        picture = mosaic(as_images(_by_row(path.samples)), steps, self.tone, width=1600)
        text = (
            f"Each column has images drawn from one vector on the line from {first} to {last}; "
            "each row keeps its noise."
        )
        if path.real is not None:
            text += " The first and the last column are real images of the two sets."
            before, after = (
                mosaic(as_images(x), 1, self.tone, width=1600 // steps) for x in path.real
            )
            space = np.zeros((len(picture), before.shape[1] // 2, 4), np.uint8)
            picture = np.concatenate([before, space, picture, space, after], axis=1)
        alt = f"path from {first} to {last}"
        html = [escaped(_PATH, self._picture(picture, alt), first, last)]
        if path.displaced is not None:
            text += (
                " The second picture is the shortest path in W2: images of the one end, each "
                "blended pixel by pixel into the image of the other end that optimal transport "
                "assigns to it. Where the two agree, common noise moves images as transport does."
            )
            moved = mosaic(as_images(_by_row(path.displaced)), steps, self.tone, width=1600)
            html.append(escaped(_PATH, self._picture(moved, f"transport, {alt}"), first, last))
        return Figure(html, text)

    def contributions(self, change: Change, count: int = 12) -> Figure:
        """Draw the images of either set with the largest contributions, at most `count`."""
        html = []
        for side in change.sides:
            rows = _largest(side, count)
            picture = self._picture(
                mosaic(as_images(side.atoms[rows]), 6, self.tone),
                f"images of {side.id} with the largest contributions",
            )
            share = float(side.share[rows].sum())
            html.append(escaped(_SIDE, side.id, len(rows), len(side.atoms), share, picture))
        return Figure(html, "Shown are the images with the largest contributions.", columns=2)

    def draw_pair(self, axes: tuple[Axes, Axes], pair: Pair) -> None:
        """Draw a mosaic of real and one of generated images."""
        parts = (("real", pair.real), ("generated", pair.generated))
        for ax, (title, x) in zip(axes, parts, strict=True):
            plots.image_grid(ax, x, 6, tone=self.tone)
            ax.set_title(title, loc="left")

    def draw_path(self, ax: Axes, path: Path) -> None:
        """Draw one column a step and one row a noise."""
        plots.image_grid(ax, _by_row(path.samples), len(path.samples), tone=self.tone)

    def draw_contributions(self, axes: tuple[Axes, Axes], change: Change) -> None:
        """Draw the twelve images of either set with the largest contributions."""
        for ax, side in zip(axes, change.sides, strict=True):
            rows = _largest(side, 12)
            plots.image_grid(ax, side.atoms[rows], 6, tone=self.tone)
            ax.set_title(f"{shortened(side.id, 20)}: {side.share[rows].sum():.0%}", loc="left")

    def paint_pairs(self, part: SubFigure, pairs: Sequence[Pair]) -> None:
        """Draw three rows of real and generated images into a panel."""
        for row, pair in enumerate(pairs[:3]):
            for column, x in enumerate((pair.real, pair.generated)):
                box = (0.06 + 0.46 * column, 0.572 - 0.246 * row, 0.42, 0.218)
                plots.image_grid(part.add_axes(box, anchor="NW"), x, 6, tone=self.tone)

    def paint_path(self, part: SubFigure, path: Path) -> None:
        """Draw one column a step into a panel: rows of one noise above, displaced images below."""
        rows = (
            ("samples of the vectors between", 0.45, path.samples),
            ("optimal transport of pixels", 0.06, path.displaced),
        )
        for label, bottom, x in rows:
            if x is not None:
                part.text(0.06, bottom + 0.325, label, size=12, va="bottom")
                axes = part.add_axes((0.06, bottom, 0.9, 0.31), anchor="NW")
                plots.image_grid(axes, _by_row(x), len(x), tone=self.tone)

    def _picture(self, page: np.ndarray, alt: str) -> Any:
        """Write an `<img>`; a dark page inverts ink on transparent paper."""
        ink = escaped(' class="ink"') if self.tone.paper else ""
        height, width = page.shape[:2]
        template = '<img src="{}" width="{}" height="{}" alt="{}"{}>'
        return escaped(template, data_uri(page), width, height, f"Images: {alt}", ink)


def _largest(side: Side, count: int) -> np.ndarray:
    """Return the atoms with the largest contributions, at most `count`."""
    rows: np.ndarray = np.argsort(-side.share, kind="stable")[:count]
    return rows


def _by_row(x: np.ndarray) -> np.ndarray:
    """Order the images of a path `(T, n, *event)` by row, then by step, `(n T, *event)`."""
    return x.swapaxes(0, 1).reshape(-1, *x.shape[2:])
