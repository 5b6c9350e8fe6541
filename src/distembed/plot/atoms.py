"""Atoms of sets: real beside generated ones, a path between two sets, and what makes two differ.

How atoms are drawn depends on their kind, by the views of the report: vectors as scatter plots,
single numbers as histograms, images as mosaics, sequences as k-mer spectra and texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from distembed.model.embeddings import Embeddings
from distembed.model.inputs import as_collection
from distembed.plot.axes import one_axes, two_axes
from distembed.report.contributions import change_between
from distembed.report.plane import pca_plane, spread_along
from distembed.report.samples import Between, Pair, interpolate, read_pairs, set_row, set_rows
from distembed.report.style import literal
from distembed.report.views import View, view_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from distembed.model.gde import GDE
    from distembed.model.inputs import SetsLike
    from distembed.protocols import Collection

__all__ = ["contributions", "path", "samples"]


def samples(
    model: GDE,
    sets: SetsLike,
    name: str | None = None,
    *,
    n: int | None = None,
    table: Embeddings | None = None,
    axes: Sequence[Axes] | None = None,
) -> tuple[Axes, Axes]:
    """Draw atoms of one set beside atoms that are generated from its embedding.

    Args:
        model: A fitted model.
        sets: The sets; those of the training flatter the model.
        name: Id of the set; the middle one along the first principal component if left out.
        n: Atoms on either side at most; as on the report page if left out.
        table: Embeddings of these sets; computed if left out.
        axes: Two axes to draw into; new ones if left out.

    Returns:
        The two axes: real atoms and generated atoms. Of sequences the first has the k-mers of
        both, and the second their lengths, or the information of their positions.

    Raises:
        ImportError: If matplotlib is not installed.
        ValueError: If there is no such set, or the kind of atoms has no view.
    """
    collection, table = _embedded(model, sets, table)
    left, right = two_axes(axes)
    rows = [_middle(table)] if name is None else [set_row(table.ids, name)]
    view, pairs = _view(model, collection, table, rows, n)
    view.draw_pair((left, right), pairs[0])
    left.set_title(", ".join(filter(None, (pairs[0].id, left.get_title(loc="left")))), loc="left")
    literal(left)
    literal(right)
    return left, right


def path(
    model: GDE,
    sets: SetsLike,
    between: Between | None = None,
    *,
    steps: int | None = None,
    n: int | None = None,
    table: Embeddings | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw generated atoms along the straight line from one embedding to another.

    Args:
        model: A fitted model.
        sets: The sets.
        between: Ids of two sets, or `{name: z}` of two embeddings; if left out the two sets of the
            larger half that are farthest apart.
        steps: Points on the path, both ends included; as on the report page if left out.
        n: Atoms at each, drawn with the same noise; likewise.
        table: Embeddings of these sets; computed if left out.
        ax: Where to draw; new axes if left out.

    Returns:
        The axes.

    Raises:
        ImportError: If matplotlib is not installed.
        ValueError: If there is no such set, there are fewer than two steps, or the kind of atoms
            has no view.
    """
    if steps is not None and steps < 2:
        raise ValueError(f"steps is {steps}; a path has two ends, so it needs 2 or more.")
    collection, table = _embedded(model, sets, table)
    ax = one_axes(ax)
    view, _ = _view(model, collection, table, _ends(table, between), None)
    line = interpolate(
        model, collection, table, between,
        steps=steps or view.page.steps, n=n or view.page.path_atoms,
    )  # fmt: skip
    view.draw_path(ax, line)
    ax.set_title(f"{line.names[0]} to {line.names[1]}", loc="left")
    literal(ax)
    return ax


def contributions(
    model: GDE,
    sets: SetsLike,
    between: tuple[str, str] | None = None,
    *,
    n: int = 256,
    table: Embeddings | None = None,
    axes: Sequence[Axes] | None = None,
) -> tuple[Axes, Axes]:
    """Draw the atoms of two sets by their contribution to the distance of the embeddings.

    Shares of both sets sum to one: blue atoms make the two sets differ, orange ones make them more
    alike. Of images and sequences those with the largest shares are drawn.

    Args:
        model: A fitted model.
        sets: The sets.
        between: Ids of two sets; if left out the two of the larger half that are farthest apart.
        n: Atoms of a set at most.
        table: Embeddings of these sets; computed if left out.
        axes: Two axes to draw into, one a set; new ones if left out.

    Returns:
        The two axes.

    Raises:
        ImportError: If matplotlib is not installed.
        ValueError: If there is no such set, the two embeddings are equal, the encoder has no
            derivative in the weights, or the kind of atoms has no view.
    """
    collection, table = _embedded(model, sets, table)
    left, right = two_axes(axes)
    view, _ = _view(model, collection, table, _ends(table, between), None)
    change = change_between(model, collection, table, between, n)
    if change is None:
        raise ValueError(
            "There are no contributions: either the two embeddings are equal, or z is no smooth "
            "function of the weights of atoms, as with medians. Name two sets that differ, or fit "
            "a model whose encoder pools by means."
        )
    view.draw_contributions((left, right), change)
    literal(left)
    literal(right)
    return left, right


def _embedded(
    model: GDE, sets: SetsLike, table: Embeddings | None
) -> tuple[Collection, Embeddings]:
    """Return sets as a collection with their embeddings."""
    collection = as_collection(sets, model.atoms)
    if table is None:
        return collection, model.embed(collection, covariance=False)
    if not np.array_equal(np.asarray(table.ids, str), np.asarray(collection.ids, str)):
        raise ValueError(
            "The table is of other sets than those that are given, or in another order; leave it "
            "out, or pass model.embed(sets)."
        )
    return collection, table


def _view(
    model: GDE, sets: Collection, table: Embeddings, rows: Sequence[int], n: int | None
) -> tuple[View, list[Pair]]:
    """Return the view of the kind of atoms, made for some sets, and their atoms."""
    view = view_of(sets.atoms.name)
    if view is None:
        raise ValueError(f"Atoms of the kind {sets.atoms.name!r} have no view, so they cannot be "
                         "drawn; the map and the distances can.")  # fmt: skip
    pairs = read_pairs(model, sets, table, np.asarray(rows), n or view.page.atoms)
    return view(model, pairs), pairs


def _ends(table: Embeddings, between: Between | None) -> list[int]:
    """Return the two rows that choose coordinates and tone."""
    return list(dict.fromkeys(set_rows(table, between)))


def _middle(table: Embeddings) -> int:
    return int(spread_along(pca_plane(table.z).points, 1)[0])
