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

    def select(self, scores: Iterable[Score]) -> list[Score]:
        """Return the scores of the table, with methods and metrics in the requested order.

        Raises:
            ValueError: If a requested name is none of the results.
        """
        selection = list(scores)
        for attribute in ("task", "method", "metric"):
            names: tuple[str, ...] = getattr(self, f"{attribute}s")
            values = [str(getattr(score, attribute)) for score in selection]
            if unknown := [name for name in names if name not in values]:
                raise ValueError(
                    f"There is no {attribute} {unknown[0]!r} in the result; there are: "
                    f"{', '.join(dict.fromkeys(values))}."
                )
            if names:
                chosen = [pair for pair in zip(values, selection, strict=True) if pair[0] in names]
                selection = [s for _, s in sorted(chosen, key=lambda pair: names.index(pair[0]))]
        return selection

    def cell(self, score: Score | None) -> str:
        """Write a value, with its interval if requested."""
        if score is None or not score.defined:
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
    if layout.columns == "size":
        sized = [_split_size(score) for score in result.scores]
        selection = layout.select(score for score, _ in sized)
        columns = {id(score): f"m = {size}" for score, size in sized if size is not None}
        selection = [score for score in selection if id(score) in columns]
        body = _pivot(selection, ("metric", "task", "method"), columns, layout)
    elif layout.columns == "method":
        selection = layout.select(result.scores)
        columns = {id(score): score.method for score in selection}
        body = _pivot(selection, ("task", "metric"), columns, layout)
    else:
        selection = layout.select(result.scores)
        tasks = dict.fromkeys(score.task for score in selection)
        parts = ([s for s in selection if s.task == task] for task in tasks)
        body = "\n\n".join(_task_table(part, layout) for part in parts)
    verdicts = [
        f"- {metric(s.metric).label}: {s.note} (p = {s.p:.2g})."
        for s in selection
        if s.p is not None
    ]
    return "\n\n".join(filter(None, [result.remarks, body, "\n".join(verdicts)])) + "\n"


def _task_table(scores: Sequence[Score], layout: Layout) -> str:
    """Write a table of one task: a row for each method, a column for each metric."""
    cells = {(score.method, score.metric): layout.cell(score) for score in scores}
    methods = list(dict.fromkeys(score.method for score in scores))
    if not layout.methods:
        methods.sort(key=lambda m: (m == "floor") - (m == "gde"))
    metrics = list(dict.fromkeys(score.metric for score in scores))
    seconds = [score.seconds for score in scores if score.seconds]
    fit = f" ({max(seconds):.0f} s to fit)" if seconds else ""
    rows = [[method, *(cells.get((method, name), "") for name in metrics)] for method in methods]
    return _markdown([f"{scores[0].task}{fit}", *(metric(name).label for name in metrics)], rows)


def _pivot(
    scores: Sequence[Score], keys: Sequence[str], columns: Mapping[int, str], layout: Layout
) -> str:
    """Write one table.

    Args:
        scores: The scores.
        keys: Attributes that make a row; those that are the same everywhere get no column.
        columns: The column of each score, by identity.
        layout: How cells are written.
    """
    values = {key: [str(getattr(score, key)) for score in scores] for key in keys}
    varying = [key for key in keys if len(set(values[key])) > 1] or list(keys[:1])
    heads = list(dict.fromkeys(columns[id(score)] for score in scores))
    cells: dict[tuple[str, ...], dict[str, str]] = {}
    for score in scores:
        row = tuple(
            metric(score.metric).label if key == "metric" else str(getattr(score, key))
            for key in varying
        )
        cells.setdefault(row, {})[columns[id(score)]] = layout.cell(score)
    rows = [[*row, *(cell.get(head, "") for head in heads)] for row, cell in cells.items()]
    return _markdown([*varying, *heads], rows)


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
