"""What a verb says while it works: on stderr, so that results alone are on stdout."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console

__all__ = ["say", "stage"]


def say(text: str) -> None:
    """Write a line to stderr."""
    typer.echo(text, err=True)


@contextmanager
def stage(text: str) -> Iterator[None]:
    """Announce work, spin on a terminal while it lasts, and time it if it was long."""
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
