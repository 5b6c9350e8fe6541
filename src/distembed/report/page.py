"""The report: one HTML file without scripts that describes a model and held-out sets.

Every figure is an SVG or a PNG inside the file, every text is escaped, and a content security
policy forbids the page to load or run anything. The same model and sets give the same bytes.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from distembed.evaluation.subject import training_sets
from distembed.files import claim, write_atomically
from distembed.registry import need
from distembed.report import figures
from distembed.report.content import Map, read_atoms, read_map
from distembed.report.contributions import change_between
from distembed.report.plane import Plane, umap_plane
from distembed.report.results import TRUE_W2, metrics_of, w2_title
from distembed.report.samples import Between
from distembed.report.style import SEQUENTIAL
from distembed.report.text import calibration_sentence, facts, findings, setting_facts
from distembed.version import __version__

if TYPE_CHECKING:
    from distembed.evaluation.result import Evaluation
    from distembed.model.embeddings import Embeddings
    from distembed.model.gde import GDE
    from distembed.protocols import Collection

__all__ = ["template", "write_report"]


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
    """Write an HTML report of a model on held-out sets, with a warning if it was trained on some.

    Args:
        path: The HTML file. Its folder is made, and an old file is replaced atomically.
        model: A fitted model.
        test: Held-out sets.
        evaluation: Result of `evaluate`; without it there are no scores and no distances.
        embeddings: Embeddings of `test`; computed if left out.
        color: Metadata column that colours the map, or "size"; by default the column that
            neighbours on the map predict best.
        between: Ends of the interpolation, the ids of two sets or `{name: z}`; by default the two
            sets of the larger half that are farthest apart.
        title: Heading of the page.

    Returns:
        The path.

    Raises:
        ImportError: If matplotlib or jinja2 is not installed.
        ValueError: If there is no column `color`, or no set of `between`.
        OSError: If the file cannot be written.
    """
    need("matplotlib", "report")
    need("jinja2", "report")
    path = claim(path, force=True, make=True)
    if embeddings is None:
        embeddings = model.embed(test)
    content, card = read_map(embeddings, color), model.card()
    training_ids = training_sets(model, test)
    page = template("report.html.j2").render(
        title=title,
        version=__version__,
        trained_on=len(training_ids),
        facts=facts(model, card, test, embeddings),
        findings=findings(embeddings, model.population, training_ids),
        training=figures.training_figure(model.history) if model.history else None,
        card=card,
        **_map(content, embeddings),
        **_atoms(model, test, embeddings, content.plane, between),
        **_evaluation(model, evaluation),
    )
    write_atomically(path, page)
    return path


def _map(content: Map, embeddings: Embeddings) -> dict[str, Any]:
    """Draw the sets on principal components, and by UMAP if it is installed."""
    planes = [p for p in (content.plane, umap_plane(embeddings.z)) if p is not None]
    return {
        "column": content.column,
        "colours": content.colours,
        "gradient": ", ".join(SEQUENTIAL),
        "maps": [figures.map_figure(p, content.colours, embeddings) for p in planes],
        "ellipses": embeddings.cov is not None,
    }


def _atoms(
    model: GDE, test: Collection, embeddings: Embeddings, plane: Plane, between: Between | None
) -> dict[str, Any]:
    """Draw samples, a path and contributions; nothing if the kind of atoms has no view."""
    atoms = read_atoms(model, test, embeddings, plane, between, "page")
    if atoms is None:
        return {"samples": None, "path": None, "change": None, "contributions": None}
    change = change_between(model, test, embeddings, between)
    return {
        "samples": atoms.view.pairs(atoms.pairs),
        "path": atoms.view.path(atoms.path),
        "change": change,
        "contributions": atoms.view.contributions(change) if change else None,
    }


def _evaluation(model: GDE, evaluation: Evaluation | None) -> dict[str, Any]:
    """Place the scores of an evaluation, and draw its distances."""
    if evaluation is None:
        return {"metrics": (), "settings": (), "distances": None}
    content: dict[str, Any] = {
        "metrics": metrics_of(evaluation.rows),
        "settings": setting_facts(evaluation.settings),
        "distances": None,
    }
    if len(evaluation.pairs.w2):
        w2 = w2_title(evaluation.settings)
        band = figures.interval_band(model.calibration)
        content |= {
            "pairs": len(evaluation.pairs.w2),
            "w2": w2,
            "line": calibration_sentence(model.calibration, w2 == TRUE_W2),
            "beyond": model.calibration.warning(evaluation.pairs.latent),
            "band": band,
            "distances": figures.distance_figure(evaluation.pairs, model.calibration, w2, band),
        }
    return content


def template(name: str) -> Any:
    """Return a template of a page, in which all text is escaped."""
    jinja2 = need("jinja2", "report")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "template"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)
