"""Formulas of the site as MathML, which browsers draw without a script."""

from __future__ import annotations

import html
import re
from typing import Any

from latex2mathml.converter import convert

MARKED = re.compile(
    r'<(?P<tag>span|div) class="arithmatex">\\[(\[](?P<tex>.*?)\\[)\]]</(?P=tag)>', re.DOTALL
)
"""What `pymdownx.arithmatex` leaves of a formula where `generic` is set."""


def on_page_content(content: str, **_: Any) -> str:
    """Replace marked formulas."""
    return MARKED.sub(_mathml, content)


def _mathml(match: re.Match[str]) -> str:
    tex = html.unescape(match["tex"]).strip()
    return convert(tex, display="inline" if match["tag"] == "span" else "block")
