"""Figures of sets of vectors: scatter plots of two coordinates, histograms of single features.

Vectors of one or two features are drawn as they are. Those of more features are drawn by their
first two principal components in the ground space.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from distembed.report import plots
from distembed.report.figures import Figure, escaped, svg
from distembed.report.plane import principal_frame
from distembed.report.views import Budget

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure

    from distembed.model.gde import GDE
    from distembed.report.contributions import Change
    from distembed.report.samples import Pair, Path

__all__ = ["VectorView"]

_PAIR = "<figure><figcaption><strong>{}</strong></figcaption>{}</figure>"
_FIGURE = "<figure>{}</figure>"


class VectorView:
    """Two coordinates for scatter plots, and up to four features for histograms.

    The features are those whose means differ most between the sets, relative to the standard
    deviation of their atoms.

    Attributes:
        frame: Principal components in the ground space; None for one or two features.
        names: Names of the two coordinates.
        features: Columns with histograms.
        labels: Their names.
    """

    page = Budget(sets=4, atoms=1000, steps=11, path_atoms=150)
    overview = Budget(sets=3, atoms=400, steps=7, path_atoms=150)

    def __init__(self, model: GDE, pairs: Sequence[Pair], features: int = 4) -> None:
        self.model = model
        atoms = [pair.real.reshape(len(pair.real), -1) for pair in pairs]
        self.width = atoms[0].shape[1]
        labels = tuple(model.features or (f"feature {d + 1}" for d in range(self.width)))
        self.frame = None
        self.names = (labels[0], labels[-1])
        self.features, self.labels = tuple(range(self.width)), labels
        if self.width > 2:
            self.features = _contrasting(atoms, features)
            self.labels = tuple(labels[d] for d in self.features)
            ground = [_to_ground(model, pair.real[:250]) for pair in pairs]
            self.frame = principal_frame(np.concatenate(ground))
            self.names = self.frame.axes

    def project(self, x: np.ndarray) -> np.ndarray:
        """Return the two coordinates of atoms `(n, *event)`, `(n, 2)`."""
        if self.frame is None:
            return x.reshape(len(x), -1)
        return self.frame.project(_to_ground(self.model, x))

    def pairs(self, pairs: Sequence[Pair]) -> Figure:
        """Draw a scatter plot of the real and one of the generated atoms, above histograms."""
        html = [escaped(_PAIR, pair.id, self._pair(pair, k)) for k, pair in enumerate(pairs)]
        text = "Histograms of single features: real atoms filled, generated atoms as a line."
        return Figure(html, text, columns=2)

    def path(self, path: Path) -> Figure | None:
        """Draw the samples at the ends and in the middle; None for single numbers."""
        if self.width == 1:
            return None
        first, last = path.names
        steps = len(path.samples)
        alt = f"Generated atoms at {steps} steps from {first} to {last}."
        text = (
            f"Atoms drawn from the vector of {first} (blue), from that of {last} (orange), and "
            "from the vector half-way between, with the same noise. The line joins the means at "
            f"{steps} even steps."
        )
        drawing = svg(
            lambda canvas: self.draw_path(canvas.add_subplot(), path), (440, 360), "path", alt
        )
        return Figure([escaped(_FIGURE, drawing)], text, narrow=True)

    def contributions(self, change: Change) -> Figure:
        """Draw the atoms of two sets, coloured by their contributions."""
        first, second = (side.id for side in change.sides)
        alt = f"Atoms of {first} and of {second}, coloured by their contributions."
        text = "Blue atoms make the two sets differ, orange ones make them more alike."
        drawing = svg(
            lambda canvas: self.draw_contributions(canvas.subplots(1, 2), change),
            (560, 330), "owners", alt,
        )  # fmt: skip
        return Figure([escaped(_FIGURE, drawing)], text, narrow=True)

    def draw_pair(self, axes: tuple[Axes, Axes], pair: Pair) -> None:
        """Draw scatter plots on the same scales; of single numbers, histograms."""
        if self.width > 1:
            real, generated = self.project(pair.real), self.project(pair.generated)
            plots.real_and_generated(axes, real, generated, self.names)
            return
        plots.marginal_pair(axes, pair.real.ravel(), pair.generated.ravel(), self.names[0])

    def draw_path(self, ax: Axes, path: Path) -> None:
        """Draw the samples at the ends and in the middle; of single numbers, their quantiles."""
        if self.width == 1:
            samples = path.samples.reshape(len(path.samples), -1)
            plots.quantile_path(ax, samples, path.names, self.names[0])
            return
        points = np.stack([self.project(x) for x in path.samples])
        plots.interpolation_path(ax, points, self.names)

    def draw_contributions(self, axes: tuple[Axes, Axes], change: Change) -> None:
        """Draw the atoms of two sets, coloured by their contributions."""
        if self.width == 1:
            points = [np.column_stack([s.atoms.ravel(), 100 * s.share]) for s in change.sides]
            names = (self.names[0], "contribution in %")
        else:
            points, names = [self.project(side.atoms) for side in change.sides], self.names
        titles = [side.id for side in change.sides]
        colours = [side.share / change.limit for side in change.sides]
        plots.diverging_pair(axes, points, colours, titles, names)

    def paint_pairs(self, part: SubFigure, pairs: Sequence[Pair]) -> None:
        """Draw the first and the third pair into a panel."""
        for row, pair in enumerate(pairs[::2]):
            left, right = (
                part.add_axes((0.06 + 0.46 * c, 0.45 - 0.37 * row, 0.42, 0.34)) for c in range(2)
            )
            if self.width == 1:
                plots.marginal(left, pair.real.ravel(), pair.generated.ravel(), self.names[0])
                right.set_axis_off()
                continue
            real, generated = self.project(pair.real), self.project(pair.generated)
            plots.real_and_generated((left, right), real, generated)
            for ax in (left, right):
                ax.set_title("", loc="left")
                ax.set(xticks=[], yticks=[])

    def paint_path(self, part: SubFigure, path: Path) -> None:
        """Draw the samples of a path into a panel, which stays empty for single numbers."""
        axes = part.add_axes((0.15, 0.13, 0.8, 0.66))
        if self.width > 1:
            self.draw_path(axes, path)

    def _pair(self, pair: Pair, number: int) -> Any:
        rows = -(-len(self.features) // 2)
        heights = (0 if self.width == 1 else 220, 110 * rows)

        def paint(figure: Any) -> None:
            below = figure
            if heights[0]:
                above, below = figure.subfigures(2, 1, height_ratios=heights)
                self.draw_pair(above.subplots(1, 2), pair)
            axes = below.subplots(rows, min(2, len(self.features)), squeeze=False).flat
            for ax, d, label in zip(axes, self.features, self.labels, strict=False):
                real, generated = (
                    x.reshape(len(x), -1)[:, d] for x in (pair.real, pair.generated)
                )
                plots.marginal(ax, real, generated, label)
            for ax in list(axes)[len(self.features) :]:
                ax.set_axis_off()

        alt = (
            f"Set {pair.id}: {len(pair.real)} real atoms beside {len(pair.generated)} generated "
            f"ones, with histograms of {', '.join(self.labels)}."
        )
        return svg(paint, (440, sum(heights)), f"set-{number}", alt)


def _contrasting(atoms: Sequence[np.ndarray], count: int) -> tuple[int, ...]:
    """Return the columns whose means differ most between sets, in their order."""
    deviation = np.concatenate(atoms).std(0)
    means = np.stack([a.mean(0) for a in atoms])
    contrast = means.std(0) / np.where(deviation > 0, deviation, np.inf)
    return tuple(sorted(np.argsort(-contrast, kind="stable")[:count].tolist()))


def _to_ground(model: GDE, x: np.ndarray) -> np.ndarray:
    """Transform atoms `(n, *event)` to the ground space, `(n, G)`."""
    import torch

    state = next(model.atom_transform.buffers(), torch.empty(0))
    with torch.no_grad():
        y = model.atom_transform(torch.as_tensor(x, device=state.device))
    ground: np.ndarray = y.reshape(len(x), -1).double().cpu().numpy()
    return ground
