"""The report: one HTML file without scripts that holds all that is known about a model.

Every figure is an SVG or a PNG inside the file, every text is escaped, and the page forbids
itself to load or run anything. The same model and sets give the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from distembed.evaluation.subject import training_sets
from distembed.files import claim, write_atomically
from distembed.registry import need
from distembed.report import figures
from distembed.report.certainty import calibration_band, findings
from distembed.report.colour import choose_column, colouring
from distembed.report.contributions import change_between
from distembed.report.images import are_images
from distembed.report.markdown import to_html
from distembed.report.plane import pca_plane, spread_along, umap_plane
from distembed.report.results import TRUE_W2, metrics_of, w2_title
from distembed.report.samples import Between, interpolate, read_pairs
from distembed.report.style import SEQUENTIAL
from distembed.version import __version__

if TYPE_CHECKING:
    from distembed.evaluation.result import Evaluation
    from distembed.geometry.distance import Calibration
    from distembed.model.embeddings import Embeddings
    from distembed.model.gde import GDE
    from distembed.protocols import Collection

__all__ = ["write_report"]

_SETS = 4
_ATOMS = 1000
_IMAGES = 36
_ROUND = 10
"""Atoms that an ellipse is drawn from."""


@dataclass(frozen=True)
class Fact:
    """One entry of the page's head."""

    name: str
    value: str


def write_report(
    path: str | Path,
    *,
    model: GDE,
    test: Collection,
    evaluation: Evaluation | None = None,
    embeddings: Embeddings | None = None,
    color: str | None = None,
    between: Between | None = None,
    title: str = "Embedded distributions",
) -> Path:
    """Write a report of a model on sets that it should not have seen; it says if it has.

    Args:
        path: The HTML file; its folder is made, and an old file is replaced in one go.
        model: A fitted model.
        test: Held-out sets.
        evaluation: What `evaluate` returned; without it there is no table and no distance plot.
        embeddings: Of `test`; computed where left out.
        color: Metadata column that colours the map, or "size"; the most informative one where
            left out.
        between: Ends of the interpolation, ids of two sets or `{name: z}`; the two sets that are
            farthest apart where left out, of the larger half.
        title: Heading of the page.

    Returns:
        The path.

    Raises:
        ImportError: If matplotlib or jinja2 is not installed.
        ValueError: If `color` or `between` names nothing.
        OSError: If the file cannot be written.
    """
    need("matplotlib", "report")
    need("jinja2", "report")
    path = claim(path, force=True, make=True)
    if embeddings is None:
        embeddings = model.embed(test)
    column = choose_column(embeddings.z, embeddings.meta, embeddings.sizes, color)
    colours = colouring(column.name, column.values)
    plane = pca_plane(embeddings.z)
    chosen = spread_along(plane, _SETS)
    seen = training_sets(model, test)
    content: dict[str, Any] = {
        "title": title,
        "version": __version__,
        "seen": len(seen),
        "facts": _facts(model, embeddings),
        "column": column,
        "colours": colours,
        "gradient": ", ".join(SEQUENTIAL),
        "maps": [
            figures.map_figure(p, colours, _round(embeddings), embeddings.df)
            for p in (plane, umap_plane(embeddings.z))
            if p is not None
        ],
        "ellipses": embeddings.cov is not None,
        "certainty": findings(embeddings, model.population, seen),
        "training": figures.training_figure(model.history) if model.history else None,
        "card": figures.markup(to_html(str(model.card()))),
        "metrics": metrics_of(evaluation.rows) if evaluation is not None else (),
        "settings": _settings(evaluation.settings) if evaluation is not None else (),
        "distances": None,
        "pictures": (),
        "vectors": (),
        "path": None,
        "change": None,
        "owners": (),
        "owners_figure": None,
        "band": None,
    }
    if evaluation is not None and len(evaluation.pairs.w2):
        content["pairs"] = len(evaluation.pairs.w2)
        w2 = w2_title(evaluation.settings)
        content["w2"] = w2
        content["line"] = _line(model.calibration, w2 == TRUE_W2)
        content["band"] = band = calibration_band(model.calibration)
        content["distances"] = figures.distance_figure(
            evaluation.pairs, model.calibration, w2, band
        )
    if test.dtype.is_floating_point:
        pictures = are_images(tuple(test.event_shape))
        n = _IMAGES if pictures else _ATOMS
        pairs = read_pairs(model, test, embeddings, chosen, n)
        way = interpolate(model, test, embeddings, between, steps=11, n=5 if pictures else 150)
        content |= {"names": way.names, "steps": len(way.samples), "ends": way.real is not None}
        change = change_between(model, test, embeddings, between)
        content["change"] = change
        if pictures:
            content["pictures"] = figures.pictures(pairs)
            content["path"] = figures.strip(way, pairs)
            content["owners"] = figures.owners(change, pairs) if change else ()
        else:
            content["vectors"] = figures.vectors(model, pairs)
            content["path"] = figures.way_figure(model, way, pairs)
            if change:
                content["owners_figure"] = figures.owners_figure(model, change, pairs)
    page = _template().render(content)
    write_atomically(path, page)
    return path


def _template() -> Any:
    jinja2 = need("jinja2", "report")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "page"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2")


def _facts(model: GDE, embeddings: Embeddings) -> list[Fact]:
    sizes = np.asarray(embeddings.sizes)
    shape = tuple(model.event_shape)
    images = are_images(shape)
    size = " × ".join(str(side) for side in shape if side > 1 or not images)
    atom = f"{size} {'images' if images else 'numbers'}".strip()
    low, middle, high = (f"{v:,.0f}" for v in (sizes.min(), np.median(sizes), sizes.max()))
    facts = [
        Fact("sets", f"{len(sizes):,}"),
        Fact("atoms in a set", low if low == high else f"{low} to {high} (median {middle})"),
        Fact("an atom is", atom),
        Fact("embedding", f"{model.latent} numbers"),
    ]
    parts = (model.spec.encoder, model.spec.generator)
    names = [part if isinstance(part, str) else type(part).__name__ for part in parts]
    facts.append(Fact("encoder and generator", " and ".join(names)))
    if model.history:
        last = model.history[-1]
        spent = f", {last['seconds']:,.0f} s" if last.get("seconds") else ""
        facts.append(Fact("training", f"{last['step']:,.0f} steps{spent}"))
    return facts


def _line(calibration: Calibration, exact: bool) -> str:
    if not calibration.pairs:
        return "The model is not calibrated; on the line the two are equal."
    error = f", with a median error of {calibration.error:.0%}" if calibration.error >= 0 else ""
    text = f"The line is the calibration by which the model reads one as the other{error}."
    if exact:
        return text
    return f"{text} Sampling of small sets adds to W2 of samples, and lifts the cloud above it."


def _round(embeddings: Embeddings) -> np.ndarray | None:
    """Covariances without those of sets of a few atoms, whose ellipses would be lines."""
    if embeddings.cov is None:
        return None
    enough = embeddings.effective_sizes >= _ROUND
    return np.where(enough[:, None, None], embeddings.cov, np.nan)


def _settings(settings: Mapping[str, Any]) -> list[Fact]:
    return [Fact(str(k).replace("_", " "), _short(v)) for k, v in settings.items()]


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(_short, value))
    return str(value)
