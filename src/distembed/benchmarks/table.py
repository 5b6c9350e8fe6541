"""Tables of results in Markdown: which scores, and what makes a row and a column."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

from distembed.benchmarks.results import Result
from distembed.evaluation.metrics import metric
from distembed.evaluation.result import Score

__all__ = ["Layout", "bench_table", "tables"]

_ATTRIBUTES = ("task", "method", "metric")
_ROWS = {
    "metric": ("task", "method"),
    "method": ("task", "metric"),
    "size": ("metric", "task", "method"),
}
"""What makes a row, by what makes a column."""
_CHOICES = {"columns": ("metric", "method", "size"), "intervals": ("yes", "no")}


class Entry(NamedTuple):
    """A score, the column that it stands in, and the place of the column."""

    score: Score
    column: str
    place: int


@dataclass(frozen=True)
class Layout:
    """Which scores a table shows, and what its columns are.

    Attributes:
        columns: `metric`: a table for each task, with a row for each method. `method`: one table,
            with a row for each metric of each task. `size`: one table, with a row for each metric,
            task and method, and a column for each number of atoms.
        tasks: Names of tasks, all if empty; without the size where columns are sizes.
        methods: Names of methods, all if empty.
        metrics: Names of metrics, all if empty; without the size where columns are sizes.
        intervals: `yes`, or `no` to leave intervals out.
    """

    columns: str = "metric"
    tasks: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    intervals: str = "yes"

    @classmethod
    def parse(cls, text: str) -> Layout:
        """Read options such as `columns=size metrics=z,distance`.

        Raises:
            ValueError: If an option is unknown or has another value.

        Example:
            >>> Layout.parse("columns=size metrics=z,trace").metrics
            ('z', 'trace')
        """
        options: dict[str, Any] = {}
        names = [f.name for f in fields(cls)]
        for word in text.split():
            name, _, value = word.partition("=")
            if name not in names or not value:
                raise ValueError(
                    f"{word!r} is no option of a table; the options are "
                    f"{', '.join(f'{name}=...' for name in names)}."
                )
            choices = _CHOICES.get(name)
            if choices is not None and value not in choices:
                raise ValueError(f"{name} is {value!r}; expected one of {', '.join(choices)}.")
            options[name] = value if choices is not None else tuple(value.split(","))
        return cls(**options)

    def entries(self, scores: Iterable[Score]) -> list[Entry]:
        """Return the scores of the table with their columns.

        Raises:
            ValueError: If a requested name is none of the results.
        """
        sized = [_split_size(s) if self.columns == "size" else (s, None) for s in scores]
        if self.columns == "size":
            sized = [(score, size) for score, size in sized if size is not None]
        for attribute in _ATTRIBUTES:
            names: tuple[str, ...] = getattr(self, f"{attribute}s")
            present = list(dict.fromkeys(str(getattr(score, attribute)) for score, _ in sized))
            if unknown := [name for name in names if name not in present]:
                raise ValueError(
                    f"There is no {attribute} {unknown[0]!r} in the result; there are: "
                    f"{', '.join(present)}."
                )
            if names:
                sized = [(s, size) for s, size in sized if getattr(s, attribute) in names]
        ranks = self.ranks([score for score, _ in sized])
        return [
            Entry(score, f"m = {size}", size)
            if size is not None
            else Entry(score, score.method, ranks["method"][score.method])
            if self.columns == "method"
            else Entry(score, metric(score.metric).label, ranks["metric"][score.metric])
            for score, size in sized
        ]

    def ranks(self, scores: Sequence[Score]) -> dict[str, dict[str, int]]:
        """Return places of tasks, methods and metrics: as requested, else as they come.

        Among methods that are not requested, `gde` is first and `floor` last.
        """
        places = {}
        for attribute in _ATTRIBUTES:
            names = getattr(self, f"{attribute}s") or list(
                dict.fromkeys(str(getattr(score, attribute)) for score in scores)
            )
            if attribute == "method" and not self.methods:
                names = sorted(names, key=lambda name: (name == "floor") - (name == "gde"))
            places[attribute] = {name: place for place, name in enumerate(names)}
        return places

    def cell(self, score: Score) -> str:
        """Write a value, with its interval if requested."""
        if not score.defined:
            return ""
        return (score if self.intervals == "yes" else replace(score, low=math.nan)).text()


def bench_table(files: Iterable[str | Path]) -> str:
    """Read results and write them as Markdown, one section a file.

    Raises:
        ValueError: If a file does not hold a result.
    """
    results = [Result.read(Path(file)) for file in files]
    return "\n".join(f"### {result.bench}\n\n{tables(result)}" for result in results)


def tables(result: Result, layout: Layout | None = None) -> str:
    """Write the scores of a result as Markdown.

    Example:
        >>> score = Score("w2", "gde", 0.5, 0.4, 0.6, seeds=3, task="blobs")
        >>> print(tables(Result("b", (score,))).splitlines()[-1])
        | gde | 0.500 [0.400, 0.600] |
    """
    layout = layout or Layout()
    entries = layout.entries(result.scores)
    ranks = layout.ranks([entry.score for entry in entries])
    entries.sort(key=lambda e: [ranks[k][getattr(e.score, k)] for k in _ROWS[layout.columns]])
    if layout.columns == "metric":
        tasks = dict.fromkeys(entry.score.task for entry in entries)
        parts = ([e for e in entries if e.score.task == task] for task in tasks)
        body = "\n\n".join(_task_table(part, result.bench, layout) for part in parts)
    else:
        body = _table(entries, layout)
    verdicts = [
        f"- {metric(s.metric).label}: {s.note} (p = {s.p:.2g})."
        for s in sorted((e.score for e in entries), key=lambda s: ranks["metric"][s.metric])
        if s.p is not None
    ]
    remarks = result.remarks(layout.intervals == "yes")
    return "\n\n".join(filter(None, [remarks, body, "\n".join(verdicts)])) + "\n"


def _task_table(entries: Sequence[Entry], name: str, layout: Layout) -> str:
    """Write a table of one task: a row for each method."""
    seconds = [entry.score.seconds for entry in entries if entry.score.seconds]
    fit = f" ({max(seconds):.0f} s to fit)" if seconds else ""
    return _table(entries, layout, f"{entries[0].score.task or name}{fit}")


def _table(entries: Sequence[Entry], layout: Layout, title: str | None = None) -> str:
    """Write one table.

    Args:
        entries: Scores and their columns.
        layout: Which attributes make a row; those that are the same everywhere get no column.
        title: Heading of a table whose rows are methods.
    """
    scores = [entry.score for entry in entries]
    keys = [k for k in _ROWS[layout.columns] if len({getattr(s, k) for s in scores}) > 1]
    if title is not None:
        keys = ["method"]
    keys = keys or list(_ROWS[layout.columns][:1])
    columns = [e.column for e in sorted(entries, key=lambda entry: entry.place)]
    columns = list(dict.fromkeys(columns))
    cells: dict[tuple[str, ...], dict[str, str]] = {}
    for score, column, _ in entries:
        row = tuple(
            metric(score.metric).label if key == "metric" else str(getattr(score, key))
            for key in keys
        )
        cells.setdefault(row, {})[column] = layout.cell(score)
    rows = [[*row, *(cell.get(column, "") for column in columns)] for row, cell in cells.items()]
    return _markdown([*(keys if title is None else [title]), *columns], rows)


def _split_size(score: Score) -> tuple[Score, int | None]:
    """Take the size of a set from the end of the task or of the metric."""
    for attribute in ("task", "metric"):
        if match := re.fullmatch(r"(.+)_m(\d+)", getattr(score, attribute)):
            changed: dict[str, Any] = {attribute: match[1]}
            return replace(score, **changed), int(match[2])
    return score, None


def _markdown(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    written = [f"| {' | '.join(line)} |" for line in lines]
    written[1] = "|" + "---|" * len(heads)
    return "\n".join(written)
