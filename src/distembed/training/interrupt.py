"""Stop a run at the end of a step when the process is asked to stop.

SIGINT (Ctrl-C) and SIGTERM (a scheduler, `kill`) would otherwise end the process in the middle of
a step. While a run with a checkpoint takes its steps they are noted instead; the run saves its
checkpoint when the step is done, and raises `Interrupted`. A second signal acts at once.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

__all__ = ["SIGNALS", "Interrupted", "StopRequest", "deferred_signals"]

SIGNALS = (signal.SIGINT, signal.SIGTERM)
"""What asks a process to stop."""


class Interrupted(KeyboardInterrupt):
    """A run that saved its checkpoint and stopped because of a signal.

    Args:
        number: The signal.
        step: Number of steps that are done.
        steps: Number of steps of the run.
        path: The checkpoint.
    """

    def __init__(self, number: int, step: int, steps: int, path: Path) -> None:
        self.number, self.step, self.steps, self.path = number, step, steps, path
        super().__init__(number, step, steps, path)

    @property
    def exit_code(self) -> int:
        """Exit status of a process that this signal ends, 128 plus its number."""
        return 128 + self.number

    def __str__(self) -> str:
        return (
            f"{signal.Signals(self.number).name} stopped the training after step {self.step} of "
            f"{self.steps}. It is saved in {self.path}: the same call with the same checkpoint "
            "resumes it there."
        )


class StopRequest:
    """The first signal that asked to stop, if any.

    Args:
        patience: Seconds after the first signal in which others are taken for the same request:
            a terminal and a launcher may both send one.

    Attributes:
        number: The signal; 0 for none.
    """

    def __init__(self, patience: float = 1.0) -> None:
        self.number, self.patience = 0, patience
        self._since = 0.0
        self._previous: dict[int, signal._HANDLER] = {}

    def replace_handlers(self) -> None:
        """Note signals from now on, other than those that the process ignores."""
        for number in SIGNALS:
            handler = signal.getsignal(number)
            # None is a handler that Python did not install, and could not put back
            if handler not in (signal.SIG_IGN, None):
                self._previous[number] = signal.signal(number, self._note)

    def restore_handlers(self) -> None:
        """Put back the handlers from before."""
        while self._previous:
            signal.signal(*self._previous.popitem())

    def _note(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if not self.number:
            self.number, self._since = number, now
        elif now - self._since > self.patience:
            self.restore_handlers()
            signal.raise_signal(number)


@contextmanager
def deferred_signals(active: bool = True) -> Iterator[StopRequest]:
    """Note SIGINT and SIGTERM while the block runs, and restore their handlers afterwards.

    A block that ends without an error has not acted on a signal, which then acts.

    Args:
        active: Whether signals are noted; in another thread than the main one they never are,
            because Python delivers signals to that one only.
    """
    request = StopRequest()
    if active and threading.current_thread() is threading.main_thread():
        request.replace_handlers()
    try:
        yield request
    finally:
        request.restore_handlers()
    if request.number:
        signal.raise_signal(request.number)
