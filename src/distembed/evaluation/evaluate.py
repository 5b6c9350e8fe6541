r"""Judge a model on held-out sets, beside everything that could replace it on the same atoms.

- Reconstruction: as many atoms as the target half has are drawn from the embedding and compared
  with it, beside the context half itself (the floor), a Gaussian with the context's moments,
  atoms of other sets, and the untrained model.
- Geometry: the rank correlation of latent distances with W2, over all pairs of sets and over the
  closest tenth, beside the baselines. W2 is the given truth, or exact OT between target halves;
  the noise of the latter bounds every method, and exact OT between context halves shows it.

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

from distembed.evaluation import BASELINES
from distembed.evaluation.baselines import AXES
from distembed.evaluation.bootstrap import resamples
from distembed.evaluation.coverage import certainty
from distembed.evaluation.halves import Evaluated, embed, halves, refuse_training_sets
from distembed.evaluation.rank_correlation import geometry, truth_of
from distembed.evaluation.result import Evaluation
from distembed.evaluation.samples import samples
from distembed.protocols import Collection
from distembed.rng import Rng, stream

__all__ = ["Evaluated", "evaluate"]

_RESAMPLES = 1000


def evaluate(
    model: Evaluated,
    test: Collection,
    *,
    truth: NDArray[Any] | None = None,
    baselines: Literal["all"] | Sequence[str] = "all",
    rng: Rng = 0,
    pairs: int = 2000,
    progress: bool | Callable[[str], None] = False,
) -> Evaluation:
    """Judge a model on sets that it was not trained on.

    Args:
        model: A GDE, or anything that embeds a batch of sets.
        test: The held-out sets, each of two atoms at least.
        truth: True W2 of every pair, `(S, S)`, in the model's ground space; measured if left out.
        baselines: Names from `BASELINES`, or all of them.
        rng: Seed; the same seed gives the same numbers.
        pairs: Exact OT compares at most so many pairs of sets; with a truth, everything else
            compares all of them.
        progress: Whether to say what is being done, or what to say it to.

    Returns:
        The numbers; `print(evaluation.table())` shows them.

    Raises:
        ValueError: If there are fewer than four sets, one has a single atom, one was used in
            training, features are missing, or a baseline is unknown.
        TypeError: If the model does not embed.
    """
    say = progress if callable(progress) else _on_stderr if progress else _in_silence
    if not isinstance(model, Evaluated):
        raise TypeError(f"A {type(model).__name__} has no method embed(sets) with a result .z.")
    if len(test) < 4:
        raise ValueError(f"There are {len(test)} sets; an evaluation needs at least four.")
    if pairs < 3:
        raise ValueError(f"pairs = {pairs}; a rank correlation needs at least three.")
    names = list(BASELINES) if baselines == "all" else list(baselines)
    unknown = sorted(set(names) - set(BASELINES))
    if unknown:
        raise ValueError(
            f"There is no baseline {', '.join(unknown)}; there are: {', '.join(BASELINES)}."
        )
    seed = rng if isinstance(rng, int) else int(torch.randint(2**62, (), generator=rng))
    refuse_training_sets(model, test)
    say(f"reading {len(test)} sets, one half to embed and the other to judge")
    sets = halves(model, test, seed)
    models = {"gde": model}
    if hasattr(model, "untrained"):
        models["untrained"] = model.untrained()
    z = {name: embed(m, sets) for name, m in models.items()}
    counts = resamples(len(test), _RESAMPLES, stream(seed, "bootstrap"))
    say("drawing from the embeddings and comparing with the other halves")
    rows = samples(models, z, sets, counts, seed)
    if truth is None:
        say("measuring the W2 of pairs of target halves")
    known = truth_of(sets, truth, pairs, seed)
    more, chosen = geometry(z, sets, known, names, counts, pairs, seed, say)
    say("asking the model how sure it is")
    settings = {
        "sets": len(test),
        "context_atoms": _span(sets.context.sizes),
        "target_atoms": _span(sets.target.sizes),
        "most_atoms": f"{sets.most_context} in a context, {sets.most_target} in a target",
        "ground": "the model's, after its transforms"
        if hasattr(model, "atom_transform")
        else "input",
        "dimension": sets.context.x.shape[1],
        "truth": known.source,
        "pairs": len(known.index),
        "near": "the closest tenth by W2",
        **certainty(model, sets, known),
        "covariance_axes": min(AXES, sets.context.x.shape[1]),
        "interval": f"95 %, {_RESAMPLES} resamples of the sets",
        "seed": seed,
    }
    return Evaluation((*rows, *more), settings, chosen)


def _on_stderr(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def _in_silence(text: str) -> None:
    pass


def _span(sizes: torch.Tensor) -> str:
    low, high = int(sizes.min()), int(sizes.max())
    return str(low) if low == high else f"{low} to {high}, median {int(np.median(sizes))}"
