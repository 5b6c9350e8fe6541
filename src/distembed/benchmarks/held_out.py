"""Scores of samples: atoms that a model embeds, and others that its samples are compared with.

The metrics are those of `distembed.evaluation.metrics`, and the references those of `evaluate`:
the embedded atoms themselves (`floor`), and a Gaussian with their moments (`mean_cov`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from distembed.batch import SetBatch
from distembed.evaluation.metrics import METRICS
from distembed.evaluation.result import Score
from distembed.evaluation.samples import gaussian
from distembed.model.gde import GDE

__all__ = ["HeldOut"]


@dataclass(frozen=True)
class HeldOut:
    """Two samples of each held-out distribution.

    Attributes:
        context: The atoms that are embedded.
        target: The atoms that samples are compared with.
        metrics: Names of metrics of samples.
        seed: Of all that is drawn.
    """

    context: SetBatch
    target: SetBatch
    metrics: tuple[str, ...]
    seed: int = 0

    def draw(self, model: GDE, count: int | None = None) -> SetBatch:
        """Draw from the embeddings of the contexts, as many atoms as a target has if left out."""
        count = int(self.target.sizes[0]) if count is None else count
        x = torch.from_numpy(model.reconstruct(self.context, count, self.seed))
        return SetBatch.from_dense(x.to(self.target.x.dtype))

    def scores(self, method: str, drawn: SetBatch, suffix: str = "") -> Iterator[Score]:
        """Compare samples with the targets.

        Args:
            method: Name of what drew them.
            drawn: The samples.
            suffix: Appended to the names of the metrics.
        """
        for name in self.metrics:
            value = METRICS[name].load()(drawn, self.target).double().mean()
            yield Score(f"{name}{suffix}", method, float(value))

    def references(self) -> dict[str, SetBatch]:
        """Return the contexts as a floor, and samples of Gaussians with their moments."""
        sizes = self.target.sizes.tolist()
        return {"floor": self.context, "mean_cov": gaussian(self.context, sizes, self.seed)}
