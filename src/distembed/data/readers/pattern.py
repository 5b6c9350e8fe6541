"""Patterns with fields, such as `{mouse}.pat.gz` for file names or `{id}|{country}` for headers.

A field stands for one character or more up to the text that follows it, `*` for any text that is
not kept, and `?` for one character.
"""

from __future__ import annotations

import re

__all__ = ["Pattern"]

_FIELD = re.compile(r"\{(\w+)\}|[*?]")


class Pattern:
    """A pattern with named fields.

    Args:
        text: The pattern.
        within: Characters that neither a field nor `*` contains, such as "/" in a path.

    Raises:
        ValueError: If a field is named twice, or two fields have no text between them.

    Example:
        >>> Pattern("{accession}|{country}|*").match("K1|Peru|2004")
        {'accession': 'K1', 'country': 'Peru'}
        >>> Pattern("{a}_{b}").match("K1") is None
        True
    """

    def __init__(self, text: str, within: str = "") -> None:
        any_ = f"[^{re.escape(within)}]" if within else "."
        parts, start = [], 0
        self.text, self.fields = text, [m[1] for m in _FIELD.finditer(text) if m[1]]
        if len(set(self.fields)) < len(self.fields):
            twice = next(name for name in self.fields if self.fields.count(name) > 1)
            raise ValueError(
                f"The pattern {text!r} has the field {{{twice}}} twice; name each once."
            )
        for match in _FIELD.finditer(text):
            if match[0] != "?" and match.start() == start and text[:start].endswith(("}", "*")):
                raise ValueError(
                    f"The pattern {text!r} has two fields with no text between them, so that it "
                    "is not clear where the first one ends."
                )
            other = any_ if match[0] == "?" else f"{any_}*?"
            name = f"(?P<{match[1]}>{any_}+?)" if match[1] else other
            parts += [re.escape(text[start : match.start()]), name]
            start = match.end()
        self._regex = re.compile("".join([*parts, re.escape(text[start:])]), re.DOTALL)

    def match(self, text: str) -> dict[str, str] | None:
        """Return the values of the fields in a text, or None where it has another form."""
        match = self._regex.fullmatch(text)
        return None if match is None else match.groupdict()
