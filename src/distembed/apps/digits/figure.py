"""Pictures of the demo: an overview, and a report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from distembed.apps.digits.data import Digits
from distembed.evaluation.result import Evaluation
from distembed.model.gde import GDE
from distembed.report import overview, write_report

__all__ = ["figure"]


def figure(out: Path, model: GDE, digits: Digits, evaluation: Evaluation) -> Path:
    """Write `overview.png` and `report.html` into a folder, and return the report.

    They show the path from a set of all held-out threes to a set of all eights.
    """
    pools = {"all threes": digits.pool.ids == "3", "all eights": digits.pool.ids == "8"}
    ends = {
        name: model.embed(digits.pool.select(rows), covariance=False).z[0]
        for name, rows in pools.items()
    }
    content: dict[str, Any] = {
        "model": model,
        "test": digits.test,
        "evaluation": evaluation,
        "embeddings": model.embed(digits.test),
        "between": ends,
    }
    overview(out / "overview.png", **content)
    return write_report(out / "report.html", **content, title="Mixtures of scanned digits")
