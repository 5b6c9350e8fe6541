"""Log a run: a progress bar on a terminal, plain lines elsewhere, JSON lines in a file."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from distembed.files import parse_json, write_atomically, writing

__all__ = ["RunLog"]

logger = logging.getLogger("distembed")
_ADVICE = "Free space on the disk, or restore the folder, and resume the run."


class RunLog:
    """Show and store the records of a run.

    Args:
        total: Number of steps.
        progress: Whether anything is shown.
        file: JSON-lines file that every record is appended to, if any.
        console: Where records are shown; standard error by default.
    """

    def __init__(
        self,
        total: int,
        progress: bool = True,
        file: Path | None = None,
        console: Console | None = None,
    ) -> None:
        self.total, self.file = total, file
        self.console = console or Console(stderr=True)
        self.shown = progress
        self.bar: Progress | None = None
        if progress and self.console.is_terminal:
            columns = ("[progress.description]{task.description}", BarColumn())
            self.bar = Progress(*columns, TextColumn("{task.fields[note]}"), TimeRemainingColumn(),
                                console=self.console)  # fmt: skip

    def __enter__(self) -> Self:
        if self.bar is not None:
            self.bar.start()
            self.task = self.bar.add_task("training", total=self.total, note="")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.bar is not None:
            self.bar.stop()

    def message(self, text: str) -> None:
        """Show one line."""
        logger.info(text)
        if self.shown:
            self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def step(self, number: int) -> None:
        """Move the bar to the end of a step."""
        if self.bar is not None:
            self.bar.update(self.task, completed=number)

    def resume(self, step: int) -> None:
        """Take the last records off the file that are of later steps than the resumed one.

        They were written after the checkpoint, and their steps are taken again.
        """
        if self.file is None or not self.file.exists():
            return
        lines = self.file.read_text(errors="replace").splitlines(keepends=True)
        while lines and _step(lines[-1]) > step:
            lines.pop()
        with writing(self.file, _ADVICE):
            write_atomically(self.file, "".join(lines))

    def record(self, values: Mapping[str, float]) -> None:
        """Show and store the numbers of a validation."""
        names = ("loss", "validation", "z_used")
        note = "  ".join(f"{name} {values[name]:.4f}" for name in names if name in values)
        if self.bar is not None:
            self.bar.update(self.task, note=note)
        else:
            done = int(values["step"])
            self.message(f"step {done}/{self.total}  {note}  {values['seconds']:.0f} s")
        if self.file is not None:
            with writing(self.file, _ADVICE), self.file.open("a") as out:
                out.write(json.dumps(dict(values)) + "\n")


def _step(line: str) -> float:
    """Return the step of a record; infinity for a line that was not written whole."""
    try:
        return float(parse_json(line)["step"])
    except (ValueError, KeyError, TypeError):
        return math.inf
