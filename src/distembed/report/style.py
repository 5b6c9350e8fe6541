"""Style of all figures: no background, one ink, one accent.

Text and axes are drawn in `INK`, a colour that nothing else uses, so that `svg.draw` can replace
it by the text colour of the page (`currentColor`), and the same figure is legible on white and on
black. All other colours are of middle lightness and legible on both. Categories take the palette
of Okabe and Ito (2008) up to seven levels and that of Petroff (2021) up to ten, both of which were
made for colour-blind readers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from distembed.registry import need

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

__all__ = [
    "ACCENT",
    "DIVERGING",
    "INK",
    "LOSS",
    "OKABE_ITO",
    "PETROFF",
    "REAL",
    "SEQUENTIAL",
    "drawing",
    "ink_of",
    "literal",
    "rasterized",
    "shortened",
]

INK = "#010203"
"""Text and axes; a placeholder that the page replaces by its own text colour."""

ACCENT = "#3a8ae0"
"""Generated atoms, and the model."""

REAL = "#8b919c"
"""Real atoms, and what has no category."""

LOSS = "#d55e00"
"""A baseline that is better than the model."""

OKABE_ITO = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#d9c82e")
PETROFF = (
    *("#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6"),
    *("#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd"),
)
SEQUENTIAL = ("#4a72da", "#8068c4", "#b5639f", "#e0736f", "#f0953f")
"""Stops from low to high, all legible on white and on black."""
DIVERGING = (LOSS, REAL, ACCENT)
"""Stops from negative over zero to positive."""

_FAINT = INK + "66"
_RC: Mapping[str, Any] = {
    "font.size": 12.0,
    "axes.titlesize": 12.0,
    "axes.labelsize": 12.0,
    "xtick.labelsize": 11.0,
    "ytick.labelsize": 11.0,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": _FAINT,
    "xtick.color": _FAINT,
    "ytick.color": _FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.linewidth": 0.8,
    "xtick.major.width": 0.8,
    "ytick.major.width": 0.8,
    "xtick.major.size": 3.0,
    "ytick.major.size": 3.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "figure.dpi": 72.0,
    "legend.frameon": False,
    "svg.fonttype": "none",
}


@contextmanager
def drawing(**changes: Any) -> Iterator[None]:
    """Set the style of the package, independent of the user's settings, and restore them on exit.

    Args:
        changes: Settings of matplotlib to change, with `_` for the dots in their names.
    """
    matplotlib = need("matplotlib", "report")
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update({**_RC, **{k.replace("_", "."): v for k, v in changes.items()}})
        yield


def ink_of(ax: Axes) -> Any:
    """Return the colour of the text of axes."""
    return ax.xaxis.label.get_color()


def rasterized(count: int, limit: int = 300) -> bool:
    """Return whether points become pixels: the size of an SVG grows with the number of shapes."""
    return count > limit


def literal(artist: Artist) -> None:
    """Show the dollar signs of all texts of an artist, such as axes: names are no formulas.

    Names of sets and levels come from data. As mathematics `a$_1$` would lose its dollar signs,
    and a name that is no valid formula would stop the drawing.
    """
    from matplotlib.text import Text

    for text in artist.findobj(Text):
        own = text.get_text()
        # numbers at ticks are formulas of matplotlib
        if "$" in own and not own.startswith(r"$\mathdefault{"):
            text.set_parse_math(False)


def shortened(text: str, limit: int = 28) -> str:
    """Cut a text to at most `limit` characters, the last one an ellipsis.

    Example:
        >>> shortened("leukocytes", 5)
        'leuk…'
    """
    return text if len(text) <= limit else text[: limit - 1] + "…"
