"""Messages of the command line on stderr, so that stdout has the results only."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import typer
from rich.console import Console

__all__ = ["listed", "say", "stage"]


def say(text: str) -> None:
    """Write a line to stderr."""
    typer.echo(text, err=True)


def listed(names: Sequence[str], limit: int = 5) -> str:
    """Join names for a message, at most `limit` of them.

    Example:
        >>> listed(["a", "b", "c"], limit=2)
        'a, b, ...'
    """
    return ", ".join(names[:limit]) + (", ..." if len(names) > limit else "")


@contextmanager
def stage(text: str) -> Iterator[None]:
    """Announce work, show a spinner on a terminal, and report its duration if above a second."""
    console = Console(stderr=True)
    start = time.perf_counter()
    if console.is_terminal:
        with console.status(f"{text} ..."):
            yield
    else:
        say(f"{text} ...")
        yield
    if (seconds := time.perf_counter() - start) > 1:
        say(f"{text}: {seconds:.1f} s")
