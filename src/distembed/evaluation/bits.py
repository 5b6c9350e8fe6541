r"""Held-out bits a residue of sequences: the likelihood of atoms given other atoms of their set.

    bits_s = -\sum_i w_i \log_2 p(x_i | z_s) / \sum_i w_i l_i,

for the atoms $x_i$ of the target half of set s, of $l_i$ residues, and the embedding $z_s$ of the
context half. $p$ is the probability of the whole sequence, its end included, so that the lengths
count too. A generator with a bound in the place of a density has none. Beside it stand

- `positions` and `markov`: laws counted in the context, of
  `distembed.evaluation.sequence_baselines`;
- `markov_others`: a Markov chain of the contexts of all other sets, which does not know the set.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from distembed.batch import SetBatch
from distembed.evaluation.bootstrap import BootstrapEstimate, mean
from distembed.evaluation.halves import HeldOutHalves
from distembed.evaluation.metrics import number
from distembed.evaluation.result import Score, compare
from distembed.evaluation.sequence_baselines import fit_markov, fit_positions, log_prob
from distembed.rng import stream

__all__ = ["DensityModel", "bits_a_residue", "score_bits"]

logger = logging.getLogger(__name__)

_OTHERS = 20_000  # atoms of all other sets that one Markov chain is fitted to


@runtime_checkable
class DensityModel(Protocol):
    """Optional part of an evaluated model: the log-likelihood of atoms under embeddings."""

    def log_prob(self, sets: SetBatch, z: Any, /) -> list[np.ndarray]:
        """Return the log-likelihood of the atoms of each set in nats, `(m,)` each.

        A TypeError says that the generator has no density.
        """


def score_bits(
    models: Mapping[str, tuple[Any, Any]],
    sets: HeldOutHalves,
    vocab: int,
    counts: NDArray[np.float64],
) -> list[Score]:
    """Score the held-out bits a residue of models, beside counted laws of the same contexts.

    Args:
        models: Models and their tables of the contexts, by method; `gde` among them.
        sets: The halves.
        vocab: Size of the alphabet.
        counts: Resamples of the sets, `(R, S)`.

    Returns:
        One score a method; none if the model has no density, a target has no residue, or, which
        is logged, a sequence is longer than the model scores. The note of `gde` has the
        difference from each baseline, with its interval over the same resamples.
    """
    target = sets.target
    if bool((target.mean((target.x > 0).sum(1, keepdim=True).double()) == 0).any()):
        return []
    bits: dict[str, NDArray[np.float64]] = {}
    for name, (model, table) in models.items():
        nats = _nats(model, target, table)
        if nats is not None:
            bits[name] = bits_a_residue(target, nats)
    if "gde" not in bits:
        return []
    laws = {"positions": fit_positions, "markov": fit_markov}
    for name, fit in laws.items():
        bits[name] = bits_a_residue(target, log_prob(fit(sets.context, vocab), target))
    if len(target) > 1:
        chains = [fit_markov(_others(sets.context, s), vocab)[0] for s in range(len(target))]
        bits["markov_others"] = bits_a_residue(target, log_prob(chains, target))
    estimates = {name: mean(values, counts) for name, values in bits.items()}
    return compare("bits", estimates, {"gde": _differences(estimates)})


def bits_a_residue(target: SetBatch, nats: Tensor) -> NDArray[np.float64]:
    """Return the bits a residue of each set from log-likelihoods `(N,)` in nats, `(S,)`."""
    length = (target.x > 0).sum(1, keepdim=True).double()
    bits = -target.mean(nats.double()[:, None]) / target.mean(length) / np.log(2)
    values: NDArray[np.float64] = bits[:, 0].numpy()
    return values


def _nats(model: Any, target: SetBatch, table: Any) -> Tensor | None:
    if not isinstance(model, DensityModel):
        return None
    try:
        parts = model.log_prob(target, table)
    except TypeError:  # the generator has no density
        return None
    except ValueError as error:  # a sequence is longer than those of training
        logger.warning("there are no held-out bits: %s", error)
        return None
    return torch.from_numpy(np.concatenate([np.asarray(p, np.float64) for p in parts]))


def _others(context: SetBatch, s: int) -> SetBatch:
    """Return the atoms of all sets but one as one set, each set of the same weight."""
    rest = context.select([b for b in range(len(context)) if b != s])
    rest = rest.subsample(max(1, _OTHERS // len(rest)), stream(0, "other sets"))
    return SetBatch(rest.x, rest.w / len(rest), torch.tensor([0, len(rest.x)]))


def _differences(estimates: Mapping[str, BootstrapEstimate]) -> str:
    """Write how many bits fewer than each baseline `gde` takes, with paired intervals."""
    own, parts = estimates["gde"], []
    for name, other in estimates.items():
        if name != "gde":
            gap = BootstrapEstimate(other.value - own.value, other.draws - own.draws)
            low, high = gap.interval()
            ends = f" [{number(low)}, {number(high)}]" if np.isfinite(low) else ""
            parts.append(f"{number(gap.value)}{ends} below {name}")
    return ", ".join(parts)
