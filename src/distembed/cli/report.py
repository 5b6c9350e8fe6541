"""`distembed report`: one HTML page that shows a model and its held-out sets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from distembed.cli.console import say, stage
from distembed.cli.options import Data, Force, Model, Pairs, Seed, Which, takes_data
from distembed.files import claim
from distembed.registry import need

__all__ = ["report"]


@takes_data
def report(
    model: Model,
    data: Data = None,
    which: Which = "held-out",
    pairs: Pairs = 2000,
    color: Annotated[
        str | None,
        typer.Option(help="Metadata that colours the map, or `size`; default the most telling."),
    ] = None,
    numbers: Annotated[
        Path | None,
        typer.Option("--evaluation", help="JSON of `distembed evaluate` on the same sets."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="An .html file; default MODEL/report.html."),
    ] = None,
    seed: Seed = 0,
    force: Force = False,
    *,
    chosen: Mapping[str, Any],
) -> None:
    """Write a page with the map, real beside generated atoms, distances, curves and numbers.

    The numbers are those of `distembed evaluate`, measured here unless `--evaluation` has them.

    Example: distembed report run --color egfr_class -o report.html
    """
    path = claim(output or model / "report.html", (".html",), force or output is None)
    need("matplotlib", "report")
    need("jinja2", "report")
    from distembed.cli.loading import test_sets
    from distembed.evaluation.evaluate import evaluate
    from distembed.evaluation.result import Evaluation
    from distembed.model.gde import GDE
    from distembed.report import write_report
    from distembed.report.colour import choose_column

    gde = GDE.load(model)
    test = test_sets(model, gde, data, chosen, which)
    embeddings = gde.embed(test)
    if color is not None:  # a misspelt name is said before the work
        choose_column(embeddings.z, embeddings.meta, embeddings.sizes, color)
    if numbers is None:
        evaluation = evaluate(gde, test, rng=seed, pairs=pairs, progress=say)
    else:
        evaluation = Evaluation.from_json(json.loads(numbers.read_text(encoding="utf-8")))
        if evaluation.settings.get("sets") != len(test):
            raise ValueError(
                f"{numbers} judges {evaluation.settings.get('sets')} sets, but these are "
                f"{len(test)}; it belongs to other sets."
            )
    with stage("drawing"):
        write_report(
            path,
            model=gde,
            test=test,
            evaluation=evaluation,
            embeddings=embeddings,
            color=color,
        )
    say(f"Open {path} in a browser.")
