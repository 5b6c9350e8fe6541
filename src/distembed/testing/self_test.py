"""A self-test of an installation: train, embed, draw, compare with a closed form, save and load.

It tests this machine and its versions of torch, numpy and POT, not the package, whose tests are
its own: each part is run once on sets of two features, with results that are known exactly.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from distembed.batch import SetBatch
from distembed.data.synthetic.gaussians import Gaussians
from distembed.divergences.exact import ExactW2
from distembed.model.gde import GDE
from distembed.protocols import Collection
from distembed.testing.report import Check, requirement

__all__ = ["SelfTest", "self_test"]


@dataclass(frozen=True)
class SelfTest:
    """Size of the self-test.

    Attributes:
        sets: Number of sets.
        atoms: Atoms of each.
        latent: Dimension of z.
        steps: Steps of training.
        allowed: Largest relative change of z by the order of the atoms, in float32.
    """

    sets: int = 8
    atoms: int = 50
    latent: int = 4
    steps: int = 2
    allowed: float = 1e-5


def self_test(device: str = "auto", settings: SelfTest = SelfTest()) -> Iterator[Check]:
    """Run every part of the package once, and yield what was measured.

    Args:
        device: Where the model is trained and used.
        settings: Sizes.

    Raises:
        ValueError: If the device does not exist.

    Example:
        >>> all(check.ok for check in self_test("cpu"))
        True
    """
    sets = Gaussians.prior(settings.sets, 2, 10, size=settings.atoms)
    model = GDE(latent=settings.latent)
    model.fit(sets, steps=settings.steps, device=device, progress=False)
    yield from _embedding(model, sets, settings)
    z = model.embed(sets, covariance=False).z
    x = np.asarray(model.sample(z, settings.atoms, rng=0))
    same = np.array_equal(x, model.sample(z, settings.atoms, rng=0))
    yield requirement("draw", bool(np.isfinite(x).all()), "generated atoms are not finite")
    yield requirement("seed", same, "two draws with one seed differ")
    yield from _transport(settings)
    with tempfile.TemporaryDirectory() as folder:
        other = GDE.load(model.save(Path(folder) / "model"), device=device)
    equal = np.array_equal(z, other.embed(sets, covariance=False).z)
    yield requirement("load", equal, "a saved model embeds otherwise than before")
    equal = np.array_equal(x, other.sample(z, settings.atoms, rng=0))
    yield requirement("load", equal, "a saved model draws otherwise than before")


def _embedding(model: GDE, sets: Collection, settings: SelfTest) -> Iterator[Check]:
    """Embed sets, and the same sets with their atoms in reverse order."""
    batch = sets.batch(range(len(sets)))
    z = model.embed(batch, covariance=False).z
    yield requirement("embed", bool(np.isfinite(z).all()), "embeddings are not finite")
    reverse = SetBatch.from_list([batch[b].x.flip(0) for b in range(len(batch))])
    change = np.abs(model.embed(reverse, covariance=False).z - z).max() / np.abs(z).max()
    yield Check("permute", "atoms in reverse order", float(change), settings.allowed)


def _transport(settings: SelfTest) -> Iterator[Check]:
    """Compare exact W2 of a set and its translation with the length of the translation."""
    x = torch.arange(2.0 * settings.atoms, dtype=torch.float64).view(1, settings.atoms, 2).sin()
    moved = x + torch.tensor([3.0, 4.0], dtype=torch.float64)
    w2 = float(ExactW2()(SetBatch.from_dense(x), SetBatch.from_dense(moved)))
    yield Check("transport", "W2 of a translation by 5", abs(w2 - 5), 1e-6)
