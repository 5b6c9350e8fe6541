"""Application of the command line: all verbs, and the conversion of errors to messages."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Sequence
from typing import Annotated

import typer

from distembed.cli.app import app as application
from distembed.cli.bench import bench
from distembed.cli.check import check
from distembed.cli.console import complain, rank, show_warnings
from distembed.cli.data import data
from distembed.cli.demo import demo
from distembed.cli.distance import distance
from distembed.cli.doctor import doctor
from distembed.cli.embed import embed
from distembed.cli.evaluate import evaluate
from distembed.cli.export import export
from distembed.cli.fit import FitCommand, fit
from distembed.cli.interpolate import interpolate
from distembed.cli.predict import predict
from distembed.cli.report import report
from distembed.cli.sample import sample
from distembed.cli.two_sample import two_sample
from distembed.version import __version__

__all__ = ["app", "main"]

app = typer.Typer(
    name="distembed",
    help="Embed whole distributions: a vector, distances and new samples for every set.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
for verb in (demo, fit, embed, sample, distance, interpolate):
    app.command(cls=FitCommand if verb is fit else None)(verb)
app.command("test")(two_sample)
for verb in (predict, evaluate, report):
    app.command()(verb)
app.command("app")(application)
for verb in (export, check, bench, doctor):
    app.command()(verb)
app.add_typer(data, name="data")


def _version(requested: bool) -> None:
    if requested:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error.")
    ] = False,
) -> None:
    pass


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with 0 for success, 1 for an error, 2 for wrong usage.

    Errors in the input become one message on stderr with the usual fix. Other exceptions are
    defects of this package and keep their traceback. With `--debug`, anywhere on the command line,
    all exceptions do.
    """
    show_warnings()
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    if rank():
        logging.disable(logging.WARNING)
        warnings.simplefilter("ignore")
    try:
        app([word for word in words if word != "--debug"], prog_name="distembed")
    except (ValueError, ImportError, OSError) as error:
        # an ImportError with the name of a module is not from `need`, which names the extra
        if debug or (isinstance(error, ImportError) and error.name):
            raise
        where = f"{error.filename}: " if isinstance(error, OSError) and error.filename else ""
        text = error.strerror if where and isinstance(error, OSError) else str(error)
        complain(f"error: {where}{text}")
        sys.exit(1)
    except RuntimeError as error:
        text = _explained(error)
        if debug or not text:
            raise
        complain(f"error: {text}")
        sys.exit(1)


def _explained(error: RuntimeError) -> str:
    """Return the usual fix of an error of torch; empty if there is none."""
    # compared by name because torch is not imported here
    if type(error).__name__ == "_LinAlgError":
        return (
            f"{error}\nThe features are too large or of too different scales for this "
            "computation. Standardise them first, or leave extreme values out."
        )
    if "by peer" in str(error):  # gloo: connection closed, or reset, by peer
        return (
            "another process of this run ended, and so this one does. The cause is the error of "
            "that process. The same command resumes from the last checkpoint."
        )
    return ""
