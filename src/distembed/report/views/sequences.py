"""Figures of sets of sequences: logos or lengths, k-mer spectra, and some sequences as text.

Sequences of one length are drawn as logos (`distembed.report.logo`), those of several lengths by
the histograms of their lengths.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from distembed.nn.kmers import kmers
from distembed.registry import need
from distembed.report import plots
from distembed.report.figures import Figure, escaped, svg
from distembed.report.logo import information, logo
from distembed.report.style import ACCENT, REAL, ink_of, shortened
from distembed.report.views import Budget

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure

    from distembed.data.spaces import Tokens
    from distembed.model.gde import GDE
    from distembed.report.contributions import Change, Side
    from distembed.report.samples import Pair, Path

__all__ = ["SequenceView", "kmer_shares"]

_COLUMNS, _LETTERS, _SHOWN = 40, 44, 5
_PAIR = (
    "<figure><figcaption><strong>{}</strong></figcaption>{}<pre>real\n{}\n\ngenerated\n{}</pre>"
    "</figure>"
)
_LOGOS = '<p class="note">real</p>{}<p class="note">generated</p>{}'
_TEXT = "<figure><figcaption><strong>{}</strong>{}</figcaption><pre>{}</pre></figure>"


class SequenceView:
    """Logos of the most variable positions, k-mer spectra, lengths and texts.

    Attributes:
        columns: Positions of logos, those that differ most between the sets that are shown; empty
            where real sequences differ in length.
        order: The k of the spectra: the largest with at most 500 k-mers.
    """

    page = Budget(sets=4, atoms=500, steps=7, path_atoms=2)
    overview = Budget(sets=3, atoms=400, steps=7, path_atoms=1)

    def __init__(self, model: GDE, pairs: Sequence[Pair]) -> None:
        self.space = cast("Tokens", model.atoms)
        self.vocab = len(self.space.alphabet)
        self.order = max([k for k in range(1, 6) if self.vocab**k <= 500], default=1)
        self.columns = np.empty(0, np.int64)
        lengths = {int(n) for pair in pairs for n in np.unique((pair.real > 0).sum(1))}
        self.width = max(lengths)
        if len(lengths) == 1 and self.width > 0:
            tokens = np.arange(1, self.vocab + 1)[:, None, None]
            p = np.stack([(pair.real[:, : self.width] == tokens).mean(1) for pair in pairs])
            contrast = p.var(0).sum(0)
            self.columns = np.sort(np.argsort(-contrast, kind="stable")[:_COLUMNS])

    def pairs(self, pairs: Sequence[Pair]) -> Figure:
        """Draw logos or lengths, and the spectrum, of each set above some of its sequences."""
        html = [
            escaped(
                _PAIR,
                pair.id,
                escaped("{}{}", *self._drawings(pair, k)),
                self._text(pair.real),
                self._text(pair.generated),
            )
            for k, pair in enumerate(pairs)
        ]
        text = (
            f"Shares of {self.order}-mers in real and in generated sequences: points on the line "
            "are equally frequent in both. "
        )
        if len(self.columns):
            text += (
                "In a logo the height of a letter is its share of the information of the "
                "position, in bits; a position where all letters are equally frequent is empty."
            )
            if len(self.columns) < self.width:
                text += (
                    f" Drawn are the {len(self.columns)} of {self.width} positions that differ "
                    "most between these sets."
                )
        else:
            text += "Histograms of the lengths: real sequences filled, generated ones as a line."
        return Figure(html, text, columns=2)

    def path(self, path: Path) -> Figure:
        """Write the sequences that are drawn at each step."""
        first, last = path.names
        lines = self._steps(path)
        text = (
            f"Sequences drawn from vectors on the line from {first} (0%) to {last} (100%), each "
            "step with the same random numbers."
        )
        if 0 < len(self.columns) < self.width:
            text += " Written are the positions of the logos."
        title = f": {len(path.samples)} steps"
        return Figure([escaped(_TEXT, f"{first} to {last}", title, "\n".join(lines))], text)

    def contributions(self, change: Change, count: int = 8) -> Figure:
        """Write the sequences of either set with the largest contributions."""
        html = []
        for side in change.sides:
            lines = self._largest(side, count)
            title = f": {len(lines)} of {len(side.atoms)} sequences"
            html.append(escaped(_TEXT, side.id, title, "\n".join(lines)))
        return Figure(html, "Shown are the sequences with the largest contributions.", columns=2)

    def draw_pair(self, axes: tuple[Axes, Axes], pair: Pair) -> None:
        """Draw the spectrum, and beside it the information of positions, or the lengths."""
        left, right = axes
        self._spectrum(left, pair)
        if len(self.columns):
            self._information(right, pair)
        else:
            self._lengths(right, pair)

    def draw_path(self, ax: Axes, path: Path) -> None:
        """Write the sequences that are drawn at each step."""
        plots.text_lines(ax, self._steps(path))

    def draw_contributions(self, axes: tuple[Axes, Axes], change: Change) -> None:
        """Write the eight sequences of either set with the largest contributions."""
        for ax, side in zip(axes, change.sides, strict=True):
            plots.text_lines(ax, self._largest(side, 8))
            ax.set_title(shortened(side.id, 24), loc="left")

    def paint_pairs(self, part: SubFigure, pairs: Sequence[Pair]) -> None:
        """Draw the spectra of the first and the third pair into a panel."""
        for row, pair in enumerate(pairs[::2]):
            axes = part.add_axes((0.16, 0.49 - 0.37 * row, 0.74, 0.29))
            self._spectrum(axes, pair)
            axes.set(xlabel=f"{self.order}-mers, real" if row else "")

    def paint_path(self, part: SubFigure, path: Path) -> None:
        """Write one sequence a step into a panel."""
        lines = [self._lines(x)[0][:26] for x in path.samples]
        for k, line in enumerate(lines):
            part.text(0.06, 0.76 - 0.1 * k, line, size=11, family="monospace", va="center")

    def _drawings(self, pair: Pair, number: int) -> tuple[Any, Any]:
        """Draw the logos, or nothing, and the plots of a pair."""
        logos: Any = ""
        if len(self.columns):
            logos = escaped(_LOGOS, *self._logos(pair, number))

        def paint(figure: Any) -> None:
            if len(self.columns):
                self._spectrum(figure.add_subplot(), pair)
                return
            self.draw_pair(figure.subplots(1, 2), pair)

        height = 250 if len(self.columns) else 230
        alt = (
            f"Set {pair.id}: shares of {self.order}-mers in {len(pair.real)} real and "
            f"{len(pair.generated)} generated sequences"
        )
        return logos, svg(paint, (440, height), f"set-{number}", alt)

    def _logos(self, pair: Pair, number: int) -> list[Any]:
        """Draw the logos of real and of generated sequences with one axis."""
        heights = self._heights(pair)
        top = max(0.5, *(float(h.sum(1).max()) for h in heights.values()))
        names = (self.columns + 1).tolist()
        return [
            _element(
                logo(
                    h, self.space.alphabet, names, top, f"logo-{number}-{what}",
                    f"Logo of the {what} sequences of {pair.id}",
                )
            )
            for what, h in heights.items()
        ]  # fmt: skip

    def _heights(self, pair: Pair) -> dict[str, np.ndarray]:
        """Return the heights of letters of real and of generated sequences, in bits."""
        parts, heights = {"real": pair.real, "generated": pair.generated}, {}
        for what, x in parts.items():
            padded = np.pad(x, ((0, 0), (0, max(0, self.width - x.shape[1]))))
            heights[what] = information(padded[:, self.columns], self.vocab)
        return heights

    def _information(self, ax: Axes, pair: Pair) -> None:
        at = np.arange(len(self.columns))
        bits = {what: heights.sum(1) for what, heights in self._heights(pair).items()}
        ax.bar(at, bits["real"], width=0.9, color=REAL, alpha=0.45, lw=0, label="real")
        ax.plot(at, bits["generated"], "o", ms=3.5, mew=0, color=ACCENT, label="generated")
        every = -(-len(at) // 8)
        ax.set_xticks(at[::every], (self.columns + 1)[::every].tolist())
        ax.set(xlabel="position", ylabel="information in bits", ylim=(0, None))
        ax.legend()

    def _lengths(self, ax: Axes, pair: Pair) -> None:
        real, generated = ((x > 0).sum(1).astype(float) for x in (pair.real, pair.generated))
        plots.marginal(ax, real, generated, "length")

    def _spectrum(self, ax: Any, pair: Pair) -> None:
        both = (pair.real, pair.generated)
        real, generated = (kmer_shares(x, self.order, self.vocab) for x in both)
        shown = (real > 0) | (generated > 0)
        top = float(max(real.max(), generated.max(), 1e-12))
        ax.plot([0, top], [0, top], color=ink_of(ax), linewidth=0.8, alpha=0.5)
        ax.scatter(real[shown], generated[shown], s=14, c=ACCENT, alpha=0.7, linewidths=0)
        named: list[float] = []
        for k in np.argsort(-np.abs(real - generated), kind="stable")[:3]:
            # names at nearly the same height would lie over each other
            if shown[k] and all(abs(generated[k] - y) > 0.1 * top for y in named):
                named.append(float(generated[k]))
                ax.annotate(
                    self._kmer(int(k)), (real[k], generated[k]), xytext=(4, 2),
                    textcoords="offset points", fontsize=10, annotation_clip=False,
                )  # fmt: skip
        ax.set(xlabel=f"{self.order}-mers, real", ylabel="generated")
        ax.locator_params(nbins=4)

    def _kmer(self, number: int) -> str:
        symbols = []
        for _ in range(self.order):
            number, symbol = divmod(number, self.vocab)
            symbols.append(self.space.alphabet[symbol])
        return "".join(reversed(symbols))

    def _steps(self, path: Path) -> list[str]:
        """Write the sequences of a path, each after its place on it."""
        return [
            f"{step / (len(path.samples) - 1):4.0%}  {line}"
            for step, x in enumerate(path.samples)
            for line in self._lines(x)
        ]

    def _largest(self, side: Side, count: int) -> list[str]:
        """Write the sequences with the largest contributions, each after its share."""
        rows = np.argsort(-side.share, kind="stable")[:count]
        lines = self._lines(side.atoms[rows], count)
        return [f"{p:6.1%}  {line}" for p, line in zip(side.share[rows], lines, strict=True)]

    def _text(self, x: np.ndarray) -> str:
        return "\n".join(self._lines(x))

    def _lines(self, x: np.ndarray, count: int = _SHOWN) -> list[str]:
        """Write the first sequences: of aligned ones the columns of the logos, long ones cut."""
        words = self.space.restore(x[:count][:, self.columns] if len(self.columns) else x[:count])
        cut = [w if len(w) <= _LETTERS else f"{w[: _LETTERS - 1]}…" for w in words]
        return [w or "(empty)" for w in cut]


def kmer_shares(x: np.ndarray, k: int, vocab: int) -> np.ndarray:
    """Return the share of each k-mer among all of a set, `(V^k,)`.

    Args:
        x: Tokens, `(n, T)`.
        k: Symbols of a k-mer.
        vocab: Size V of the alphabet.

    Example:
        >>> kmer_shares(np.array([[1, 2, 2], [2, 1, 0]]), 2, 2).round(3).tolist()
        [0.0, 0.333, 0.333, 0.333]
    """
    import torch

    number = kmers(torch.as_tensor(x), k, vocab).numpy()
    count = np.bincount(number[number >= 0], minlength=vocab**k)
    shares: np.ndarray = count / max(1, count.sum())
    return shares


def _element(markup: str) -> Any:
    """Mark an element as safe; its text was escaped where it was made."""
    return need("markupsafe", "report").Markup(markup)
