"""Figures of viral proteins: clades through time, and drawn proteins beside real ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from distembed.apps.application import Case, Drawing, Findings
from distembed.apps.viral_proteins.data import ViralSettings
from distembed.report.plane import pca_plane
from distembed.report.style import ACCENT, OKABE_ITO, REAL, ink_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

__all__ = ["figure"]


def figure(case: Case[ViralSettings], findings: Findings) -> Sequence[Drawing]:
    """Draw the map of clades, and what was predicted and drawn."""
    values = findings.values
    clade = [sets.meta["clade"] for sets in (case.train, case.test)]
    by = "clade" if any((c != "").any() for c in clade) else "region"
    labels = np.concatenate([sets.meta[by] for sets in (case.train, case.test)])
    date = np.concatenate([sets.meta["date"] for sets in (case.train, case.test)])
    sizes = np.concatenate([case.train.sizes, case.test.sizes])

    def clades(canvas: Canvas) -> None:
        _clade_map(canvas, values, labels, date, sizes, by)

    def drawn(canvas: Canvas) -> None:
        left, right = canvas.subplots(1, 2)
        _dates(left, values)
        _frequencies(right, values["frequencies"])

    return (
        Drawing(
            "viral_clades",
            f"{by.capitalize()}s through time",
            "A point is the set of one place and time, by its date and by the first two principal "
            f"axes of its embedding; the colour is its most frequent {by}, the area the number of "
            "its proteins, and a ring marks held-out sets.",
            (900, 420),
            clades,
        ),
        Drawing(
            "viral_drawn",
            "Dates, and residues of drawn proteins",
            "Left: the date that is predicted for held-out sets from their embeddings, and from "
            "the frequencies of sites. Right: each point is a residue in a column of a held-out "
            "set of 20 proteins or more; its share in proteins drawn from half of the set is up, "
            "and that in the other half across.",
            (900, 400),
            drawn,
        ),
    )


def _clade_map(
    canvas: Canvas, values: Mapping[str, Any], labels: Any, date: Any, sizes: Any, by: str,
    most: int = 7,
) -> None:  # fmt: skip
    z = np.concatenate([values["train"].z, values["test"].z])
    plane = pca_plane(z.astype(np.float32))
    held_out = np.arange(len(z)) >= len(values["train"].z)
    names, count = np.unique(labels, return_counts=True)
    # in the order of their time, so that colours follow it
    frequent = names[np.argsort(-count, kind="stable")][:most]
    shown = sorted(frequent, key=lambda name: float(np.median(date[labels == name])))
    axes = canvas.subplots(1, 2, sharex=True)
    for k, ax in enumerate(axes):
        y = plane.points[:, k]
        for rows, color, label in [
            (~np.isin(labels, shown), REAL, "others"),
            *((labels == n, c, n) for n, c in zip(shown, OKABE_ITO, strict=False)),
        ]:
            if rows.any():
                ax.scatter(
                    date[rows], y[rows], s=14 + 3 * sizes[rows], color=color, alpha=0.8, lw=0,
                    label=str(label) or "unknown",
                )  # fmt: skip
        ax.scatter(
            date[held_out], y[held_out], s=14 + 3 * sizes[held_out], facecolor="none",
            edgecolor=ink_of(ax), lw=1,
        )  # fmt: skip
        ax.set(xlabel="year", ylabel=f"z, {plane.axes[k]}")
    handles, texts = axes[1].get_legend_handles_labels()
    for handle in handles:
        handle.set_sizes([40])
    canvas.legend(handles, texts, title=by, loc="outside right center")


def _dates(ax: Axes, values: Mapping[str, Any]) -> None:
    date = values["dates"]
    ends = [date.min(), date.max()]
    ax.plot(ends, ends, color=REAL, lw=1, zorder=0)
    for name, color, marker in (("sites", REAL, "s"), ("gde", ACCENT, "o")):
        ax.scatter(date, values["predicted"][name], color=color, marker=marker, s=34, label=name)
    ax.set(xlabel="year", ylabel="predicted year")
    ax.legend(loc="upper left")


def _frequencies(ax: Axes, frequencies: Mapping[str, Any]) -> None:
    if not frequencies:
        ax.text(0.5, 0.5, "columns are not defined\nfor unaligned proteins", ha="center")
        ax.set_axis_off()
        return
    real, drawn = frequencies["real"], frequencies["gde"]
    rows = (real > 0) | (drawn > 0)
    ax.plot([0, 1], [0, 1], color=REAL, lw=1, zorder=0)
    ax.scatter(real[rows], drawn[rows], s=9, alpha=0.25, color=ACCENT, lw=0, rasterized=True)
    ax.set(xlabel="share in held-out proteins", ylabel="share in drawn proteins")
