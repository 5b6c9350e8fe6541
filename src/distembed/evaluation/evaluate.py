r"""Evaluation of a model on held-out sets, beside baselines that see the same atoms.

- Samples: as many atoms as the target half has are drawn from the embedding of the context half,
  and compared with the target half by unbiased metrics (`distembed.evaluation.metrics`), beside
  the context half itself (the floor), a Gaussian with the context's moments, atoms of other sets,
  and the untrained model.
- Likelihood, of sequences: held-out bits a residue (`distembed.evaluation.bits`).
- Geometry: the rank correlation of the model's distances with W2, over all pairs of sets and over
  the closest tenth, beside the baselines. W2 is the given truth, or exact OT between target
  halves; the noise of the latter bounds every method, and exact OT between context halves shows
  it.

Intervals are 95 % percentiles over resampled sets. They hold the trained model fixed: the spread
over seeds is another matter, which `distembed bench` measures.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from distembed.data.spaces import ground_distance
from distembed.evaluation import BASELINES
from distembed.evaluation.baselines import MeanCov, build_baselines
from distembed.evaluation.bits import score_bits
from distembed.evaluation.bootstrap import FEWEST_SETS, resamples
from distembed.evaluation.coverage import certainty
from distembed.evaluation.halves import EvaluationConfig, HeldOutHalves, halves
from distembed.evaluation.rank_correlation import score_geometry
from distembed.evaluation.result import Evaluation, Pairs
from distembed.evaluation.samples import score_samples
from distembed.evaluation.subject import EvaluatedModel, Subject, refuse_training_sets
from distembed.evaluation.truth import ReferenceW2, reference_w2
from distembed.protocols import Collection
from distembed.registry import NamedMember, applicable
from distembed.rng import Rng, stream

__all__ = ["EvaluationConfig", "evaluate"]


def evaluate(
    model: EvaluatedModel,
    test: Collection,
    *,
    truth: NDArray[Any] | None = None,
    baselines: Literal["all"] | Sequence[NamedMember] = "all",
    rng: Rng = 0,
    pairs: int = 2000,
    config: EvaluationConfig | None = None,
    progress: bool | Callable[[str], None] = False,
) -> Evaluation:
    """Evaluate a model on sets that it was not trained on.

    Args:
        model: A GDE, or anything that embeds a batch of sets (`distembed.evaluation.subject`).
        test: The held-out sets, each of two atoms at least.
        truth: True W2 of every pair, `(S, S)`, in the model's ground space; measured if left out.
        baselines: Members of `BASELINES`, names or mappings of a name and options; or all that are
            defined for the kind of atoms.
        rng: Seed; the same seed gives the same numbers.
        pairs: Exact OT compares at most so many pairs of sets; with a truth, everything else
            compares all of them.
        config: Sizes and levels.
        progress: Whether to write lines of progress to standard error, or a function to call.

    Returns:
        The numbers; `print(evaluation.table())` shows them. Of fewer than four sets they are
        means of the metrics of samples, without intervals.

    Raises:
        ValueError: If a set has a single atom or was used in training, features are missing, or a
            baseline is unknown or not defined for the kind of atoms.
        ImportError: If the distance of atoms needs an extra that is not installed.
        TypeError: If the model does not embed.
    """
    say = progress if callable(progress) else _on_stderr if progress else _in_silence
    settings = config or EvaluationConfig()
    subject, kind = Subject.of(model), test.atoms.name
    if pairs < 3:
        raise ValueError(f"pairs = {pairs}; a rank correlation needs at least three.")
    members = applicable(BASELINES, kind) if baselines == "all" else list(baselines)
    distances = build_baselines(members, kind, ground_distance(test.atoms))
    seed = rng if isinstance(rng, int) else int(torch.randint(2**62, (), generator=rng))
    refuse_training_sets(model, test)
    noun = "set" if len(test) == 1 else "sets"
    say(f"reading {len(test)} {noun}, one half to embed and the other to compare with")
    sets = halves(subject, test, settings, seed)
    say("embedding")
    table = subject.embed(sets.raw, covariance=True)
    tables = {"gde": (subject, table)}
    if subject.trained is not None:
        untrained = Subject.of(subject.trained.untrained())
        tables["untrained"] = (untrained, untrained.embed(sets.raw, covariance=True))
    models = {name: (model, np.asarray(own.z)) for name, (model, own) in tables.items()}
    counts = resamples(len(test), settings.resamples, stream(seed, "bootstrap"))
    say("drawing from the embeddings and comparing with the target halves")
    scores = score_samples(models, sets, kind, counts, settings, seed)
    if "vocab" in test.atoms.facts:
        say("likelihoods of the target halves")
        own = {name: (s.model, table) for name, (s, table) in tables.items()}
        scores += score_bits(own, sets, test.atoms.facts["vocab"], counts)
    if len(test) < FEWEST_SETS:
        return Evaluation(tuple(scores), _of_few(subject, sets, settings, seed), Pairs.none())
    if truth is None:
        say("measuring the W2 of pairs of target halves")
    reference = reference_w2(sets, truth, pairs, settings, seed)
    more, of_pairs = score_geometry(
        {
            name: model.distances(own, reference.index.numpy())
            for name, (model, own) in tables.items()
        },
        sets,
        reference,
        distances,
        counts,
        pairs=pairs,
        near=settings.near,
        seed=seed,
        say=say,
    )
    described = _described(subject, sets, reference, settings) | {"seed": seed}
    if subject.calibrated is not None:
        described |= certainty(
            subject.calibrated, table, reference, settings.level, settings.interval_pairs
        )
    return Evaluation((*scores, *more), described, of_pairs)


def _of_few(
    subject: Subject, sets: HeldOutHalves, config: EvaluationConfig, seed: int
) -> dict[str, Any]:
    """Return how the numbers of a few sets were computed, and what was left out."""
    count = len(sets.target)
    left_out = (
        f"{count} held-out {'set is' if count == 1 else 'sets are'} too few for rank correlations "
        f"of distances, intervals and p-values, which need at least {FEWEST_SETS}"
    )
    return _samples_described(subject, sets, config) | {"few_sets": left_out, "seed": seed}


def _samples_described(
    subject: Subject, sets: HeldOutHalves, config: EvaluationConfig
) -> dict[str, Any]:
    """Return how samples were compared, as plain values."""
    named = {} if sets.distance is None else {"w2": sets.w2_name}
    return {
        "sets": len(sets.target),
        "sample_sets": f"{len(sets.with_pairs)}, those with two atoms in each half",
        "context_atoms": _span(sets.context.sizes),
        "target_atoms": _span(sets.target.sizes),
        "most_atoms": f"{sets.limits[0]} in a context, {sets.limits[1]} in a target",
        "ground": "the model's, after its transforms" if subject.ground else "input",
        "dimension": sets.context.x.shape[1],
    } | named


def _described(
    subject: Subject, sets: HeldOutHalves, reference: ReferenceW2, config: EvaluationConfig
) -> dict[str, Any]:
    """Return how the numbers were computed, as plain values."""
    dimension = sets.context.x.shape[1]
    return _samples_described(subject, sets, config) | {
        "truth": reference.source,
        "pairs": len(reference.index),
        "near": f"the closest {config.near:.0%} by W2",
        "covariance_axes": min(MeanCov().axes, dimension),
        "interval": f"95 %, {config.resamples} resamples of the sets",
    }


def _on_stderr(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def _in_silence(text: str) -> None:
    pass


def _span(sizes: torch.Tensor) -> str:
    low, high = int(sizes.min()), int(sizes.max())
    return str(low) if low == high else f"{low} to {high}, median {int(np.median(sizes))}"
