"""The demo: data, model, judge and figure, one after the other."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from distembed.apps.digits.data import Settings, data
from distembed.apps.digits.figure import figure
from distembed.apps.digits.judge import judge
from distembed.apps.digits.model import model
from distembed.files import write_atomically

__all__ = ["demo"]


def demo(
    out: Path, settings: Settings, *, log: Callable[[str], None], progress: bool = True
) -> Path:
    """Train, evaluate, draw and report; return the report.

    Args:
        out: Folder of the model, the numbers and the figures.
        settings: Sizes and schedule.
        log: Takes lines of progress.
        progress: Whether to show the progress of training.
    """
    digits = data(settings)
    log(f"train: {digits.train}")
    log(f"test:  {digits.test}")
    fitted = model(digits.train, settings, progress=progress)
    fitted.save(out / "model")
    evaluation = judge(fitted, digits, log)
    log(evaluation.table())
    record = evaluation.to_json()
    write_atomically(out / "evaluation.json", json.dumps(record, indent=1) + "\n")
    # the numbers without the pairs behind them, as `distembed bench table` reads them
    del record["pairs"]
    write_atomically(out / "demo.json", json.dumps(record, indent=1) + "\n")
    return figure(out, fitted, digits, evaluation)
