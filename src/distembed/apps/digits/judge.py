"""Evaluation of the demo, with the exact W2 of the mixtures.

The W2 of two mixtures is the optimal transport between the *pools* of their classes, each image
weighted by the share of its class. A model sees the images of a set alone.
"""

from __future__ import annotations

from collections.abc import Callable

from distembed.apps.digits.data import Digits
from distembed.evaluation.evaluate import evaluate
from distembed.evaluation.result import Evaluation
from distembed.model.gde import GDE
from distembed.sets.mixture_w2 import mixture_w2

__all__ = ["judge"]


def judge(model: GDE, digits: Digits, log: Callable[[str], None]) -> Evaluation:
    """Evaluate a model on the held-out mixtures.

    Args:
        model: The model.
        digits: The data.
        log: Takes lines of progress.
    """
    log("measuring the exact W2 between the held-out mixtures")
    truth = mixture_w2(digits.pool, digits.test, model.atom_transform)
    return evaluate(model, digits.test, truth=truth, progress=log)
