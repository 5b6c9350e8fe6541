"""Conversion of matplotlib figures to SVG elements of a page.

matplotlib writes a document; a page needs an element. The prologue, the date, the document-wide
style sheet and identifiers without references are removed. Other identifiers get a prefix, because
those of all figures share one page. Text stays text, in the font of the page, and `style.INK`
becomes the text colour of the page.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from distembed.registry import need
from distembed.report.style import INK, drawing, literal

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw", "inline"]


def draw(
    paint: Callable[[Figure], None],
    size: tuple[float, float],
    *,
    name: str,
    alt: str,
    dpi: float = 180,
) -> str:
    """Draw a figure as an `<svg>` element for a page.

    Args:
        paint: Adds axes to the empty figure and draws into them.
        size: Width and height in CSS pixels at which text has its nominal size.
        name: Unique on the page; identifiers start with it.
        alt: A description for screen readers.
        dpi: Resolution of rasterised points.

    Returns:
        The element; the same drawing gives the same text.
    """
    need("matplotlib", "report")
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with drawing(svg_hashsalt=name), warnings.catch_warnings():
        # text stays text, and the browser has fonts for what the one that is measured lacks
        warnings.filterwarnings("ignore", r"Glyph \d+ .*missing from font", UserWarning)
        figure = Figure((size[0] / 72, size[1] / 72), layout="constrained")
        FigureCanvasSVG(figure)
        paint(figure)
        literal(figure)
        text = io.StringIO()
        figure.savefig(text, format="svg", dpi=dpi)
    return inline(text.getvalue(), name, alt)


def inline(document: str, prefix: str, alt: str) -> str:
    """Convert an SVG document of matplotlib to an element of a page.

    Args:
        document: The SVG file.
        prefix: Of every identifier.
        alt: The accessible name.
    """
    root = ElementTree.fromstring(document)
    used = set(re.findall(r"""(?:url\(|href=")#([^)"]+)""", document))
    for parent in list(root.iter()):
        for child in list(parent):
            if _local(child.tag) in ("metadata", "style"):
                parent.remove(child)
    for element in root.iter():
        element.tag = _local(element.tag)
        attributes = {_local(k): v for k, v in element.attrib.items()}
        element.attrib.clear()
        for key, value in attributes.items():
            if key == "id" and value not in used:
                # an identifier `class:NAME` marks a group for the style sheet
                if value.startswith("class:"):
                    element.set("class", value.removeprefix("class:"))
                continue
            element.set(key, _value(key, value, prefix))
    for key in ("width", "height", "version"):
        root.attrib.pop(key, None)
    root.set("role", "img")
    root.set("aria-label", alt)
    return ElementTree.tostring(root, encoding="unicode")


def _local(name: str) -> str:
    return name.rpartition("}")[2]


def _value(key: str, value: str, prefix: str) -> str:
    if key == "id":
        return f"{prefix}-{value}"
    if key == "href" and value.startswith("#"):
        return f"#{prefix}-{value[1:]}"
    value = value.replace("url(#", f"url(#{prefix}-")
    if key in ("style", "fill", "stroke"):
        value = value.replace(INK, "currentColor")
        # the font of the page, in the size that matplotlib chose
        value = re.sub(r"font:[^;]*?([\d.]+px)[^;]*", r"font-size: \1", value)
        value = re.sub(r"font-family:[^;]*;?\s*", "", value)
    return value
