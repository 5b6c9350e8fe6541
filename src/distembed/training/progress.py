"""The progress of a run: what a checkpoint stores beside tensors."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

__all__ = ["Progress", "Record"]

Record = dict[str, float]
"""Step, loss, lr and seconds; where sets are held out, validation, z_signal and z_used."""


@dataclass
class Progress:
    """How far a run is.

    Attributes:
        step: Steps that are done.
        seconds: Time that they took.
        best: Lowest validation loss.
        stale: Validations since then.
        history: Records of validations.
        losses: Losses of the steps since the last record.

    Raises:
        TypeError: If a value is no number.
    """

    step: int = 0
    seconds: float = 0.0
    best: float = math.inf
    stale: int = 0
    history: list[Record] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        values = [self.seconds, self.best, self.stale, *self.losses]
        try:
            values += [value for record in self.history for value in record.values()]
        except AttributeError as error:
            raise TypeError("a record of its history is no mapping") from error
        if type(self.step) is not int or not all(type(v) in (int, float) for v in values):
            raise TypeError("its progress has values that are no numbers")
