"""Recognise what the columns of a text table hold, from their first rows.

| A column is | if |
|---|---|
| numeric | more than half of its first values that are not blank are numbers |
| numeric, with decimal commas | some value of it, or of a file without points, is no other |
| passed over, with a reason | its values resemble numbers, dates, or are mostly missing |
| text | otherwise |
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cached_property

from distembed.data.numerals import MISSING, is_number
from distembed.data.readers.dialect import Dialect, comma_number, decimal_commas

__all__ = ["ColumnKinds", "with_points"]

_DATE = re.compile(r"\d{4}-\d\d?-\d\d?([T ].*)?|\d\d?[/.]\d\d?[/.]\d{2,4}([T ].*)?")
_THOUSANDS = re.compile(r"[+-]?[1-9][0-9]{0,2}(?:\.[0-9]{3})+")
_DIGITS = re.compile(r"[+-]?[0-9][0-9.,' ]*")


class ColumnKinds:
    """The kinds of the columns of a text table.

    Args:
        dialect: How the table is written.
        first: Values of the first rows, by column.
    """

    def __init__(self, dialect: Dialect, first: Mapping[str, Sequence[str]]) -> None:
        self.dialect, self.first = dialect, first
        self._decimal = {
            name: dialect.commas or dialect.delimiter != "," and decimal_commas(values)
            for name, values in first.items()
        }

    @cached_property
    def numeric(self) -> set[str]:
        """Names of the columns of numbers."""
        return {name for name in self.first if self._share(name) > 0.5}

    @cached_property
    def others(self) -> dict[str, str]:
        """Columns that are not numeric, with the reason where they resemble numbers."""
        return {name: self._reason(name) for name in self.first if name not in self.numeric}

    def commas(self, name: str) -> bool:
        """Return whether numbers of a column have decimal commas."""
        return self._decimal[name]

    def number(self, name: str, value: str) -> bool:
        """Return whether a value is a number, as numbers of its column are written."""
        return is_number(with_points(value) if self.commas(name) else value)

    def _share(self, name: str) -> float:
        """Return the share of numbers among the first values that are not blank."""
        filled = [v for v in self.first[name] if v]
        if not filled or self._thousands(name):
            return 0.0
        return sum(self.number(name, v) for v in filled) / len(filled)

    def _thousands(self, name: str) -> bool:
        """Return whether the points of a column may be of thousands, as beside decimal commas."""
        pointed = [v for v in self.first[name] if "." in v]
        possible = self.dialect.both and bool(pointed)
        return possible and all(map(_THOUSANDS.fullmatch, pointed))

    def _reason(self, name: str) -> str:
        filled = [v for v in self.first[name] if v not in MISSING]
        if not filled:
            return "no value in its first rows"
        example = repr(filled[0])
        if self._thousands(name):
            return (
                f"numbers such as {example}, whose points may be of decimals or of thousands, as "
                "other columns have decimal commas: write one decimal sign"
            )
        if all(comma_number(v) or is_number(v) for v in filled) and any(map(comma_number, filled)):
            if self.dialect.delimiter == ",":
                return f"decimal commas, such as {example}: write decimal points"
            return (
                f"numbers such as {example}, whose comma may be one of decimals or of thousands: "
                "write decimal points, and no separators of thousands"
            )
        if all(map(_DATE.fullmatch, filled)):
            return f"dates, such as {example}: give a number, such as days since a reference"
        if all(map(_DIGITS.fullmatch, filled)) and not all(map(is_number, filled)):
            return f"values such as {example}, which are no numbers as they are written"
        if share := self._share(name):
            word = next((v for v in self.first[name] if v and not is_number(v)), "")
            return (
                f"only {share:.0%} of its first values are numbers, and others are such as "
                f"{word!r}"
            )
        return ""


def with_points(text: str) -> str:
    """Return decimal points for decimal commas; a point, as of thousands, makes no number."""
    return text.replace(".", "?").replace(",", ".")
