"""`distembed bench`: the numbers of the documentation, and the tables that are made from them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from distembed.benchmarks import BENCHES
from distembed.cli.console import say
from distembed.cli.options import Force
from distembed.files import claim, write_atomically
from distembed.registry import lookup

__all__ = ["bench"]


Name = Annotated[
    str, typer.Argument(metavar="NAME", help=f"`table`, or one of: {', '.join(BENCHES)}.")
]
Files = Annotated[
    list[Path] | None,
    typer.Argument(metavar="FILE", help="Of `table`: results, or documents with --write."),
]
Scale = Annotated[
    Literal["tiny", "quick", "full"],
    typer.Option(help="`full` for results, `quick` for a look, `tiny` to test the code."),
]
Quick = Annotated[
    bool, typer.Option("--quick", help="Short for --scale quick: one seed in a few minutes.")
]
Seeds = Annotated[
    int | None,
    typer.Option(min=1, help="Independent runs, for the intervals: 3 at full scale, else 1."),
]
Tasks = Annotated[
    list[str] | None,
    typer.Option("--task", help="Only this task, or a pattern such as 'table5_*'; repeatable."),
]
Jobs = Annotated[int, typer.Option(min=1, help="Processes of one thread.")]
Steps = Annotated[
    int | None, typer.Option(min=1, help="Training steps, in place of the usual number.")
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--json",
        help="A .json file for the numbers. A run that was cut off goes on from finished tasks, "
        "which are kept in a folder beside it until the end.",
    ),
]
Plots = Annotated[Path | None, typer.Option(metavar="FOLDER", help="A folder for figures.")]
Write = Annotated[
    bool, typer.Option("--write", help="Of `table`: rewrite the tables of Markdown documents.")
]


def bench(
    name: Name,
    files: Files = None,
    scale: Scale = "full",
    quick: Quick = False,
    seeds: Seeds = None,
    tasks: Tasks = None,
    jobs: Jobs = 1,
    steps: Steps = None,
    output: Output = None,
    plots: Plots = None,
    write: Write = False,
    force: Force = False,
) -> None:
    """Measure the package with its defaults, beside baselines and floors; or tabulate results.

    Example: distembed bench gaussian --quick --json gaussian.json

    Then: distembed bench table gaussian.json

    Documents: distembed bench table --write README.md docs/benchmarks.md
    """
    if name == "table":
        _table(files or [], write)
        return
    if files:
        raise ValueError(f"{name} reads no files; did you mean: distembed bench table {files[0]}?")
    if write:
        raise ValueError("--write rewrites tables: distembed bench table --write DOCUMENT...")
    if output is not None:
        claim(output, (".json",), force)
    # a name that does not exist is refused before anything heavy is imported
    lookup(BENCHES, name, "bench")
    from distembed.benchmarks.finished import FinishedTrials
    from distembed.benchmarks.results import Result
    from distembed.benchmarks.runner import load, run
    from distembed.benchmarks.table import tables

    parts = None if output is None else output.with_suffix(".parts")
    result = run(
        load(name),
        "quick" if quick else scale,
        seeds=seeds,
        tasks=tasks,
        jobs=jobs,
        steps=steps,
        plots=plots,
        parts=parts,
        log=say,
    )
    if output is not None:
        write_atomically(output, json.dumps(result, indent=2) + "\n")
    if parts is not None:
        FinishedTrials(parts, {}).remove()
    typer.echo(tables(Result.from_json(result)), nl=False)


def _table(files: list[Path], write: bool) -> None:
    """Print results as tables, or rewrite the tables of documents."""
    from distembed.benchmarks.document import update_files
    from distembed.benchmarks.table import bench_table

    if not files:
        raise ValueError("Name the JSON files to tabulate: distembed bench table FILE...")
    if not write:
        typer.echo(bench_table(files), nl=False)
        return
    for file in update_files(files):
        say(f"wrote {file}")
