"""Tables of benchmark results, made from the JSON that `distembed bench` writes.

A result is `{"bench", "environment", "config", "rows"}`. A row is one number, `{"task", "method",
"metric", "value", "low", "high", "seeds", "seconds"}`: `low` and `high` bound an interval and may
be null, and `method` is `gde`, the name of a baseline, or `floor`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from distembed.evaluation.metrics import metric, number

__all__ = ["bench_table", "tabulate"]

_ROW = {"task", "method", "metric", "value", "low", "high", "seeds", "seconds"}


def bench_table(files: Iterable[str | Path]) -> str:
    """Read results and write them as Markdown, one table a bench.

    Raises:
        ValueError: If a file does not hold a result.
    """
    results = []
    for file in map(Path, files):
        try:
            result = json.loads(file.read_text(encoding="utf-8"))
            complete = all(_ROW <= set(row) for row in result["rows"]) and "bench" in result
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{file} holds no result of `distembed bench NAME --json {file}`."
            ) from error
        if not complete:
            raise ValueError(f"{file}: every row needs {', '.join(sorted(_ROW))}.")
        results.append(result)
    return tabulate(results)


def tabulate(results: Sequence[Mapping[str, Any]]) -> str:
    """Write results as Markdown: a table for each task, a row for each method.

    Example:
        >>> row = {"task": "t", "method": "gde", "metric": "w2", "value": 0.5, "low": 0.4,
        ...        "high": 0.6, "seeds": 3, "seconds": 1.0}
        >>> print(tabulate([{"bench": "b", "environment": {}, "rows": [row]}]).splitlines()[-1])
        | gde | 0.500 [0.400, 0.600] |
    """
    names = dict.fromkeys(str(result["bench"]) for result in results)
    return "\n".join(_bench(name, [r for r in results if r["bench"] == name]) for name in names)


def _bench(name: str, results: Sequence[Mapping[str, Any]]) -> str:
    rows = [row for result in results for row in result["rows"]]
    seeds = " or ".join(map(str, sorted({row["seeds"] for row in rows})))
    places = dict.fromkeys(
        ", ".join(f"{k} {v}" for k, v in result["environment"].items()) for result in results
    )
    notes = [f"Value [low, high] over {seeds} seeds.", *(f"On: {p}." for p in places if p)]
    tasks = dict.fromkeys(row["task"] for row in rows)
    tables = [_task(task, [row for row in rows if row["task"] == task]) for task in tasks]
    return "\n".join([f"### {name}", "", " ".join(notes), *tables]) + "\n"


def _task(task: str, rows: Sequence[Mapping[str, Any]]) -> str:
    cells = {(row["method"], row["metric"]): _cell(row) for row in rows}
    methods = sorted(
        dict.fromkeys(m for m, _ in cells), key=lambda m: (m == "floor") - (m == "gde")
    )
    metrics = dict.fromkeys(k for _, k in cells)
    seconds = [row["seconds"] for row in rows if row["method"] == "gde" and row["seconds"]]
    spent = f" ({max(seconds):.0f} s to fit)" if seconds else ""
    lines = [
        f"| {task}{spent} | {' | '.join(metric(name).label for name in metrics)} |",
        f"|{'---|' * (len(metrics) + 1)}",
        *(f"| {m} | {' | '.join(cells.get((m, k), '') for k in metrics)} |" for m in methods),
    ]
    return "\n".join(["", *lines])


def _cell(row: Mapping[str, Any]) -> str:
    if row["value"] is None:
        return ""
    interval = ""
    if row["low"] is not None and row["high"] is not None:
        interval = f" [{number(row['low'])}, {number(row['high'])}]"
    return number(row["value"]) + interval
