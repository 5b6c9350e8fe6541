r"""Mixtures of real scanned digits: the demo.

Data: the 1,797 scans of 8 x 8 pixels that scikit-learn ships (Alpaydin and Kaynak, 1998). Images
are split into a train and a test pool *before* any set is made, so no image is on both sides. A
set is a mixture of three digit classes with Dirichlet(1) weights and 64 to 256 images.

Truth: the W2 of two mixtures is known exactly as the optimal transport between the *pools* of
their classes, each image weighted by its class's share. A model sees the set's images alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from distembed.batch import SetBatch
from distembed.divergences.exact import pairwise_w2
from distembed.evaluation.evaluate import evaluate
from distembed.files import write_atomically
from distembed.model.gde import GDE
from distembed.report import overview, write_report
from distembed.sets.collection import Sets
from distembed.sets.construct import mixtures
from distembed.sets.digits import digit_pools
from distembed.training.config import TrainConfig

__all__ = ["demo", "digit_pools", "mixture_w2"]

CLASSES, SIZE = 3, (64, 256)


def mixture_w2(
    pool: Sets, sets: Sets, transform: Callable[[torch.Tensor], torch.Tensor]
) -> np.ndarray:
    """Return the exact W2 between all mixtures of a pool's sets, `(S, S)`.

    Args:
        pool: The components.
        sets: Mixtures of them, with a column of metadata `weight_<id>` a component.
        transform: Map to the space W2 is measured in.
    """
    shares = np.stack([sets.meta[f"weight_{name}"] for name in pool.ids], 1)
    atoms = pool.batch(range(len(pool)))
    x, owner = transform(atoms.x), atoms.owner
    parts = []
    for row in torch.from_numpy(shares):
        w = (row[owner] / atoms.sizes[owner]).float()
        used = w > 0
        parts.append(
            SetBatch(x[used], w[used] / w[used].sum(), torch.tensor([0, int(used.sum())]))
        )
    pairs = torch.combinations(torch.arange(len(sets)))
    truth = torch.zeros(len(sets), len(sets), dtype=torch.float64)
    truth[pairs[:, 0], pairs[:, 1]] = pairwise_w2(SetBatch.concat(parts), pairs).double()
    return (truth + truth.T).numpy()


def demo(
    out: Path, *, quick: bool = False, log: Callable[[str], None], progress: bool = True
) -> Path:
    """Train, evaluate, generate, interpolate and report; return the report's path."""
    train_pool, test_pool = digit_pools()
    train = mixtures(train_pool, 100 if quick else 1000, CLASSES, size=SIZE, rng=1)
    test = mixtures(test_pool, 24 if quick else 80, CLASSES, size=SIZE, rng=2)
    log(f"train: {train}")
    log(f"test:  {test}")
    settings = TrainConfig(steps=60 if quick else 1500, every=50 if quick else 150)
    model = GDE(latent=32).fit(train, settings, progress=progress)
    model.save(out / "model")
    log("measuring the exact W2 between the held-out mixtures")
    truth = mixture_w2(test_pool, test, model.atom_transform)
    evaluation = evaluate(model, test, truth=truth, progress=log)
    log(evaluation.table())
    threes, eights = (test_pool.select(test_pool.ids == digit) for digit in ("3", "8"))
    ends = {
        name: model.embed(sets, covariance=False).z[0]
        for name, sets in (("all threes", threes), ("all eights", eights))
    }
    content = json.dumps(evaluation.to_json(), indent=1) + "\n"
    write_atomically(out / "evaluation.json", content)
    shown: dict[str, Any] = {
        "model": model,
        "test": test,
        "evaluation": evaluation,
        "embeddings": model.embed(test),
        "between": ends,
    }
    overview(out / "overview.png", **shown)
    return write_report(
        out / "report.html",
        **shown,
        title="Mixtures of scanned digits",
    )
