"""The report: one HTML file about a cohort of sets, and about the model that embedded them.

All sets are on the map, in the comparison of groups and in the table of distances. What judges the
model is on held-out sets alone, and folded.

Every figure is an SVG, a PNG or drawn from JSON inside the file, every text is escaped, and a
content security policy forbids the page to load anything, and to run anything but the script of
the map, which it names by its hash. Without the script the map is a picture. The same model, sets
and date give the same bytes.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from distembed.evaluation.subject import training_sets
from distembed.files import claim, write_atomically
from distembed.registry import need
from distembed.report import figures
from distembed.report.content import Map, read_atoms, read_map
from distembed.report.contributions import Change, change_between, change_between_groups
from distembed.report.groups import GroupComparison, compare_groups, two_sides
from distembed.report.interactive import map_data, map_script
from distembed.report.plane import pca_plane, umap_plane
from distembed.report.results import TRUE_W2, metrics_of, p_text, w2_title
from distembed.report.samples import Between
from distembed.report.style import SEQUENTIAL
from distembed.report.text import (
    calibration_sentence,
    facts,
    findings,
    model_facts,
    pieces,
    setting_facts,
)
from distembed.report.views import view_of
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
    cohort: Collection | None = None,
    evaluation: Evaluation | None = None,
    embeddings: Embeddings | None = None,
    color: str | None = None,
    group: str | None = None,
    between: Between | None = None,
    title: str | None = None,
    data: str | None = None,
    date: str | None = None,
    rng: int = 0,
) -> Path:
    """Write an HTML report of a cohort and its model.

    Args:
        path: The HTML file. Its folder is made, and an old file is replaced atomically.
        model: A fitted model.
        test: Held-out sets, which judge the model; a warning is shown if it was trained on some.
        cohort: All sets, those of `test` among them: for the map, the comparison of groups and the
            distances. Those of `test` if left out.
        evaluation: Result of `evaluate` on `test`; without it there are no scores.
        embeddings: Embeddings of `cohort`; computed if left out.
        color: Metadata column that colours the map and whose groups are compared, or "size"; by
            default the column that neighbours on the map predict best.
        group: Metadata column of blocks of sets that belong together, as patients of samples,
            which the tests of groups respect.
        between: Ends of the interpolation, the ids of two sets of `test` or `{name: z}`; by
            default the two sets of the larger half that are farthest apart.
        title: Heading of the page.
        data: Name of the data, as it is printed.
        date: Date of the page, as it is printed; none if left out.
        rng: Seed of the permutations of tests.

    Returns:
        The path.

    Raises:
        ImportError: If matplotlib or jinja2 is not installed.
        ValueError: If there is no column `color` or `group`, no set of `between`, or a set of
            `test` is not in the cohort.
        OSError: If the file cannot be written.
    """
    need("matplotlib", "report")
    need("jinja2", "report")
    path = claim(path, force=True, make=True)
    cohort = test if cohort is None else cohort
    table = model.embed(cohort) if embeddings is None else embeddings
    if table.trained is None:
        table = replace(table, trained=np.isin(table.ids, training_sets(model, cohort)))
    held_out = table.select(_rows_of(table.ids, test.ids))
    content, card = read_map(table, color), model.card()
    trained = bool(model.history) and model.history[-1]["step"] > 0
    training_ids = held_out.ids[held_out.trained].tolist()
    comparison, change = _groups(model, cohort, table, content, color, group, rng)
    page = template("report.html.j2").render(
        title=title or data or f"{len(table):,} sets",
        version=__version__,
        trained_on=len(training_ids),
        facts=facts(model, cohort.atoms.name, table, len(held_out), data, date),
        model_facts=model_facts(model, card),
        features=model.features or (),
        findings=findings(held_out, model.population, training_ids),
        training=figures.training_figure(model.history) if trained else None,
        card=card,
        judged=len(held_out),
        p_text=p_text,
        **_map(content, table),
        comparison=comparison,
        features_tested=0 if comparison is None else len(comparison.differences),
        group=group,
        **_heat_map(model, table, content),
        **_atoms(model, test, held_out, between, change),
        **_evaluation(model, evaluation),
    )
    write_atomically(path, page)
    return path


def _rows_of(ids: np.ndarray, names: np.ndarray) -> np.ndarray:
    """Return the rows of sets by name.

    Raises:
        ValueError: If one is not there.
    """
    place = {str(name): row for row, name in enumerate(ids)}
    missing = [str(name) for name in names if str(name) not in place]
    if missing:
        raise ValueError(
            f"{len(missing)} of the {len(names)} held-out sets are not in the cohort, such as "
            f"{missing[0]!r}. Give as cohort all sets, and as test some of them."
        )
    return np.array([place[str(name)] for name in names], dtype=np.int64)


def _map(content: Map, table: Embeddings) -> dict[str, Any]:
    """Draw the sets on principal components, and by UMAP if it is installed."""
    planes = [p for p in (content.plane, umap_plane(table.z)) if p is not None]
    trained = np.zeros(len(table), dtype=bool) if table.trained is None else table.trained
    return {
        "column": content.column,
        "colours": content.colours,
        "gradient": ", ".join(SEQUENTIAL),
        "maps": [figures.map_figure(p, content.colours, table) for p in planes],
        "ellipses": table.cov is not None,
        "map_data": map_data(planes, table, content.column),
        "script": map_script(),
        "in_training": int(trained.sum()),
        "not_in_training": int((~trained).sum()),
    }


def _groups(
    model: GDE, cohort: Collection, table: Embeddings, content: Map,
    color: str | None, group: str | None, rng: int,
) -> tuple[GroupComparison | None, Change | None]:  # fmt: skip
    """Compare the groups of the column of the map, and attribute their difference to atoms."""
    if not content.column.among:
        return None, None
    comparison = compare_groups(table, cohort, color, group=group, rng=rng)
    sides = None if comparison.embeddings is None else two_sides(content.column, table.z)
    if sides is None or view_of(cohort.atoms.name) is None:
        return comparison, None
    return comparison, change_between_groups(model, cohort, sides)


def _heat_map(model: GDE, table: Embeddings, content: Map, largest: int = 300) -> dict[str, Any]:
    """Draw the distances of all pairs, or of every k-th set of a large cohort."""
    if len(table) < 3:
        return {"heat_map": None}
    rows = np.arange(len(table))[:: -(-len(table) // largest)]
    part = table.select(rows)
    calibrated = model.calibration.pairs > 0
    matrix = model.distances(part, calibrated=calibrated)
    matrix = (matrix + matrix.T) / 2
    colours = replace(
        content.colours, colors=content.colours.colors[rows], codes=content.colours.codes[rows]
    )
    title = "W2, from embeddings" if calibrated else "latent distance"
    ids = part.ids.astype(str).tolist()
    return {
        "heat_map": figures.distances_figure(matrix, ids, colours, title),
        "heat_map_sets": len(rows),
        "heat_map_title": title,
    }


def _atoms(
    model: GDE,
    test: Collection,
    held_out: Embeddings,
    between: Between | None,
    change: Change | None,
) -> dict[str, Any]:
    """Draw samples, a path and contributions; nothing if the kind of atoms has no view.

    The contributions are those of groups, or of two sets if there are no groups.
    """
    plane = pca_plane(held_out.z)
    atoms = read_atoms(model, test, held_out, plane, between, "page")
    if atoms is None:
        return {"samples": None, "path": None, "change": None, "contributions": None}
    of_groups = change is not None
    if change is None:
        change = change_between(model, test, held_out, between)
    return {
        "samples": atoms.view.pairs(atoms.pairs),
        "path": None if atoms.path is None else atoms.view.path(atoms.path),
        "change": change,
        "of_groups": of_groups,
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
    environment.filters["pieces"] = pieces
    return environment.get_template(name)
