"""Messages of the command line on stderr, so that stdout has the results only.

Of the processes that `torchrun` starts the first one writes; the others report errors alone.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import typer
from rich.console import Console

__all__ = ["complain", "counted", "listed", "rank", "say", "show_warnings", "stage"]


def rank() -> int:
    """Return the number of this process among those of `torchrun`, without importing torch."""
    many = int(os.environ.get("WORLD_SIZE", "1")) > 1
    return int(os.environ.get("RANK", "0")) if many else 0


def say(text: str) -> None:
    """Write a line to stderr."""
    if rank() == 0:
        typer.echo(text, err=True)


def complain(text: str) -> None:
    """Write an error to stderr, with the number of the process where there are many."""
    number = rank()
    typer.echo(f"process {number}: {text}" if number else text, err=True)


class _Once(logging.Handler):
    """Writes every warning of a command once, however often it is logged."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.shown = set[str]()

    def emit(self, record: logging.LogRecord) -> None:
        """Write the message of a record unless it was written before."""
        text = record.getMessage()
        if text not in self.shown:
            self.shown.add(text)
            say(text)


def show_warnings() -> None:
    """Show the warnings of the package on stderr, each of them once a command."""
    logger = logging.getLogger("distembed")
    for handler in [h for h in logger.handlers if isinstance(h, _Once)]:
        logger.removeHandler(handler)
    logger.addHandler(_Once())


def counted(number: int, noun: str) -> str:
    """Write a number with its noun, in the plural unless it is one.

    Example:
        >>> counted(1, "set"), counted(2000, "atom")
        ('1 set', '2000 atoms')
    """
    return f"{number} {noun}{'' if number == 1 else 's'}"


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
    if console.is_terminal and rank() == 0:
        with console.status(f"{text} ..."):
            yield
    else:
        say(f"{text} ...")
        yield
    if (seconds := time.perf_counter() - start) > 1:
        say(f"{text}: {seconds:.1f} s")
