"""`distembed app`: the applications of the paper, from a folder of data to a page."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from distembed.apps import APPS
from distembed.cli.console import say
from distembed.cli.options import Force
from distembed.files import claim_folder
from distembed.registry import lookup

__all__ = ["app"]


def app(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help=f"One of: {', '.join(APPS)}.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="The data, as they were published or as in $DISTEMBED_DATA; default the latter.",
        ),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Fewer steps and sets, for a look in two minutes.")
    ] = False,
    simulated: Annotated[
        bool, typer.Option("--simulated", help="Read simulated data of a known law instead.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the model, the numbers, the figures and the page."),
    ] = None,
    listed: Annotated[
        bool, typer.Option("--list", help="Print the applications and what each is about.")
    ] = False,
    force: Force = False,
) -> None:
    """Train an application, judge it on held-out units, and write a page.

    Without --out the folder is NAME_output. docs/applications.md lists the files that are read.

    Example: distembed app lineage --quick --out lineage_output
    """
    if listed:
        width = max(map(len, APPS))
        for key, member in APPS.items():
            typer.echo(f"{key:<{width}}  {member.summary}")
        return
    if name is None:
        raise ValueError(f"Name an application, one of: {', '.join(APPS)}; or use --list.")
    # a name that does not exist is refused before anything heavy is imported
    if name not in APPS:
        lookup(APPS, name, "application")
    if simulated and data is not None:
        raise ValueError(f"--simulated reads no folder, and --data names {data}. Leave one out.")
    out = Path(f"{name}_output") if out is None else out
    claim_folder(out, "model", force)
    from distembed.apps import run

    application = run.load(name)
    with run.simulated(application) if simulated else nullcontext(data) as folder:
        page = run.run(application, out, "quick" if quick else "full", folder=folder, log=say)
    say(f"Open {page} in a browser.")
