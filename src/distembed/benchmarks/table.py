"""Tables of results, made from the JSON that `distembed bench` and the demo write.

A result is `{"bench", "environment", "config", "rows"}`, or the `{"rows", "settings"}` of an
evaluation. A row is a `Score`: one number with its interval.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Self

from distembed.evaluation.metrics import metric
from distembed.evaluation.result import Score

__all__ = ["Layout", "Result", "bench_table", "tables"]

Entry = tuple[Score, str]
"""A score and the column that it stands in."""
_CHOICES = {"columns": ("metric", "method", "size"), "intervals": ("yes", "no")}


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
            return cls.from_json(json.loads(file.read_text(encoding="utf-8")), file.stem)
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

    @property
    def remarks(self) -> str:
        """What an interval is, and where the numbers were measured."""
        seeds = sorted({score.seeds for score in self.scores if score.seeds is not None})
        place = ", ".join(f"{k} {v}" for k, v in self.environment.items())
        over = f"{' or '.join(map(str, seeds))} seed{'s' if seeds != [1] else ''}"
        return " ".join(
            [
                f"Value [low, high] over {over if seeds else 'held-out sets'}.",
                *([f"On: {place}."] if place else []),
            ]
        )


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
        """Return the scores of the table with their columns, in the requested order.

        Raises:
            ValueError: If a requested name is none of the results.
        """
        entries = [(score, self._column(score)) for score in scores]
        if self.columns == "size":
            sized = (_split_size(score) for score, _ in entries)
            by_size = sorted(((m, s) for s, m in sized if m), key=lambda pair: pair[0])
            entries = [(score, f"m = {m}") for m, score in by_size]
        for attribute in ("task", "method", "metric"):
            names: tuple[str, ...] = getattr(self, f"{attribute}s")
            values = [str(getattr(score, attribute)) for score, _ in entries]
            if unknown := [name for name in names if name not in values]:
                raise ValueError(
                    f"There is no {attribute} {unknown[0]!r} in the result; there are: "
                    f"{', '.join(dict.fromkeys(values))}."
                )
            if names:
                pairs = zip(values, entries, strict=True)
                chosen = [pair for pair in pairs if pair[0] in names]
                entries = [e for _, e in sorted(chosen, key=lambda pair: names.index(pair[0]))]
        return entries

    def _column(self, score: Score) -> str:
        return score.method if self.columns == "method" else metric(score.metric).label

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
    if layout.columns == "size":
        body = _table(entries, ("metric", "task", "method"), layout)
    elif layout.columns == "method":
        body = _table(entries, ("task", "metric"), layout)
    else:
        tasks = dict.fromkeys(score.task for score, _ in entries)
        parts = ([entry for entry in entries if entry[0].task == task] for task in tasks)
        body = "\n\n".join(_task_table(part, result.bench, layout) for part in parts)
    verdicts = [
        f"- {metric(s.metric).label}: {s.note} (p = {s.p:.2g})."
        for s, _ in entries
        if s.p is not None
    ]
    return "\n\n".join(filter(None, [result.remarks, body, "\n".join(verdicts)])) + "\n"


def _task_table(entries: Sequence[Entry], name: str, layout: Layout) -> str:
    """Write a table of one task: a row for each method, the floor last unless requested."""
    seconds = [score.seconds for score, _ in entries if score.seconds]
    fit = f" ({max(seconds):.0f} s to fit)" if seconds else ""

    def place(entry: Entry) -> int:
        method = entry[0].method
        return (
            layout.methods.index(method)
            if layout.methods
            else (method == "floor") - (method == "gde")
        )

    columns = dict.fromkeys(column for _, column in entries)
    title = f"{entries[0][0].task or name}{fit}"
    return _table(sorted(entries, key=place), ("method",), layout, list(columns), title)


def _table(
    entries: Sequence[Entry],
    keys: Sequence[str],
    layout: Layout,
    columns: Sequence[str] = (),
    title: str | None = None,
) -> str:
    """Write one table.

    Args:
        entries: Scores and their columns.
        keys: Attributes that make a row; those that are the same everywhere get no column.
        layout: How cells are written.
        columns: Columns in their order; as they come if there are none.
        title: Heading of the rows; the names of the attributes if left out.
    """
    varying = [key for key in keys if len({getattr(s, key) for s, _ in entries}) > 1]
    varying = varying or list(keys[:1])
    columns = columns or list(dict.fromkeys(column for _, column in entries))
    cells: dict[tuple[str, ...], dict[str, str]] = {}
    for score, column in entries:
        row = tuple(
            metric(score.metric).label if key == "metric" else str(getattr(score, key))
            for key in varying
        )
        cells.setdefault(row, {})[column] = layout.cell(score)
    rows = [[*row, *(cell.get(column, "") for column in columns)] for row, cell in cells.items()]
    return _markdown([*(varying if title is None else [title]), *columns], rows)


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
