"""The figures of the report: what `plots` draws, sized for a page and described in words.

A figure is about 460 pixels wide, so that two stand side by side on a desk and one fills a phone
with its text still readable.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from distembed.registry import need
from distembed.report import plots
from distembed.report.contributions import draw_shares, located
from distembed.report.images import Tone, as_images, data_uri, mosaic, tone_of
from distembed.report.samples import project, view_of
from distembed.report.svg import draw

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from distembed.evaluation.result import Pairs
    from distembed.geometry.distance import Calibration
    from distembed.model.gde import GDE
    from distembed.report.colour import Colouring
    from distembed.report.contributions import Change
    from distembed.report.plane import Plane
    from distembed.report.samples import Pair, Path

__all__ = [
    "distance_figure",
    "map_figure",
    "markup",
    "owners",
    "owners_figure",
    "pictures",
    "strip",
    "training_figure",
    "vectors",
    "way_figure",
]


@dataclass(frozen=True)
class Picture:
    """A mosaic of images.

    Attributes:
        source: Address of the PNG, inside the page.
        ink: Whether it is ink on transparent paper, which a dark page inverts.
        width: In pixels.
        height: In pixels.
    """

    source: str
    ink: bool
    width: int
    height: int


@dataclass(frozen=True)
class Sample:
    """A drawing of one set."""

    id: str
    svg: Any


@dataclass(frozen=True)
class Beside:
    """Real images of a set and generated ones."""

    id: str
    real: Picture
    generated: Picture


@dataclass(frozen=True)
class Owners:
    """The images of a set that own most of a change.

    Attributes:
        id: The set.
        picture: Its images, the largest share first.
        own: What these own together, 0.1 for a tenth.
        shown: How many they are.
        asked: Of how many.
        size: Of how many in the set.
    """

    id: str
    picture: Picture
    own: float
    shown: int
    asked: int
    size: int


def map_figure(
    plane: Plane,
    colours: Colouring,
    cov: np.ndarray | None = None,
    df: np.ndarray | None = None,
) -> Any:
    """Draw the embedding map, with ellipses where there are covariances."""

    def paint(figure: Figure) -> None:
        plots.embedding_map(figure.add_subplot(), plane, colours, cov=cov, df=df)

    spread = np.ptp(plane.points, axis=0)
    height = float(np.clip(380 * spread[1] / max(spread[0], 1e-12), 240, 380))
    alt = (
        f"Scatter of {len(plane.points)} sets, one point each, by {plane.axes[0]} and "
        f"{plane.axes[1]} of their embeddings, coloured by {colours.name}."
    )
    return _svg(paint, (440, height), f"map-{plane.method.lower()}", alt)


def distance_figure(
    pairs: Pairs, calibration: Calibration, w2: str, band: tuple[float, float] | None = None
) -> Any:
    """Draw latent distance against W2, titled `w2`, with the calibration and a band around it."""

    def paint(figure: Figure) -> None:
        ax = figure.add_subplot()
        plots.distance_scatter(ax, pairs.latent, pairs.w2, line=calibration, band=band, title=w2)

    alt = f"Scatter of {len(pairs.w2)} pairs of sets: latent distance against {w2}."
    return _svg(paint, (440, 370), "distances", alt)


def training_figure(history: Sequence[Mapping[str, Any]]) -> Any:
    """Draw the losses, and the learning rate below them where it is known."""
    rated = any(row.get("lr") is not None for row in history)

    def paint(figure: Figure) -> None:
        if not rated:
            plots.training_curves(figure.add_subplot(), history)
            return
        upper, lower = figure.subplots(2, 1, height_ratios=(4, 1))
        plots.training_curves(upper, history, rate=lower)

    alt = f"Training and validation loss by step, up to step {history[-1]['step']:.0f}."
    return _svg(paint, (440, 330), "training", alt)


def vectors(model: GDE, pairs: list[Pair]) -> list[Sample]:
    """Draw each set and its imitation: a scatter of both, and marginals of some features."""
    view = view_of(model, pairs)
    rows = -(-len(view.features) // 2)
    heights = (0 if pairs[0].real[0].size == 1 else 220, 110 * rows)

    def sample_of(pair: Pair, number: int) -> Sample:
        def paint(figure: Figure) -> None:
            below: Any = figure
            if heights[0]:
                parts: Any = figure.subfigures(2, 1, height_ratios=heights)
                above, below = parts
                left, right = above.subplots(1, 2)
                real, generated = (project(model, view, x) for x in (pair.real, pair.generated))
                plots.real_and_generated((left, right), real, generated, view.names)
            axes = below.subplots(rows, min(2, len(view.features)), squeeze=False).flat
            for ax, d, label in zip(axes, view.features, view.labels, strict=False):
                real, generated = (
                    x.reshape(len(x), -1)[:, d] for x in (pair.real, pair.generated)
                )
                plots.marginal(ax, real, generated, label)
            for ax in list(axes)[len(view.features) :]:
                ax.set_axis_off()

        alt = (
            f"Set {pair.id}: {len(pair.real)} real atoms beside {len(pair.generated)} generated "
            f"ones, with histograms of {', '.join(view.labels)}."
        )
        svg = _svg(paint, (440, sum(heights)), f"set-{number}", alt)
        return Sample(pair.id, svg)

    return [sample_of(pair, number) for number, pair in enumerate(pairs)]


def way_figure(model: GDE, way: Path, pairs: list[Pair]) -> Any | None:
    """Draw the samples on the way between two sets; None where an atom is one number."""
    if way.samples[0, 0].size == 1:
        return None
    view = view_of(model, pairs)
    points = np.stack([project(model, view, x) for x in way.samples])

    def paint(figure: Figure) -> None:
        plots.interpolation_path(figure.add_subplot(), points, view.names)

    alt = f"Generated atoms at {len(points)} steps from {way.names[0]} to {way.names[1]}."
    return _svg(paint, (440, 360), "path", alt)


def pictures(pairs: list[Pair], columns: int = 6) -> list[Beside]:
    """Lay out real and generated images of each set, in the tone of all real ones."""
    tone = _tone(pairs)
    return [
        Beside(
            p.id,
            *(_picture(mosaic(as_images(x), columns, tone), tone) for x in (p.real, p.generated)),
        )
        for p in pairs
    ]


def strip(way: Path, pairs: list[Pair], width: int = 1600) -> Picture:
    """Lay out a path of images, a column a step and a row a noise, between its real ends."""
    tone = _tone(pairs)
    steps = len(way.samples)
    rows = as_images(way.samples.swapaxes(0, 1).reshape(-1, *way.samples.shape[2:]))
    page = mosaic(rows, steps, tone, width)
    if way.real is not None:
        first, last = (mosaic(as_images(x), 1, tone, width // steps) for x in way.real)
        space = np.zeros((len(page), first.shape[1] // 2, 4), np.uint8)
        page = np.concatenate([first, space, page, space, last], axis=1)
    return _picture(page, tone)


def owners(change: Change, pairs: list[Pair], most: int = 12) -> list[Owners]:
    """Lay out the images of either set that own most of the change between the two."""
    tone, out = _tone(pairs), []
    for side in change.sides:
        top = np.argsort(-side.share, kind="stable")[:most]
        picture = _picture(mosaic(as_images(side.atoms[top]), 6, tone), tone)
        own = float(side.share[top].sum())
        out.append(Owners(side.id, picture, own, len(top), len(side.atoms), side.size))
    return out


def owners_figure(model: GDE, change: Change, pairs: list[Pair]) -> Any:
    """Draw the atoms of two sets, coloured by what they own of the change between the two."""
    view = view_of(model, pairs)
    left, right = (located(model, view, side) for side in change.sides)
    names = view.names if change.sides[0].atoms[0].size > 1 else (view.names[0], "share in %")

    def paint(figure: Figure) -> None:
        draw_shares(figure.subplots(1, 2), (left, right), change, names)

    first, second = change.sides
    alt = (
        f"Atoms of {first.id} and of {second.id}, coloured by what each owns of the change from "
        "one to the other."
    )
    return _svg(paint, (560, 330), "owners", alt)


def _tone(pairs: list[Pair]) -> Tone:
    return tone_of(np.concatenate([as_images(p.real) for p in pairs]))


def _picture(page: np.ndarray, tone: Tone) -> Picture:
    return Picture(data_uri(page), bool(tone.paper), page.shape[1], page.shape[0])


def _svg(paint: Any, size: tuple[float, float], name: str, alt: str) -> Any:
    return markup(draw(paint, size, name=name, alt=alt))


def markup(safe: str) -> Any:
    """Tell the template that a text is HTML already, with everything in it escaped."""
    return need("markupsafe", "report").Markup(safe)
