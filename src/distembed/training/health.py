r"""Measure how much the embedding depends on the set, and how much the loss depends on it.

    z_signal = tr Cov(z_a, z_b) / tr Var(z),     a, b: disjoint halves of a context
    z_used   = E[loss(target, z of another set) - loss(target, z)]

The first is an intraclass correlation: the share of the variance of z that is between sets, not
due to the sampling of their atoms. The second is zero for a generator that ignores z (posterior
collapse): it models the mixture of all sets and nothing else. It has the unit of the loss: where
the loss is a negative log likelihood of sequences, z_used is the information of z about a sequence
of the set, in nats a sequence, that the generator makes use of.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from distembed.batch import SetBatch
from distembed.protocols import Step

__all__ = ["Conditional", "Health", "InUnits", "health"]


@runtime_checkable
class Conditional(Protocol):
    """A module whose loss goes through an embedding."""

    def encode(self, batch: SetBatch) -> Tensor:
        """Embed each set, `(B, L)`."""

    def score(self, step: Step, z: Tensor) -> Tensor:
        """Score the target of each set under the embeddings z `(B, L)`, `(B,)`."""


@runtime_checkable
class InUnits(Protocol):
    """A module that states the unit of its loss."""

    @property
    def loss_unit(self) -> str:
        """The unit, such as `nats a sequence`; empty where the loss is of one dimension."""


@dataclass(frozen=True)
class Health:
    """Diagnose posterior collapse.

    Attributes:
        z_signal: Share of the variance of z that is between sets.
        z_used: Rise of the loss when embeddings are permuted between sets.
        error: Standard error of `z_used`.
        deviation: Standard deviation of the loss between sets, the scale of `z_used`.
        unit: Unit of the loss and of `z_used`; empty if it has none of its own.
    """

    z_signal: float
    z_used: float
    error: float
    deviation: float
    unit: str = ""

    def advice(self, used: float = 0.05, signal: float = 0.1) -> str | None:
        """Describe what is wrong and the usual fixes; None where nothing is.

        Args:
            used: Smallest `z_used` that is in order, in units of `deviation`.
            signal: Smallest `z_signal` that is in order.
        """
        # two standard errors: a small z_used measured on few sets is no alarm
        if self.z_used + 2 * self.error > used * self.deviation:
            return None
        used_z = f"z_used = {self.z_used:.2g} +- {self.error:.1g} {self.unit}".rstrip()
        values = f"{used_z}, z_signal = {self.z_signal:.2f}"
        if self.z_signal < signal:
            return (
                f"Embeddings hardly differ between sets ({values}). The sets may all be alike, or "
                "have too few atoms: raise the context sizes or min_size, and look at the "
                "features that should distinguish the sets."
            )
        return (
            f"The generator ignores z ({values}; posterior collapse): permuting embeddings "
            "between sets does not increase the loss. Usual fixes: train longer; lower the "
            "learning rate; keep `closed_form` in the encoder; use a smaller generator; check "
            f"that sets differ in more than a few atoms{self._of_sequences}."
        )

    @property
    def _of_sequences(self) -> str:
        if not self.unit:
            return ""
        return (
            "; of a language model, take fewer layers and condition='both', because it explains "
            "a sequence by the symbols before"
        )


@torch.no_grad()
def health(module: Conditional, steps: Sequence[Step]) -> Health | None:
    """Measure the health of z on fixed steps; None where no set has two atoms to compare.

    Args:
        module: The model.
        steps: Their generators are set back, so that both losses see the same noise.
    """
    shared, total, rises, losses = [], [], [], []
    for step in steps:
        z = module.encode(step.context)
        own, permuted = (_score(module, step, each).double() for each in (z, z.roll(1, 0)))
        losses.append(own)
        rises.append(permuted - own)
        pairs = (step.context.sizes >= 2).nonzero().flatten()
        if len(pairs) < 2 or len(z) < 2:
            continue
        # the atoms of a context are in random order
        context = step.context.select(pairs)
        a, b = (module.encode(context.keep(context.rank % 2 == k)).double() for k in (0, 1))
        a, b = a - a.mean(0), b - b.mean(0)
        shared.append((a * b).sum())
        total.append((a.square() + b.square()).sum() / 2)
    if not shared:
        return None
    rise = torch.cat(rises)
    signal = float(torch.stack(shared).sum() / torch.stack(total).sum().clamp_min(1e-30))
    error = float(rise.std() / len(rise) ** 0.5)
    unit = module.loss_unit if isinstance(module, InUnits) else ""
    return Health(signal, float(rise.mean()), error, float(torch.cat(losses).std()), unit)


def _score(module: Conditional, step: Step, z: Tensor) -> Tensor:
    step.rng.manual_seed(step.rng.initial_seed())
    return module.score(step, z)
