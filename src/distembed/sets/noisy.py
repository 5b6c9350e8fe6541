r"""Construct sets from labels that are known with error, by the inversion of the error.

An atom x of an unknown set s carries an observed label o. With the probability $C_{so} = p(o | s)$
of a label given the set (a confusion matrix), the weight of the atom in set s is the posterior

    q(s | x, o) = C_so p(s | x) / sum_t C_to p(t | x),

because the law of the atoms of s is $\int p(x, o) q(s | x, o) do / p(s)$. Weights of labels alone,
$p(s | o)$, mix the sets once more than the labels did; the naive sets {x: o = s} mix them once.

The probability p(s | x) is a multinomial logistic regression on standardised atoms and random
Fourier features, fitted through the error (the forward correction),

    max_W  sum_i log sum_s C_{s o_i} softmax(W phi(x_i))_s - lambda |W|^2 / 2,

with lambda by the likelihood of held-out atoms. Where atoms tell nothing of their set, p(s | x) is
the prior, and mixing sets of one law changes nothing.

Where other evidence gives each atom a probability of every set, $p_i(s)$ under a prior $\pi$, its
likelihood $p_i(s) / \pi_s$ is in the place of $C_{so_i}$.

| Making deep neural networks robust to label noise: Patrini et al. (2017)
| Random features for large-scale kernel machines: Rahimi, Recht (2007)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from distembed.data.observations import Observations
from distembed.data.recognise import recognise
from distembed.protocols import AtomSpace
from distembed.rng import Rng, as_generator
from distembed.sets.collection import Sets
from distembed.sets.construct import large_enough, normalised
from distembed.sets.evidence import of_confusion, of_probabilities
from distembed.sets.recipe import recipe_of

__all__ = ["InversionSettings", "by_noisy_label", "posterior_of_sets"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class InversionSettings:
    """Settings of the regression of sets on atoms.

    Attributes:
        features: Number of random Fourier features.
        penalties: Penalties lambda an atom among which the held-out likelihood chooses.
        atoms: Atoms that the regression is fitted to, at most.
        least: Weights below this share of the largest one of their set are left out.
    """

    features: int = 128
    penalties: tuple[float, ...] = (1e-4, 1e-3, 1e-2, 1e-1)
    atoms: int = 20_000
    least: float = 1e-4


def by_noisy_label(
    observations: Observations,
    by: str | Sequence[str],
    confusion: Mapping[str, Mapping[str, float]] | Any = None,
    *,
    prior: Mapping[str, float] | None = None,
    min_size: int = 2,
    rng: Rng = 0,
    atoms: AtomSpace | None = None,
    settings: InversionSettings = InversionSettings(),
) -> Sets:
    """Construct one weighted set a true label from atoms with noisy labels.

    Args:
        observations: One row an atom; vectors or counts.
        by: Column of observed labels; or, without a confusion, a column for each true label: its
            probability for the atom, by evidence other than the features.
        confusion: The probability of an observed label given the true one, `confusion[s][o]`: a
            mapping of mappings, or a data frame whose rows are true labels.
        prior: Share of each label under which probabilities of atoms were computed; their mean
            where left out.
        min_size: Fewest atoms of a set.
        rng: Source of the random features and of the held-out atoms.
        atoms: The kind of atoms; recognised where left out.
        settings: Settings of the regression.

    Returns:
        A set for each true label, over the same observations; sets share atoms.

    Raises:
        ValueError: If a label has no column in `confusion`, a row or the probabilities of an atom
            do not sum to one, they tell nothing, or atoms have no features.

    Example:
        >>> x = np.concatenate([np.zeros(50), np.ones(50)])[:, None]
        >>> seen = np.array(["a"] * 40 + ["b"] * 60)
        >>> noise = {"a": {"a": 0.8, "b": 0.2}, "b": {"a": 0.0, "b": 1.0}}
        >>> sets = by_noisy_label(Observations(x, {"label": seen}), "label", noise)
        >>> [round(float(sets.batch([s]).mean(sets.batch([s]).x)), 2) for s in (0, 1)]
        [0.0, 1.0]
    """
    space = recognise(observations) if atoms is None else atoms
    if space.name not in ("vectors", "counts"):
        raise ValueError(
            f"The atoms are {space.name}, and sets are inverted from features of vectors or "
            "counts. Embed the atoms as vectors first."
        )
    if confusion is None:
        names, likelihood = of_probabilities(observations, by, prior)
    elif isinstance(by, str) and prior is None:
        names, likelihood = of_confusion(observations, by, confusion)
    else:
        raise ValueError(
            f"by = {by!r} and prior = {prior!r} with a confusion matrix, which is for one column "
            "of observed labels and knows no prior. Leave the confusion out for columns of "
            "probabilities."
        )
    x = observations.x.toarray() if observations.sparse else np.asarray(observations.x)
    x = np.log1p(x) if space.name == "counts" else x
    q = posterior_of_sets(x, likelihood, rng, settings)
    kept = q > settings.least * q.max(0)
    sizes = kept.sum(0)
    large = large_enough(sizes, min_size)
    which, row = np.nonzero(kept.T[large])
    offsets = np.concatenate([[0], np.cumsum(sizes[large])])
    weight = q.T[large][which, row]
    return Sets(
        Observations(observations.x, features=observations.features),
        row,
        offsets,
        np.array(names)[large],
        normalised(weight, offsets),
        {"expected_atoms": q.sum(0)[large]},
        space,
        recipe=recipe_of(
            "by_noisy_label",
            {"by": by, "confusion": confusion, "prior": prior, "min_size": min_size},
        ),
    ).checked()


def posterior_of_sets(
    x: ArrayLike,
    likelihood: ArrayLike,
    rng: Rng = 0,
    settings: InversionSettings = InversionSettings(),
) -> Array:
    """Return the probability that each atom is of each set, `(R, S)`.

    Args:
        x: Features of atoms, `(R, D)`.
        likelihood: The probability of what was observed of an atom if it were of set s, `(R, S)`,
            up to a factor an atom.
        rng: Source of the random features and of the held-out atoms.
        settings: Settings of the regression.

    Raises:
        ValueError: If a likelihood is negative, not finite, or zero for all sets of an atom.
    """
    given = np.asarray(likelihood, dtype=np.float64)
    if not np.isfinite(given).all() or (given < 0).any() or (given.sum(1) <= 0).any():
        raise ValueError(
            "Likelihoods are finite and not negative, and of every atom at least one is positive: "
            "an atom whose label no set can have belongs nowhere. Correct it or drop the atom."
        )
    generator = as_generator(rng)
    phi = _features(torch.as_tensor(np.asarray(x, dtype=np.float64)), generator, settings)
    evidence = torch.from_numpy(given / given.max(1, keepdims=True))
    part = torch.randperm(len(phi), generator=generator)[: settings.atoms]
    fit, held_out = part[::2], part[1::2]
    if len(held_out) < 2:
        raise ValueError(
            f"{len(phi)} atoms are too few to tell sets by; at least four are needed."
        )
    scores = [
        _likelihood(phi[held_out], evidence[held_out], _regress(phi[fit], evidence[fit], penalty))
        for penalty in settings.penalties
    ]
    best = settings.penalties[int(np.argmax(scores))]
    p = torch.softmax(phi @ _regress(phi[part], evidence[part], best), 1) * evidence
    posterior: Array = (p / p.sum(1, keepdim=True)).numpy()
    return posterior


def _features(x: Tensor, rng: torch.Generator, settings: InversionSettings) -> Tensor:
    """Return 1, standardised atoms and random Fourier features at the median distance."""
    deviation = x.std(0)
    x = (x - x.mean(0)) / torch.where(deviation > 0, deviation, 1)
    some = x[torch.randperm(len(x), generator=rng)[:512]]
    distances = torch.pdist(some)
    scale = float(distances[distances > 0].median()) if (distances > 0).any() else 1.0
    count = settings.features // 2
    frequency = torch.randn(x.shape[1], count, generator=rng, dtype=x.dtype) / scale
    angle = x @ frequency
    return torch.cat([torch.ones(len(x), 1, dtype=x.dtype), x, angle.cos(), angle.sin()], 1)


def _regress(phi: Tensor, evidence: Tensor, penalty: float) -> Tensor:
    """Return the weights `(F, S)` of the regression through the error; the first is free."""
    weights = torch.zeros(phi.shape[1], evidence.shape[1], dtype=phi.dtype, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [weights], max_iter=200, tolerance_grad=1e-7, line_search_fn="strong_wolfe"
    )

    def closure() -> float:
        optimizer.zero_grad()
        loss = -_mean_log(phi, evidence, weights) + penalty / 2 * weights[1:].square().sum()
        loss.backward()
        return float(loss.detach())

    optimizer.step(closure)
    return weights.detach()


def _mean_log(phi: Tensor, evidence: Tensor, weights: Tensor) -> Tensor:
    logits = torch.log_softmax(phi @ weights, 1)
    return torch.logsumexp(logits + evidence.clamp_min(1e-300).log(), 1).mean()


def _likelihood(phi: Tensor, evidence: Tensor, weights: Tensor) -> float:
    return float(_mean_log(phi, evidence, weights))
