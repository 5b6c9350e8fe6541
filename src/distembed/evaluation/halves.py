"""Held-out halves of the test sets.

The *context* half of a set makes its embedding and feeds the baselines; the *target* half, whose
atoms are others, is what samples and distances are compared with. Distances are taken in the
model's ground space.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from distembed.batch import SetBatch
from distembed.data.spaces import ground_distance, w2_name
from distembed.divergences.exact import Distance
from distembed.evaluation.subject import Subject, columns_of
from distembed.protocols import Collection
from distembed.rng import stream
from distembed.sets.repeated import merge_repeated

__all__ = ["EvaluationConfig", "HeldOutHalves", "halves"]


@dataclass(frozen=True)
class EvaluationConfig:
    """Sizes and levels of an evaluation.

    Attributes:
        context: Largest number of atoms of a context.
        target: Largest number of atoms of a target.
        numbers: Bound of the memory: numbers in all contexts together, and in all targets.
        metrics: Metrics of samples, names of `METRICS`, of which those are printed that are
            defined for the kind of atoms; the first one first.
        transport_atoms: Largest number of atoms of a set in exact optimal transport.
        truth_atoms: Least number of atoms of a target whose W2 is measured.
        truth_sets: Least number of sets with so many atoms; if there are fewer, the W2 of all sets
            is measured, and the settings of the evaluation say so.
        truth_pairs: Largest number of pairs whose W2 is given.
        near: Share of the pairs that are called near, the closest by W2.
        resamples: Bootstrap resamples of the sets.
        level: Coverage of intervals.
        interval_pairs: Largest number of pairs whose intervals are checked.
    """

    context: int = 4096
    target: int = 1024
    numbers: int = 2**26
    metrics: tuple[str, ...] = (
        "energy_unbiased",
        "w2_debiased",
        "sliced_w2_debiased",
        "spectrum",
        "lengths",
        "columns",
        "copies",
    )
    transport_atoms: int = 512
    truth_atoms: int = 50
    truth_sets: int = 12
    truth_pairs: int = 499_500
    near: float = 0.1
    resamples: int = 1000
    level: float = 0.95
    interval_pairs: int = 5000


@dataclass(frozen=True)
class HeldOutHalves:
    """Disjoint parts of the test sets.

    Attributes:
        raw: The contexts in the units of the data, as the model embeds them.
        context: The same atoms in the ground space, flat, `(N, D)`.
        target: The other atoms in the ground space, flat.
        limits: Largest numbers of atoms of a context and of a target.
        w2_name: Name of W2, with the distance of atoms where it is not Euclidean.
        distance: The distance of atoms, where it is not Euclidean.
    """

    raw: SetBatch
    context: SetBatch
    target: SetBatch
    limits: tuple[int, int]
    w2_name: str = "W2"
    distance: Distance | None = None

    @property
    def with_pairs(self) -> Tensor:
        """Indices of the sets with two atoms in each half, which metrics of samples need."""
        return ((self.context.sizes > 1) & (self.target.sizes > 1)).nonzero().flatten()


def halves(
    subject: Subject, test: Collection, config: EvaluationConfig, seed: int
) -> HeldOutHalves:
    """Read the test sets, and split each at random into a context and a target.

    Of many sets or long atoms fewer atoms are kept, so that memory stays bounded. A row that a set
    reads twice is one atom.
    """
    test, rng = merge_repeated(test), stream(seed, "halves")
    columns = columns_of(subject.model, test)
    width = max(1, int(np.prod(test.event_shape)))
    largest = max(2, config.numbers // (len(test) * width))
    context_size, target_size = min(config.context, largest), min(config.target, largest)
    at_once = max(1, min(64, config.numbers // (2 * context_size * width)))
    contexts, targets = [], []
    for start in range(0, len(test), at_once):
        indices = range(len(test))[start : start + at_once]
        # a draw from weighted sets could repeat an atom, and put it into both halves
        whole = test.weighted or int(max(test.sizes[list(indices)])) <= 2 * context_size
        batch = test.batch(indices) if whole else test.batch(indices, 2 * context_size, rng)
        if columns is not None:
            batch = batch.replace(x=batch.x[:, columns])
        context, target = batch.split(context_size, context_size, rng)
        contexts.append(context)
        targets.append(target.subsample(target_size, rng))
    raw, target = SetBatch.concat(contexts), SetBatch.concat(targets)
    return HeldOutHalves(
        raw,
        subject.to_ground(raw),
        subject.to_ground(target),
        (context_size, target_size),
        w2_name(test.atoms),
        ground_distance(test.atoms),
    )
