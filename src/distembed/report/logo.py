r"""Sequence logos as small SVG elements (Schneider and Stephens, 1990).

    R_t = \log_2 V - H_t,      H_t = -\sum_a p_t(a) \log_2 p_t(a),

is the information of position t in bits, and the height of a letter is $p_t(a) R_t$. The plug-in
entropy is too low by about $(V - 1) / (2 n \ln 2)$, which is taken off R (Miller, 1955). A gap
takes part in the frequencies, and is not drawn. Each letter is an outline that is defined once and
stretched where it is used, so that no font has to be at hand.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from distembed.registry import need
from distembed.report.style import OKABE_ITO, PETROFF, REAL

__all__ = ["information", "letter_colours", "logo"]

_WIDTH, _HEIGHT, _TOP, _FOOT = 9.0, 64.0, 4.0, 14.0
_GREEN, _BLUE, _ORANGE, _RED = (OKABE_ITO[k] for k in (2, 0, 1, 5))
_NUCLEOTIDES = {"A": _GREEN, "C": _BLUE, "G": _ORANGE, "T": _RED, "U": _RED}
_RESIDUES = {
    **dict.fromkeys("AVILMFW", REAL),
    **dict.fromkeys("DE", _RED),
    **dict.fromkeys("KRH", _BLUE),
    **dict.fromkeys("STNQY", _GREEN),
    **dict.fromkeys("GPC", _ORANGE),
}


def letter_colours(alphabet: str) -> dict[str, str]:
    """Return a colour for each symbol: usual ones of DNA and RNA, the chemistry of residues.

    Example:
        >>> letter_colours("ACGT")["A"] == letter_colours("ACDEFGHIKLMNPQRSTVWY")["S"]
        True
    """
    if set(alphabet) <= set("ACGTUN-"):
        usual = _NUCLEOTIDES
    elif len(alphabet) >= 20:
        usual = _RESIDUES
    else:
        usual = {symbol: PETROFF[k % len(PETROFF)] for k, symbol in enumerate(alphabet)}
    return {symbol: usual.get(symbol, REAL) for symbol in alphabet}


def information(x: np.ndarray, vocab: int) -> np.ndarray:
    """Return the heights of letters in bits.

    Args:
        x: Tokens of aligned sequences, `(n, T)`.
        vocab: Size V of the alphabet.

    Returns:
        `(T, V)`.

    Example:
        >>> bits = information(np.array([[1, 1], [1, 2]] * 500), 2)
        >>> bits.sum(1).round(2).tolist()
        [1.0, 0.0]
    """
    p = np.stack([(x == token).mean(0) for token in range(1, vocab + 1)], 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        entropy = -np.nansum(p * np.log2(p), 1)
    correction = (vocab - 1) / (2 * len(x) * math.log(2))
    heights: np.ndarray = p * np.maximum(math.log2(vocab) - entropy - correction, 0)[:, None]
    return heights


def logo(
    heights: np.ndarray,
    alphabet: str,
    positions: Sequence[int],
    top: float,
    name: str,
    alt: str,
) -> str:
    """Draw a logo as an `<svg>` element.

    Args:
        heights: Of the letters in bits, `(T, V)`.
        alphabet: The V symbols.
        positions: What the positions are called, `(T,)`.
        top: Upper end of the axis in bits.
        name: Unique on the page; identifiers start with it.
        alt: A description for screen readers.
    """
    colours, unit, left = letter_colours(alphabet), _HEIGHT / top, 34.0
    drawn = [k for k, symbol in enumerate(alphabet) if symbol not in "-."]
    letters, used = [], set()
    for t, row in enumerate(heights):
        base = _TOP + _HEIGHT
        for k in sorted(drawn, key=lambda k: row[k]):
            height = float(row[k]) * unit
            if height < 0.4:
                continue
            used.add(k)
            base -= height
            letters.append(
                f'<use href="#{name}-{k}" fill="{colours[alphabet[k]]}" transform="translate('
                f"{left + t * _WIDTH + 0.4:.1f} {base:.1f}) scale({_WIDTH - 0.8:.1f} "
                f'{height:.1f})"/>'
            )
    glyphs = [f'<path id="{name}-{k}" d="{_outline(alphabet[k])}"/>' for k in sorted(used)]
    width, height = left + len(heights) * _WIDTH + 8, _TOP + _HEIGHT + _FOOT
    foot = _TOP + _HEIGHT
    step = 5 if len(positions) > 12 else 1
    labels = [
        f'<text x="{left + (t + 0.5) * _WIDTH:.1f}" y="{foot + 11}" text-anchor="middle">'
        f"{position}</text>"
        for t, position in enumerate(positions)
        if (t + 1) % step == 0
    ]
    axis = (
        f'<text x="{left - 5}" y="{_TOP + 8}" text-anchor="end">{top:.1f}</text>'
        f'<text x="{left - 5}" y="{foot}" text-anchor="end">0 bits</text>'
        f'<path d="M{left - 1.5} {_TOP}V{foot}H{width:.1f}" fill="none" stroke="currentColor" '
        'stroke-opacity="0.4" stroke-width="0.8"/>'
    )
    return (
        f'<svg viewBox="0 0 {width:.1f} {height}" role="img" aria-label="{_attribute(alt)}" '
        f'font-size="9" fill="currentColor"><defs>{"".join(glyphs)}</defs>'
        f"{axis}{''.join(letters)}{''.join(labels)}</svg>"
    )


def _outline(symbol: str) -> str:
    """Return the outline of a bold letter in the unit square, its top at zero."""
    need("matplotlib", "report")
    from matplotlib.font_manager import FontProperties
    from matplotlib.path import Path
    from matplotlib.textpath import TextPath

    path = TextPath(
        (0, 0), symbol, size=1, prop=FontProperties(family="DejaVu Sans", weight="bold")
    )
    box = path.get_extents()
    size = np.array([max(box.width, 1e-6), max(box.height, 1e-6)])
    letter = {Path.MOVETO: "M", Path.LINETO: "L", Path.CURVE3: "Q", Path.CURVE4: "C"}
    parts = []
    for points, code in path.iter_segments(curves=True):
        if code == Path.CLOSEPOLY:
            parts.append("Z")
            continue
        unit = (np.asarray(points).reshape(-1, 2) - (box.x0, box.y0)) / size
        numbers = " ".join(f"{x:.3f} {1 - y:.3f}" for x, y in unit)
        parts.append(letter[code] + numbers)
    return "".join(parts)


def _attribute(text: str) -> str:
    for character, entity in (("&", "&amp;"), ('"', "&quot;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(character, entity)
    return text
