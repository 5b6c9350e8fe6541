r"""Range of each feature over the training atoms, and what new atoms lie outside of it.

Three facts about a feature j and a set with weights w are stated wherever sets are embedded:

- **blind**: the feature had one value in the training atoms, so that no embedding depends on it,
  and the set has others;
- **outside**: the share of the set, $\sum_i w_i 1\{x_{ij} \notin [l_j, h_j]\}$, beyond the range
  of all training atoms in a feature that is not blind; a set of which half is outside is embedded
  by extrapolation;
- **extreme**: an atom with $|x_{ij} - c_j| > 1000\, s_j$, where c is the median of the training
  atoms and s the median of their distances from it that are not zero. One such atom decides the
  moments of its set, and among the training atoms the scale of its feature.

They are facts about ranges, and not p-values: they hold for any number of training sets.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from distembed.batch import SetBatch
from distembed.protocols import Collection
from distembed.sets.collection import Sets
from distembed.sets.pieces import pieces

__all__ = ["Comparison", "Support", "has_support", "sentences"]

Array = NDArray[np.float64]

HALF = 0.5
"""Share of a set outside the training range from which its embedding is an extrapolation."""


def has_support(collection: Collection) -> bool:
    """Return whether atoms are vectors or counts of one axis, whose features have ranges.

    Those of atoms with missing values are not compared.
    """
    numbers = collection.atoms.name in ("vectors", "counts") and len(collection.event_shape) == 1
    return numbers and not collection.atoms.masked


@dataclass(frozen=True)
class Comparison:
    """Sets beside the support of a model.

    Attributes:
        outside: Share of each set outside the training range, `(S,)`, in the feature where it is
            largest.
        feature: That feature, `(S,)`.
        differing: Whether a set has a value of a blind feature that training did not have, by
            feature, each `(S,)`.
        extreme: Number of extreme atoms.
        examples: The first of them: set, atom within it, feature, value.
    """

    outside: Array
    feature: NDArray[np.int64]
    differing: Mapping[int, NDArray[np.bool_]]
    extreme: int
    examples: Sequence[tuple[int, int, int, float]]


@dataclass(frozen=True)
class Support:
    """Range of each of D features over the training atoms, in the units of the data.

    Attributes:
        low: Least value, `(D,)`.
        high: Largest value, `(D,)`.
        constant: The value of a feature that had one in the atoms that the transform was fitted
            to, NaN for others, `(D,)`.
        centre: Median, `(D,)`.
        spread: Median distance from it of the atoms that are not at the median, `(D,)`; NaN where
            there are none.
    """

    low: Array
    high: Array
    constant: Array
    centre: Array
    spread: Array

    @classmethod
    def measure(cls, first: Tensor, collection: Collection, numbers: int = 2**22) -> Support:
        """Measure ranges over all atoms of a collection.

        Args:
            first: The atoms `(R, D)` that the transform is fitted to.
            collection: The training sets.
            numbers: Numbers that are read at once.
        """
        x = first.double().numpy()
        centre = np.median(x, 0)
        distance = np.abs(x - centre)
        spread = np.full(len(centre), np.nan)
        for j in np.flatnonzero(distance.any(0)):
            column = distance[:, j]
            spread[j] = np.median(column[column > 0])
        constant = np.where((x == x[:1]).all(0), x[0], np.nan)
        low, high = x.min(0), x.max(0)
        for _, _, batch in pieces(collection, max(1, numbers // x.shape[1])):
            part = batch.x.double().numpy()
            low, high = np.minimum(low, part.min(0)), np.maximum(high, part.max(0))
        return cls(low, high, constant, centre, spread)

    def compare(
        self,
        collection: Collection,
        columns: Sequence[int] | None = None,
        numbers: int = 2**22,
        extreme: float = 1000.0,
        examples: int = 5,
    ) -> Comparison:
        """Compare the atoms of sets with the ranges.

        Args:
            collection: The sets.
            columns: Columns of the atoms in the order of the model's features, where it differs.
            numbers: Numbers that are read at once.
            extreme: Multiple of the spread beyond which an atom is extreme.
            examples: Number of extreme atoms that are listed.
        """
        count, width = len(collection), len(self.low)
        outside, feature = np.zeros(count), np.zeros(count, np.int64)
        varied = np.isnan(self.constant)
        blind = np.flatnonzero(~varied).tolist()
        differing = {j: np.zeros(count, bool) for j in blind}
        limit = extreme * np.where(np.isfinite(self.spread), self.spread, np.inf)
        total, listed = 0, list[tuple[int, int, int, float]]()
        before = np.zeros(width)
        for s, atom, batch in pieces(collection, max(1, numbers // width)):
            x = batch.x.double().numpy()
            x = x if columns is None else x[:, columns]
            owner = np.repeat(np.arange(len(batch)), batch.sizes.numpy())
            share = _shares(batch, ((x < self.low) | (x > self.high)) & varied)
            if atom:
                share[0] += before
            before, here = share[-1], slice(s, s + len(batch))
            outside[here], feature[here] = share.max(1), share.argmax(1)
            for j in blind:
                differing[j][s + owner[x[:, j] != self.constant[j]]] = True
            if collection.atoms.name != "vectors":  # rare large counts are no errors
                continue
            far = np.abs(x - self.centre) > limit
            total += int(far.any(1).sum())
            for row, j in np.argwhere(far)[: examples - len(listed)].tolist():
                b = int(owner[row])
                within = atom + row - int(batch.offsets[b])
                listed.append((s + b, within, j, float(x[row, j])))
        differing = {j: sets for j, sets in differing.items() if sets.any()}
        return Comparison(outside, feature, differing, total, listed)

    def constants(self, features: Sequence[str] | None) -> list[str]:
        """Return the names of the features with one value; their positions without names."""
        blind = np.flatnonzero(np.isfinite(self.constant)).tolist()
        return [str(features[j] if features else j) for j in blind]

    def tensors(self) -> dict[str, Tensor]:
        """Return the ranges as tensors, from which `Support(**arrays)` rebuilds them."""
        return {f.name: torch.from_numpy(getattr(self, f.name)) for f in fields(self)}


def sentences(
    support: Support,
    comparison: Comparison,
    collection: Collection,
    features: Sequence[str] | None,
    most: int = 5,
) -> Iterator[str]:
    """Yield a sentence for each of the three facts that holds for some set.

    Args:
        support: The ranges.
        comparison: What they were compared with.
        collection: The sets that were compared.
        features: Names of the model's features.
        most: Number of sets that a sentence names.
    """
    ids, count = np.asarray(collection.ids), len(collection)

    def named(j: int) -> str:
        return features[j] if features else f"feature {j}"

    far = np.flatnonzero(comparison.outside >= HALF)
    if len(far):
        places = []
        for s in far[:most]:
            j = int(comparison.feature[s])
            places.append(
                f"{ids[s]} ({comparison.outside[s]:.0%} of it in {named(j)}, beyond "
                f"{support.low[j]:.4g} to {support.high[j]:.4g})"
            )
        yield (
            f"{len(far)} of {count} sets lie outside the range of all training atoms by half or "
            f"more: {_joined(places, len(far))}. Their embeddings, samples and distances are an "
            "extrapolation."
        )
    for j, sets in comparison.differing.items():
        names = ids[sets].tolist()
        yield (
            f"{named(j)} was {support.constant[j]:.4g} in all training atoms that were read, and "
            f"has other values in {len(names)} of {count} sets: "
            f"{_joined(names[:most], len(names))}. The model does not see it: no embedding, "
            "distance, sample or p-value depends on it. Fit again on sets in which it varies."
        )
    if comparison.extreme:
        atoms = [
            f"{named(j)} = {value:.4g} in {_row(collection, s, atom)}"
            for s, atom, j, value in comparison.examples
        ]
        yield (
            f"{comparison.extreme} atoms are further from the training median than 1,000 times "
            f"the usual distance: {_joined(atoms, comparison.extreme)}. They decide the mean and "
            "the spread of their sets. Correct or drop them, or fit to logarithms."
        )


def _shares(batch: SetBatch, flags: NDArray[np.bool_]) -> Array:
    """Return the weight of the atoms `(N, D)` with a flag in each set, `(B, D)`."""
    if not flags.any():
        return np.zeros((len(batch), flags.shape[1]))
    weight = batch.w.double().numpy()[:, None] * flags
    shares: Array = np.add.reduceat(weight, batch.offsets[:-1].numpy(), 0)
    return shares


def _joined(texts: Sequence[str], total: int) -> str:
    return ", ".join(texts) + (", ..." if total > len(texts) else "")


def _row(collection: Collection, s: int, atom: int) -> str:
    """Name an atom by its set, and by its row in the data where sets are made of rows."""
    if isinstance(collection, Sets):
        row = collection.rows[collection.offsets[s] + atom]
        return f"row {row} (set {collection.ids[s]})"
    return f"atom {atom} of set {collection.ids[s]}"
