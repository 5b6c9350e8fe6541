"""Results that `distembed bench` and the demo write, read from JSON.

A result is `{"bench", "environment", "config", "rows"}`, or the `{"rows", "settings"}` of an
evaluation. A row is a `Score`: one number with its interval.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from distembed.evaluation.result import Score
from distembed.files import parse_json

__all__ = ["Result"]


@dataclass(frozen=True)
class Result:
    """The scores of one file.

    Attributes:
        bench: Name of the benchmark.
        scores: The scores.
        environment: Where it ran.
    """

    bench: str
    scores: tuple[Score, ...]
    environment: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, file: Path) -> Self:
        """Read a result.

        Raises:
            ValueError: If the file does not hold one.
        """
        try:
            return cls.from_json(parse_json(file.read_text(encoding="utf-8")), file.stem)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"{file} holds no result of `distembed bench NAME --json FILE`: {error}."
            ) from error

    @classmethod
    def from_json(cls, data: Mapping[str, Any], name: str = "") -> Self:
        """Return the result of a benchmark, or the scores of an evaluation of a given name."""
        scores = tuple(Score.from_json(row) for row in data["rows"])
        if "settings" in data:
            return cls(name, scores)
        return cls(str(data["bench"]), scores, data["environment"])

    def remarks(self, intervals: bool) -> str:
        """Write what a value is a mean over, and where it was measured.

        Args:
            intervals: Whether values have intervals beside them.
        """
        seeds = sorted({score.seeds for score in self.scores if score.seeds is not None})
        over = f"{' or '.join(map(str, seeds))} seed{'s' if seeds != [1] else ''}"
        shown = "Value [low, high]" if intervals and seeds != [1] else "Value"
        place = ", ".join(f"{k} {v}" for k, v in self.environment.items())
        text = f"{shown} over {over if seeds else 'held-out sets'}."
        return f"{text} On: {place}." if place else text
