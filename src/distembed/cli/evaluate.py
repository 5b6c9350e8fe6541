"""`distembed evaluate`: metrics of a model on held-out sets, beside baselines and floors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from distembed.cli.console import say
from distembed.cli.options import Data, Force, Model, Pairs, Seed, Which, takes_data
from distembed.files import claim, write_atomically

__all__ = ["evaluate"]


@takes_data
def evaluate(
    model: Model,
    data: Data = None,
    which: Which = "held-out",
    pairs: Pairs = 2000,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="A .json file; default MODEL/evaluation.json."),
    ] = None,
    seed: Seed = 0,
    force: Force = False,
    *,
    data_options: Mapping[str, Any],
) -> None:
    """Evaluate samples and distances on held-out sets, beside baselines and floors.

    Sets that the model was trained on are refused. `torchrun --nproc-per-node N -m distembed
    evaluate ...` shares out the embedding to N processes.

    Example: distembed evaluate run -o evaluation.json
    """
    path = claim(output or model / "evaluation.json", (".json",), force or output is None)
    from distembed.cli.loading import test_sets
    from distembed.evaluation.evaluate import evaluate as run
    from distembed.model.gde import GDE
    from distembed.training.distributed import process_group

    gde = GDE.load(model)
    with process_group() as ranks:
        gde.inference = replace(gde.inference, ranks=ranks)
        test = test_sets(model, gde, data, data_options, which)
        evaluation = run(gde, test, rng=seed, pairs=pairs, progress=say)
    if ranks.first:
        write_atomically(path, json.dumps(evaluation.to_json()) + "\n")
        typer.echo(evaluation.table())
    say(str(path))
