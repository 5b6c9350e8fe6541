"""`distembed bench`: the numbers of the documentation, and the tables that are made from them."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Annotated, Any

import typer

from distembed.benchmarks import BENCHES
from distembed.cli.console import say
from distembed.cli.options import Force
from distembed.files import claim, write_atomically
from distembed.registry import lookup

__all__ = ["bench"]


def bench(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help=f"`table`, or one of: {', '.join(BENCHES)}.")
    ],
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="FILE", help="JSON files of earlier runs, for `table`."),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="One seed in a few minutes; promises nothing.")
    ] = False,
    seeds: Annotated[int, typer.Option(min=1, help="Independent runs, for the intervals.")] = 3,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Training steps: of generators, images.")
    ] = None,
    jobs: Annotated[
        int,
        typer.Option(
            min=1,
            help="Processes of one thread: of coverage, encoders, generators, images, tests.",
        ),
    ] = 1,
    tasks: Annotated[
        list[str] | None, typer.Option("--task", "--part", help="Only this task; repeatable.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--json", help="A .json file for the numbers.")
    ] = None,
    plots: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="For figures: of coverage, images, pooling, setsize, tests."
        ),
    ] = None,
    force: Force = False,
) -> None:
    """Measure the package with its defaults, beside baselines and floors; or tabulate results.

    Example: distembed bench gaussian --quick --json gaussian.json

    Then: distembed bench table gaussian.json
    """
    if output is not None:
        claim(output, (".json",), force)
    if name != "table" and files:
        raise ValueError(f"{name} reads no files; did you mean: distembed bench table {files[0]}?")
    from distembed.benchmarks.table import bench_table, tabulate

    if name == "table":
        if not files:
            raise ValueError("Name the JSON files to tabulate: distembed bench table FILE...")
        typer.echo(bench_table(files), nl=False)
        return
    run = lookup(BENCHES, name, "bench")
    taken = inspect.signature(run).parameters
    extra: dict[str, Any] = {}
    for option, value, left_out, fix in (
        ("plots", plots, None, "draws no figures; leave --plots out"),
        ("steps", steps, None, "has a number of steps of its own; leave --steps out"),
        ("jobs", jobs, 1, "runs in one process; leave --jobs out"),
    ):
        if option in taken:
            extra[option] = value
        elif value != left_out:
            raise ValueError(f"The bench {name} {fix}.")
    result = run(quick=quick, seeds=1 if quick else seeds, tasks=tasks, log=say, **extra)
    if output is not None:
        write_atomically(output, json.dumps(result, indent=2) + "\n")
    typer.echo(tabulate([result]), nl=False)
