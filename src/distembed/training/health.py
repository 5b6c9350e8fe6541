r"""Whether z says something of the sets, and whether the generator listens to it.

    z_signal = tr Cov(z_a, z_b) / tr Var(z),     a, b: disjoint halves of a context
    z_used   = E[loss(target, z of another set) - loss(target, z)]

The first is the share of the variance of z that is of the sets, and not of the sampling of their
points (an intraclass correlation). The second is zero for a generator that ignores z, the usual
way in which such a model fails: it learns what all sets share and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from distembed.batch import SetBatch
from distembed.protocols import Step

__all__ = ["Conditional", "Health", "health"]

_IGNORED = 0.05


@runtime_checkable
class Conditional(Protocol):
    """A module whose loss goes through an embedding."""

    def encode(self, batch: SetBatch) -> Tensor:
        """Embed each set, `(B, L)`."""

    def score(self, step: Step, z: Tensor) -> Tensor:
        """Score the target of each set under a given embedding, `(B,)`."""


@dataclass(frozen=True)
class Health:
    """How z is doing.

    Attributes:
        z_signal: Share of the variance of z that sets explain.
        z_used: Rise of the loss when embeddings are handed to other sets.
        error: Standard error of `z_used`.
        deviation: Standard deviation of the loss between sets, the scale of `z_used`.
    """

    z_signal: float
    z_used: float
    error: float
    deviation: float

    def advice(self) -> str | None:
        """Say what is wrong and the usual fixes, or None where nothing is."""
        # few sets measure it badly: there is no alarm before it is known to be small
        if self.z_used + 2 * self.error > _IGNORED * self.deviation:
            return None
        shown = f"z_used = {self.z_used:.2g} +- {self.error:.1g}, z_signal = {self.z_signal:.2f}"
        if self.z_signal < 0.1:
            return (
                f"Embeddings hardly differ between sets ({shown}). The sets may all be alike, or "
                "have too few atoms: raise the context sizes or min_size, and look at the "
                "features that should tell sets apart."
            )
        return (
            f"The generator ignores z ({shown}): another set's embedding serves it as well. Usual "
            "fixes: train longer; lower the learning rate; keep closed_form in the encoder; "
            "use a smaller generator; check that sets differ in more than a few atoms."
        )


@torch.no_grad()
def health(module: Conditional, steps: Sequence[Step]) -> Health | None:
    """Measure on fixed steps; None where no set has two atoms to compare.

    Args:
        module: The model.
        steps: Their generators are set back, so that both losses see the same noise.
    """
    shared, total, rises, right = [], [], [], []
    for step in steps:
        context = step.context
        z = module.encode(context)
        losses = []
        for given in (z, z.roll(1, 0)):
            step.rng.manual_seed(step.rng.initial_seed())
            losses.append(module.score(step, given))
        rises.append((losses[1] - losses[0]).double())
        right.append(losses[0].double())
        enough = (context.sizes >= 2).nonzero().flatten()
        if len(enough) < 2 or len(z) < 2:
            continue
        # the atoms of a context are in random order
        both = context.select(enough)
        a, b = (module.encode(both.keep(both.rank % 2 == k)).double() for k in (0, 1))
        a, b = a - a.mean(0), b - b.mean(0)
        shared.append((a * b).sum())
        total.append((a.square() + b.square()).sum() / 2)
    if not shared:
        return None
    rise = torch.cat(rises)
    signal = float(torch.stack(shared).sum() / torch.stack(total).sum().clamp_min(1e-30))
    error = float(rise.std() / len(rise) ** 0.5)
    return Health(signal, float(rise.mean()), error, float(torch.cat(right).std()))
