"""Generated tables of documents, between markers.

    <!-- bench gaussian methods=gde,mean -->
    ... the table ...
    <!-- end -->

The first word is a file of the folder of results without `.json`, the others are options of a
`Layout`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from distembed.benchmarks.results import Result
from distembed.benchmarks.table import Layout, tables
from distembed.files import write_atomically

__all__ = ["markers", "update", "update_files"]

_START = re.compile(r"^<!-- bench (?P<name>\S+)(?P<options>[^\n]*) -->$", re.MULTILINE)
_END = "<!-- end -->"


def markers(text: str) -> list[str]:
    """Return the names of the results that a document shows."""
    return [match["name"] for match in _START.finditer(text)]


def update(text: str, results: Path) -> str:
    """Return a document with the tables between its markers made anew.

    Args:
        text: The document.
        results: Folder of results.

    Raises:
        ValueError: If a marker has no end, an option is wrong, or there is no such result.
    """
    parts, position = [], 0
    for match in _START.finditer(text):
        end = text.find(_END, match.end())
        following = _START.search(text, match.end())
        if end < 0 or (following is not None and following.start() < end):
            raise ValueError(f"{match[0]} has no {_END} after it.")
        file = results / f"{match['name']}.json"
        if not file.is_file():
            raise ValueError(f"{match[0]} names a result that does not exist: {file}.")
        table = tables(Result.read(file), Layout.parse(match["options"]))
        parts += [text[position : match.end()], "\n", table]
        position = end
    return "".join([*parts, text[position:]])


def update_files(files: Iterable[Path]) -> list[Path]:
    """Rewrite the tables of documents, and return the documents that changed.

    The folder of results is `results` beside a document, or else `docs/results`.
    """
    changed = []
    for file in files:
        text = file.read_text(encoding="utf-8")
        if (new := update(text, results_of(file))) != text:
            write_atomically(file, new)
            changed.append(file)
    return changed


def results_of(file: Path) -> Path:
    """Return the folder of results of a document."""
    beside = file.parent / "results"
    return beside if beside.is_dir() else file.parent / "docs" / "results"
