"""`distembed demo`: the whole pipeline on scanned digits, from sets of images to a report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from distembed.cli.console import say
from distembed.cli.options import Force
from distembed.files import claim_folder

__all__ = ["demo"]


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the model and the report.")] = Path(
        "demo_output"
    ),
    quick: Annotated[
        bool, typer.Option("--quick", help="Fewer steps and sets, for a test of the installation.")
    ] = False,
    force: Force = False,
) -> None:
    """Train on mixtures of real scanned digits, evaluate on held-out ones, and write a report.

    The data are part of scikit-learn, so that no network is needed. It takes under three minutes
    on two cores.

    Example: distembed demo --out demo_output
    """
    # the model is the first file that is written, so that it marks the folder of a demo
    claim_folder(out, "model", force)
    from distembed.apps.digits.data import Settings
    from distembed.apps.digits.demo import demo as run

    report = run(out, Settings.quick() if quick else Settings(), log=say)
    say(f"Open {report} in a browser.")
