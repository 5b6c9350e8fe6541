r"""Training sets, and held-out sets with the W2 of their true distributions.

| problem    | a set                                                | W2                         |
|------------|------------------------------------------------------|----------------------------|
| `gaussian` | 500 atoms of a Gaussian, the prior of the GDE paper  | formula of Bures           |
| `mixture`  | 1,000 atoms of three of them, Dirichlet(1) weights   | exact OT between nets      |
| `simplex`  | 5,000 atoms of Multinomial(20, p), p on a grid of 55 | exact OT of count vectors  |
| `ladder`   | 64 atoms in 5-D, `distembed.data.synthetic.ladder`   | formula, or nets           |

The pairs are all, or a random choice where W2 has no formula. Real data are in
`distembed.benchmarks.real_problems`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from distembed.batch import SetBatch
from distembed.benchmarks.bench import held_out_seed
from distembed.benchmarks.pair_distances import every_pair, subset
from distembed.benchmarks.truth import mixture_net_w2
from distembed.data.synthetic.base import Known
from distembed.data.synthetic.counts import Multinomials
from distembed.data.synthetic.families import blobs
from distembed.data.synthetic.gaussians import Gaussians, Mixtures
from distembed.divergences.mixture import mixture_w2
from distembed.evaluation.truth import cached
from distembed.protocols import Collection
from distembed.rng import stream
from distembed.sets.collection import Sets

__all__ = ["Problem", "Sizes", "gaussian", "ladder", "mixture", "simplex"]

Pairs = NDArray[np.int64]
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Sizes:
    """How many sets, atoms and pairs a problem has.

    Attributes:
        train_sets: Training sets of synthetic problems.
        sets: Held-out sets of synthetic problems.
        images: Most training and most held-out sets of images.
        atoms: Most atoms of a set of a synthetic problem.
        target: Fresh atoms of a set that samples are compared with, of synthetic problems.
        pairs: Most pairs whose W2 is solved for, where it has no formula.
        net: Points of the net of a mixture.
        lattice: Total count of an atom, and levels of a probability, of the simplex.
    """

    train_sets: int = 3_000
    sets: int = 100
    images: tuple[int, int] = (1_000, 80)
    atoms: int = 5_000
    target: int = 200
    pairs: int = 300
    net: int = 768
    lattice: tuple[int, int] = (20, 10)


@dataclass(frozen=True)
class Problem:
    """Training sets, and held-out sets with the W2 of pairs of them.

    Attributes:
        train: Training sets.
        context: Atoms of the held-out sets that every method sees.
        target: Other atoms of the same distributions, which judge samples.
        pairs: Rows of the two sets of each pair, `(P, 2)`.
        w2: W2 of the distributions of each pair, in the units of the data, `(P,)`.
        mw2: The distance of mixtures by their components, `(P,)`, where sets are mixtures.
        near: Largest W2 of a near pair; the closest tenth if left out.
        biased: Whether W2 is too large because it is measured on finitely many points, so that
            relative errors mean nothing.
    """

    train: Collection
    context: SetBatch
    target: SetBatch
    pairs: Pairs
    w2: Array
    mw2: Array | None = None
    near: float | None = None
    biased: bool = False

    @property
    def near_w2(self) -> float:
        """Largest W2 of a near pair."""
        return float(np.quantile(self.w2, 0.1)) if self.near is None else self.near


def gaussian(sizes: Sizes, seed: int) -> Problem:
    """Draw Gaussians in the plane with 500 atoms; pairs with W2 < 1 are near."""

    def prior(sets: int, atoms: int, seed: int) -> Gaussians:
        return Gaussians.prior(sets, 2, 10, size=atoms, seed=seed)

    return replace(_known(prior, 500, sizes, seed), near=1.0)


def mixture(sizes: Sizes, seed: int) -> Problem:
    """Draw mixtures of three Gaussians in the plane with 1,000 atoms."""
    problem = _known(blobs, 1000, sizes, seed)
    test = blobs(sizes.sets, 1000, held_out_seed(seed))
    sides = list(zip(test.weights, test.mean, test.cov, strict=True))
    mw2 = [float(mixture_w2(*sides[i], *sides[j])) for i, j in problem.pairs.tolist()]
    return replace(problem, mw2=np.array(mw2))


def simplex(sizes: Sizes, seed: int, first: float = 1.0) -> Problem:
    """Draw sets of 100 atoms to train on, and 5,000 atoms at each point of a grid.

    Args:
        sizes: Numbers of sets and atoms.
        seed: Of the trial.
        first: Training probabilities are Dirichlet(first, 1, 1).
    """
    total, levels = sizes.lattice
    rng = stream(seed, "simplex")
    # normalised exponentials are Dirichlet(1, 1, 1), and Gamma numbers any Dirichlet
    mass = -torch.log1p(-torch.rand(sizes.train_sets, 3, generator=rng).double())
    if first != 1:
        shape = torch.full((sizes.train_sets,), first, dtype=torch.float64)
        mass[:, 0] = torch._standard_gamma(shape, generator=rng)
    train = Multinomials(mass, total, 100, seed)
    size = min(5_000, sizes.atoms)
    test = Multinomials.grid(levels, total, size, held_out_seed(seed))
    pairs = every_pair(len(test))
    w2 = cached("multinomial_w2", [test.p.numpy(), np.array(total)], lambda: test.w2(*pairs.T))
    return _of_known(train, test, pairs, w2, sizes.target)


def ladder(prior: Callable[[int, int, int], Known], sizes: Sizes, seed: int) -> Problem:
    """Draw sets of 64 atoms of a step of the ladder."""
    return _known(prior, 64, sizes, seed)


def _known(
    prior: Callable[[int, int, int], Known], atoms: int, sizes: Sizes, seed: int
) -> Problem:
    """Draw training and held-out sets of a prior, which is called with sets, atoms and a seed."""
    atoms = min(atoms, sizes.atoms)
    train, test = (
        prior(sizes.train_sets, atoms, seed),
        prior(sizes.sets, atoms, held_out_seed(seed)),
    )
    pairs = every_pair(len(test))
    if isinstance(test, Gaussians):
        return _of_known(train, test, pairs, test.w2(*pairs.T), sizes.target)
    if not isinstance(test, Mixtures):
        raise TypeError(f"The W2 of {type(test).__name__} has neither a formula nor nets.")
    pairs = pairs[subset(len(pairs), sizes.pairs)]
    w2 = mixture_net_w2(test, pairs, sizes.net)
    problem = _of_known(train, test, pairs, w2, sizes.target)
    return replace(problem, biased=test.mean.shape[2] > 2)


def _of_known(train: Known, test: Known, pairs: Pairs, w2: Array, target: int) -> Problem:
    """Keep the atoms of the training sets for ever, as real data do."""
    index = range(len(test))
    fresh = test.batch(index, target, stream(test.seed, "target"))
    kept = Sets.from_batch(train.batch(range(len(train))), train.atoms)
    return Problem(kept, test.batch(index), fresh, pairs, w2)
