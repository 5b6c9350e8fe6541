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

from distembed.evaluation.metric import metric, number

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
    """Write results as Markdown: a row for each task and metric, a column for each method.

    Example:
        >>> row = {"task": "t", "method": "gde", "metric": "w2", "value": 0.5, "low": 0.4,
        ...        "high": 0.6, "seeds": 3, "seconds": 1.0}
        >>> print(tabulate([{"bench": "b", "environment": {}, "rows": [row]}]).splitlines()[-1])
        | t | W2 | 0.500 [0.400, 0.600] |
    """
    names = dict.fromkeys(str(result["bench"]) for result in results)
    return "\n".join(_table(name, [r for r in results if r["bench"] == name]) for name in names)


def _table(bench: str, results: Sequence[Mapping[str, Any]]) -> str:
    cells: dict[tuple[str, str], dict[str, str]] = {}
    seconds: dict[str, float] = {}
    seeds: set[int] = set()
    for row in (row for result in results for row in result["rows"]):
        cells.setdefault((row["task"], row["metric"]), {})[row["method"]] = _cell(row)
        seeds.add(row["seeds"])
        if row["method"] == "gde" and row["seconds"] is not None:
            seconds[row["task"]] = max(seconds.get(row["task"], 0.0), row["seconds"])
    found = dict.fromkeys(method for line in cells.values() for method in line)
    methods = sorted(found, key=lambda m: (m == "floor") - (m == "gde"))
    lines = [
        f"| task | metric | {' | '.join(methods)} |",
        f"|{'---|' * (len(methods) + 2)}",
        *(
            f"| {task} | {metric(name).title} | {' | '.join(line.get(m, '') for m in methods)} |"
            for (task, name), line in cells.items()
        ),
    ]
    made = dict.fromkeys(
        ", ".join(f"{k} {v}" for k, v in result["environment"].items()) for result in results
    )
    notes = [
        f"Value [low, high] over {' or '.join(map(str, sorted(seeds)))} seeds.",
        *(
            [f"Seconds: {', '.join(f'{t} {s:.0f}' for t, s in seconds.items())}."]
            if seconds
            else []
        ),
        *(f"Environment: {text}." for text in made if text),
    ]
    return "\n".join([f"### {bench}", "", " ".join(notes), "", *lines]) + "\n"


def _cell(row: Mapping[str, Any]) -> str:
    if row["value"] is None:
        return ""
    interval = ""
    if row["low"] is not None and row["high"] is not None:
        interval = f" [{number(row['low'])}, {number(row['high'])}]"
    return number(row["value"]) + interval
