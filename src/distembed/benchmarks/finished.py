"""Finished trials of a benchmark on disk, so that a run that was cut off goes on where it was.

A trial is one task with one seed. Its scores are written when it ends, with the settings of the
run; those of other settings, or of another version of the package, are measured again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distembed.evaluation.result import Score
from distembed.files import parse_json, write_atomically
from distembed.version import __version__

__all__ = ["FinishedTrials"]


@dataclass(frozen=True)
class FinishedTrials:
    """Scores of trials, one file each in a folder.

    Attributes:
        folder: The folder.
        config: Settings of the run, plain values.
    """

    folder: Path
    config: Mapping[str, Any]

    def read(self, task: str, seed: int) -> list[Score] | None:
        """Return the scores of a trial; None if it was not finished with these settings."""
        file = self._file(task, seed)
        if not file.is_file():
            return None
        try:
            stored = parse_json(file.read_text(encoding="utf-8"))
            if stored["run"] != self._run:
                return None
            return [Score.from_json(row) for row in stored["scores"]]
        except (ValueError, KeyError, TypeError):
            return None  # cut off or edited: the trial is measured again

    def write(self, task: str, seed: int, scores: Sequence[Score]) -> None:
        """Write the scores of a trial."""
        self.folder.mkdir(parents=True, exist_ok=True)
        rows = [score.to_json() for score in scores]
        text = json.dumps({"run": self._run, "scores": rows})
        write_atomically(self._file(task, seed), text + "\n")

    def remove(self) -> None:
        """Remove the files of trials, and the folder if nothing else is in it."""
        for file in self.folder.glob("trial-*.json"):
            file.unlink()
        if self.folder.is_dir() and not any(self.folder.iterdir()):
            self.folder.rmdir()

    @property
    def _run(self) -> dict[str, Any]:
        config: dict[str, Any] = json.loads(json.dumps(dict(self.config)))
        return {"version": __version__, "config": config}

    def _file(self, task: str, seed: int) -> Path:
        return self.folder / f"trial-{task}-{seed}.json"
