"""The little Markdown that a model card needs, as HTML in which nothing can run.

Text is escaped first, and only then are the marks of the subset turned into tags: front matter,
headings, paragraphs, lists, tables, fenced code; strong, emphasis, code and links to the web.
Whatever else is written, HTML included, is shown as it was written.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator

__all__ = ["to_html"]

_ITEM = re.compile(r"\s*(?:[-*+]|\d+[.)])\s+")
_RULE = re.compile(r"\s*\|?(\s*:?-+:?\s*\|)+\s*:?-*:?\s*\|?\s*")


def to_html(text: str, level: int = 3) -> str:
    r"""Render a card.

    Args:
        text: Markdown.
        level: The heading that `#` becomes; deeper ones follow, up to h6.

    Example:
        >>> to_html("# A <b>\n\nis **bold**")
        '<h3>A &lt;b&gt;</h3>\n<p>is <strong>bold</strong></p>'
    """
    return "\n".join(_blocks(text.replace("\r\n", "\n").split("\n"), level))


def _blocks(lines: list[str], level: int) -> Iterator[str]:
    i = 0
    if lines[0].strip() == "---" and "---" in (line.strip() for line in lines[1:]):
        i = next(k for k in range(1, len(lines)) if lines[k].strip() == "---") + 1
        yield _code(lines[1 : i - 1])
    while i < len(lines):
        line, start = lines[i], i
        heading = re.match(r"(#{1,6})\s+(.*)", line)
        if not line.strip():
            i += 1
        elif line.startswith("```"):
            i = _until(lines, i + 1, lambda s: s.startswith("```"))
            yield _code(lines[start + 1 : i])
            i += 1
        elif heading:
            depth = min(6, level - 1 + len(heading[1]))
            yield f"<h{depth}>{_inline(heading[2])}</h{depth}>"
            i += 1
        elif _ITEM.match(line):
            i = _until(lines, i, lambda s: not s.strip() or s.startswith(("#", "```")))
            yield _list(lines[start:i])
        elif "|" in line and i + 1 < len(lines) and _RULE.fullmatch(lines[i + 1]):
            i = _until(lines, i, lambda s: "|" not in s)
            yield _table([lines[start], *lines[start + 2 : i]])
        else:
            i = _until(lines, i + 1, _starts_block)
            yield f"<p>{_inline(' '.join(s.strip() for s in lines[start:i]))}</p>"


def _starts_block(line: str) -> bool:
    return not line.strip() or line.startswith(("#", "```")) or bool(_ITEM.match(line))


def _until(lines: list[str], i: int, stop: Callable[[str], bool]) -> int:
    return next((k for k in range(i, len(lines)) if stop(lines[k])), len(lines))


def _code(lines: list[str]) -> str:
    return f"<pre><code>{html.escape(chr(10).join(lines))}</code></pre>"


def _list(lines: list[str]) -> str:
    items: list[str] = []
    for line in lines:
        mark = _ITEM.match(line)
        if mark:
            items.append(line[mark.end() :])
        else:
            items[-1] += " " + line.strip()
    tag = "ol" if lines[0].lstrip()[0].isdigit() else "ul"
    return f"<{tag}>{''.join(f'<li>{_inline(item)}</li>' for item in items)}</{tag}>"


def _table(rows: list[str]) -> str:
    def cells(row: str, tag: str) -> str:
        parts = re.split(r"(?<!\\)\|", row.strip().strip("|"))
        return "".join(f"<{tag}>{_inline(p.strip())}</{tag}>" for p in parts)

    body = "".join(f"<tr>{cells(row, 'td')}</tr>" for row in rows[1:])
    head = f"<thead><tr>{cells(rows[0], 'th')}</tr></thead>"
    return f'<div class="wide"><table>{head}<tbody>{body}</tbody></table></div>'


def _inline(text: str) -> str:
    # Code spans come first, and what is in them is left alone: odd pieces are code.
    pieces = html.escape(text.replace("\\|", "|")).split("`")
    if len(pieces) % 2 == 0:
        pieces[-2:] = ["`".join(pieces[-2:])]
    return "".join(
        f"<code>{piece}</code>" if k % 2 else _marks(piece) for k, piece in enumerate(pieces)
    )


def _marks(text: str) -> str:
    text = re.sub(r"\[([^\]]+)\]\((https?://[^\s)]+)\)", r'<a href="\2">\1</a>', text)
    # no star next to or inside the pair, so that the two marks can never cross
    text = re.sub(r"(?<!\*)\*\*(?!\*)(\S(?:[^*]*\S)?)\*\*(?!\*)", r"<strong>\1</strong>", text)
    return re.sub(r"(?<![\w*])\*(\S(?:[^*]*\S)?)\*(?![\w*])", r"<em>\1</em>", text)
