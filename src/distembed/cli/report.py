"""`distembed report`: one HTML page on a model and its held-out sets."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from distembed.cli.console import say, stage
from distembed.cli.options import Data, Force, Model, Pairs, Seed, Which, takes_data
from distembed.files import claim, parse_json
from distembed.registry import need

if TYPE_CHECKING:
    from distembed.evaluation.result import Evaluation

__all__ = ["report"]


@takes_data
def report(
    model: Model,
    data: Data = None,
    which: Which = "held-out",
    pairs: Pairs = 2000,
    color: Annotated[
        str | None,
        typer.Option(help="Metadata that colours the map, or `size`; default the best predicted."),
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
    """Write an HTML page: map, real and generated atoms, distances, scores, training curves.

    The scores are those of `distembed evaluate`, computed here unless --evaluation is given.

    Example: distembed report run --color egfr_class -o report.html
    """
    path = claim(output or model / "report.html", (".html",), force or output is None)
    need("matplotlib", "report")
    need("jinja2", "report")
    from distembed.cli.loading import test_sets
    from distembed.evaluation.evaluate import evaluate
    from distembed.model.gde import GDE
    from distembed.report import write_report
    from distembed.report.content import read_map

    gde = GDE.load(model)
    test = test_sets(model, gde, data, data_options, which)
    embeddings = gde.embed(test)
    read_map(embeddings, color)  # raises for an unknown column, before the evaluation
    if evaluation is None:
        scores = evaluate(gde, test, rng=seed, pairs=pairs, progress=say)
    else:
        scores = _stored_scores(evaluation, len(test))
    with stage("drawing"):
        write_report(
            path, model=gde, test=test, evaluation=scores, embeddings=embeddings, color=color
        )
    say(f"Open {path} in a browser.")


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
