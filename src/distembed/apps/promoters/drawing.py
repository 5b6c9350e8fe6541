"""Promoters for a bin of expression: drawn by the model, and in the ways it is compared with.

- `gde`: drawn from the embedding of half of the bin.
- `direction`: drawn from z on the line along which expression changes, at the level of the bin;
  beyond the training bins it is an extrapolation.
- `label`: drawn from a trained vector of the bin, for a held-out bin the mean of its neighbours'.
- `markov`: drawn from a Markov chain of half of the bin.
- `nearest`: promoters of the nearest training bins, and `unconditional` of all of them.
- `floor`: half of the bin itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from distembed.apps.application import Case
from distembed.apps.promoters.data import Division, PromoterSettings
from distembed.data.observations import Observations
from distembed.evaluation.sequence_baselines import draw_laws, fit_markov
from distembed.evaluation.sequence_models import LabelModel
from distembed.protocols import Generator
from distembed.rng import stream
from distembed.sets.collection import Sets
from distembed.sets.construct import by_label

__all__ = ["Halves", "draw_promoters", "halved"]

Texts = list[list[str]]


@dataclass(frozen=True)
class Halves:
    """Two halves of the promoters of some bins.

    Attributes:
        bins: Numbers of the bins, `(B,)`.
        context: What is embedded.
        target: What drawn promoters are compared with, B lists.
    """

    bins: NDArray[np.int64]
    context: Sets
    target: Texts


def halved(division: Division, bins: Sequence[int], space: Sets, most: int, seed: int) -> Halves:
    """Divide the promoters of bins into halves of at most so many.

    Args:
        division: The promoters.
        bins: Numbers of the bins.
        space: Sets of the same kind and length of atoms.
        most: Most promoters of a half.
        seed: Seed of the division.
    """
    rng = np.random.default_rng([seed, 1])
    contexts, targets, labels = [], [], []
    for b in bins:
        own = rng.permutation(division.rows(int(b)))
        half = min(len(own) // 2, most)
        contexts += division.promoters.sequence[own[:half]].tolist()
        targets.append(division.promoters.sequence[own[half : 2 * half]].tolist())
        labels += [str(b)] * half
    # the bins have the length of atoms that the model was built for
    longest = space.event_shape[0]
    x = space.atoms.encode(contexts)
    x = np.pad(x, ((0, 0), (0, longest - x.shape[1])))
    sets = by_label(Observations(x, {"bin": np.array(labels)}), "bin", atoms=space.atoms)
    return Halves(np.asarray(bins), sets, targets)


def draw_promoters(
    case: Case[PromoterSettings], division: Division, halves: Halves
) -> dict[str, Texts]:
    """Draw promoters for each bin by every method, B lists each."""
    settings, model = case.settings, case.model
    n = settings.drawn
    table = model.embed(halves.context, covariance=False)
    drawn: dict[str, Texts] = {"gde": model.sample(table, n, rng=settings.seed, as_data=True)}
    line = _line(model.embed(case.train, covariance=False).z, case.train.meta["level"])
    z = line(division.level[halves.bins])
    drawn["direction"] = model.sample(z, n, rng=settings.seed, as_data=True)
    case.log("training a generator that knows the bin of a training set")
    drawn["label"] = _of_labels(case, division, halves.bins, n)
    context = halves.context.batch(range(len(halves.bins)))
    chains = draw_laws(fit_markov(context, 4), [n] * len(halves.bins), settings.seed)
    strings = case.train.atoms.restore(chains.x.numpy())
    drawn["markov"] = [strings[i * n : (i + 1) * n] for i in range(len(halves.bins))]
    rng = np.random.default_rng([settings.seed, 2])
    training = np.flatnonzero(~division.held_out)
    every = np.flatnonzero((division.bin >= 0) & ~division.held_out[division.bin])
    drawn["nearest"], drawn["unconditional"] = [], []
    for b in halves.bins:
        rows = np.concatenate([division.rows(k) for k in _neighbours(division, training, int(b))])
        for name, pool in (("nearest", rows), ("unconditional", every)):
            chosen = rng.choice(pool, min(n, len(pool)), replace=False)
            drawn[name].append(division.promoters.sequence[chosen].tolist())
    texts = case.train.atoms.restore(context.x.numpy())
    ends = context.offsets.tolist()
    drawn["floor"] = [texts[i:j][:n] for i, j in zip(ends, ends[1:], strict=False)]
    return drawn


def _line(z: NDArray[np.float32], level: NDArray[np.float64]) -> _Line:
    """Fit embeddings as a linear function of expression, by least squares."""
    design = np.column_stack([np.ones(len(level)), level.astype(np.float64)])
    return _Line(np.linalg.lstsq(design, z.astype(np.float64), rcond=None)[0])


@dataclass(frozen=True)
class _Line:
    """Embeddings by expression: intercept and slope, `(2, L)`."""

    coefficients: NDArray[np.float64]

    def __call__(self, level: NDArray[np.float64]) -> NDArray[np.float32]:
        design = np.column_stack([np.ones(len(level)), level])
        return (design @ self.coefficients).astype(np.float32)


def _neighbours(division: Division, training: NDArray[np.int64], b: int) -> list[int]:
    """Return the nearest training bins of one medium, below and above where there are both."""
    own = training[division.medium[training] == division.medium[b]]
    below, above = own[own <= b], own[own >= b]
    ends = [below[-1:], above[:1]]
    return sorted({int(k) for end in ends for k in end})


def _of_labels(
    case: Case[PromoterSettings], division: Division, bins: NDArray[np.int64], n: int
) -> Texts:
    """Train vectors of the training bins, and draw from means of those of neighbours."""
    names, label = np.unique(case.train.meta["bin"], return_inverse=True)
    settings = case.settings
    model = LabelModel(case.train, torch.from_numpy(label), settings.latent, settings.training)
    rank = {int(b): k for k, b in enumerate(names)}
    vectors = model.vectors.weight.detach()
    near = [[rank[k] for k in _neighbours(division, names, int(b))] for b in bins]
    z = torch.stack([vectors[k].mean(0) for k in near])
    generator = model.generator
    assert isinstance(generator, Generator)
    with torch.no_grad():
        x = generator.sample(z, n, stream(settings.seed, "label"))
    restored: Texts = case.train.atoms.restore(x.numpy())
    return restored
