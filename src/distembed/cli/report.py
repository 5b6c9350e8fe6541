"""`distembed report`: one HTML page on a cohort and its model."""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from distembed.cli.console import counted, say, stage
from distembed.cli.options import Data, Force, Model, Pairs, Seed, Which, takes_data
from distembed.data.readers.files import is_pattern
from distembed.files import claim, parse_json
from distembed.registry import need

if TYPE_CHECKING:
    from distembed.evaluation.result import Evaluation
    from distembed.model.gde import GDE

__all__ = ["report"]


@takes_data
def report(
    model: Model,
    data: Data = None,
    which: Which = "held-out",
    pairs: Pairs = 2000,
    color: Annotated[
        str | None,
        typer.Option(
            help="Metadata that colours the map and whose groups are compared, or `size`; default "
            "the best predicted."
        ),
    ] = None,
    group: Annotated[
        str | None,
        typer.Option(help="Column of blocks that the tests respect, as patients of samples."),
    ] = None,
    title: Annotated[
        str | None, typer.Option(help="Heading of the page; default the name of the data.")
    ] = None,
    evaluation: Annotated[
        Path | None, typer.Option(help="JSON of `distembed evaluate` on the same sets.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="An .html file; default MODEL/report.html."),
    ] = None,
    seed: Seed = 0,
    force: Force = False,
    *,
    data_options: Mapping[str, Any],
) -> None:
    """Write an HTML page: map of all sets, groups compared, samples, distances, and the model.

    The model is judged on held-out sets alone, by the scores of `distembed evaluate`, computed
    here unless --evaluation is given.

    Example: distembed report run --color egfr_class -o report.html
    """
    path = claim(output or model / "report.html", (".html",), force or output is None)
    need("matplotlib", "report")
    need("jinja2", "report")
    from distembed.cli.loading import held_out, open_sets
    from distembed.evaluation.evaluate import evaluate
    from distembed.model.gde import GDE
    from distembed.report import write_report
    from distembed.report.content import read_map

    gde = GDE.load(model)
    cohort = open_sets(gde, data, data_options)
    test = held_out(model, cohort, data, which)
    with stage(f"embedding {counted(len(cohort), 'set')}"):
        embeddings = gde.embed(cohort)
    read_map(embeddings, color)  # raises for an unknown column, before the evaluation
    if group is not None:
        read_map(embeddings, group)
    if evaluation is None:
        scores = evaluate(gde, test, rng=seed, pairs=pairs, progress=say)
    else:
        scores = _stored_scores(evaluation, len(test))
    with stage("drawing"):
        write_report(
            path, model=gde, test=test, cohort=cohort, evaluation=scores, embeddings=embeddings,
            color=color, group=group, title=title, data=_data_name(gde, data), date=_today(),
            rng=seed,
        )  # fmt: skip
    say(f"Open {path} in a browser.")


def _data_name(gde: GDE, data: str | None) -> str | None:
    """Return the name of the file of the data, and the columns that name its sets."""
    fitted = gde.notes.get("data", {})
    path = data or fitted.get("path")
    if path is None:
        return None
    by = fitted.get("by")
    names = [by] if isinstance(by, str) else list(by or ())
    return _file_name(path) + (f" by {', '.join(names)}" if names else "")


def _file_name(path: str) -> str:
    """Return the name of a file, or that of the folder of the files of a pattern."""
    if not is_pattern(path):
        return Path(path).name
    parts = itertools.takewhile(lambda part: not set(part) & set("*?{"), Path(path).parts)
    return Path(*parts).resolve().name or path


def _today() -> str:
    """Return the date, or that of SOURCE_DATE_EPOCH, by which builds are reproducible."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    now = datetime.now(UTC) if epoch is None else datetime.fromtimestamp(int(epoch), UTC)
    return now.date().isoformat()


def _stored_scores(path: Path, sets: int) -> Evaluation:
    """Read an evaluation.

    Raises:
        ValueError: If it is damaged, or of another number of sets.
    """
    from distembed.evaluation.result import Evaluation

    try:
        scores = Evaluation.from_json(parse_json(path.read_text(encoding="utf-8")))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    if scores.settings.get("sets") != sets:
        raise ValueError(
            f"{path} is an evaluation of {scores.settings.get('sets')} sets, but there are {sets} "
            "sets here. Evaluate these sets, or leave --evaluation out."
        )
    return scores
