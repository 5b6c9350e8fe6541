"""One look for every picture: a page without a background, one ink, one accent.

Figures are drawn in `INK`, a colour that nothing else uses, so that `svg.draw` can hand it over
to the page (`currentColor`) and the same figure reads on white and on black. All other colours
are of middle lightness and pass on both. Categories take the palette of Okabe and Ito (2008) up
to seven levels and that of Petroff (2021) up to ten; both were made for colour-blind readers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from distembed.registry import need

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
]

INK = "#010203"
"""The sentinel of text and axes; the page replaces it."""

ACCENT = "#3a8ae0"
"""What the model made."""

REAL = "#8b919c"
"""What was measured."""

LOSS = "#d55e00"
"""Where the model is beaten."""

OKABE_ITO = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#d9c82e")
PETROFF = (
    *("#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6"),
    *("#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd"),
)
SEQUENTIAL = ("#4a72da", "#8068c4", "#b5639f", "#e0736f", "#f0953f")
"""Stops from low to high: no end vanishes on a white or on a black page."""
DIVERGING = (LOSS, REAL, ACCENT)
"""Stops from less than zero to more, the middle as quiet as can be seen on both pages."""

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
    """Draw in the style of the package, whatever the user's own settings are, then restore them.

    Args:
        changes: Settings of matplotlib to change, with `_` for the dots in their names.
    """
    matplotlib = need("matplotlib", "report")
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update({**_RC, **{k.replace("_", "."): v for k, v in changes.items()}})
        yield
