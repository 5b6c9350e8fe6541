"""What is judged, and the halves of the test sets that judge it.

The *context* half of a set makes its embedding and feeds the baselines; the *target* half, whose
atoms are others, judges. Distances are taken in the model's ground space.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from distembed.batch import SetBatch
from distembed.data.features import match_columns
from distembed.protocols import Collection
from distembed.rng import stream
from distembed.sets.fingerprint import fingerprints

__all__ = [
    "Embedded",
    "Evaluated",
    "Halves",
    "columns_of",
    "draw",
    "embed",
    "halves",
    "refuse_training_sets",
    "training_sets",
]

CONTEXT, TARGET = 4096, 1024
_NUMBERS = 2**26  # in all contexts together, and in all targets
_SETS_AT_ONCE = 64


class Embedded(Protocol):
    """Holds embeddings."""

    @property
    def z(self) -> np.ndarray:
        """One row a set, `(S, L)`."""


@runtime_checkable
class Evaluated(Protocol):
    """What `evaluate` asks of a model; a kernel mean or a user's own model will do.

    More is used where it is there: `sample(z, n, rng)` for reconstruction; `atom_transform(x)` to
    the ground space, and then `sample(z, n, rng, effective_sizes, ground="model")`, which draws
    in that space; `untrained()` for a baseline; `features` to match columns by name;
    and `fingerprints` (with `salt` and `hashes`) to refuse training sets.
    """

    def embed(self, sets: SetBatch, /) -> Embedded:
        """Embed each set of a batch in the user's units."""


@dataclass(frozen=True)
class Halves:
    """Disjoint parts of the test sets.

    Attributes:
        given: The contexts in the user's units, as the model embeds them.
        context: The same atoms in the ground space, flat, `(N, D)`.
        target: The other atoms in the ground space, flat.
        most_context: No context has more atoms.
        most_target: No target has more atoms.
    """

    given: SetBatch
    context: SetBatch
    target: SetBatch
    most_context: int = CONTEXT
    most_target: int = TARGET


def refuse_training_sets(model: Evaluated, test: Collection) -> None:
    """Raise where the model was trained on a set of the collection.

    Raises:
        ValueError: If it was; the message names the sets.
    """
    seen = training_sets(model, test)
    if seen:
        raise ValueError(
            f"{len(seen)} of the {len(test)} sets were used to train this model: "
            f"{', '.join(seen[:5])}{', ...' if len(seen) > 5 else ''}. Numbers on them would "
            "flatter it; evaluate on held-out sets, such as the second part of sets.split()."
        )


def training_sets(model: Any, test: Collection) -> list[str]:
    """Ids of the sets that the model was trained on, whatever the order of their columns."""
    known = getattr(model, "fingerprints", None)
    if known is None or not known.hashes:
        return []
    hashes = fingerprints(test, known.salt, columns_of(model, test))
    return [str(test.ids[i]) for i, name in enumerate(hashes) if name in known.hashes]


def halves(model: Evaluated, test: Collection, seed: int) -> Halves:
    """Read the test sets and cut each into halves of at most 4096 and 1024 atoms.

    Of many sets or long atoms fewer are kept, so that memory stays bounded.
    """
    rng = stream(seed, "halves")
    columns = columns_of(model, test)
    width = max(1, int(np.prod(test.event_shape)))
    most = max(2, _NUMBERS // (len(test) * width))
    context_size, target_size = min(CONTEXT, most), min(TARGET, most)
    at_once = max(1, min(_SETS_AT_ONCE, _NUMBERS // (2 * context_size * width)))
    contexts, targets = [], []
    for start in range(0, len(test), at_once):
        indices = range(len(test))[start : start + at_once]
        # a draw from weighted sets could repeat an atom, and put it into both halves
        whole = test.weighted or int(max(test.sizes[list(indices)])) <= 2 * context_size
        batch = test.batch(indices) if whole else test.batch(indices, 2 * context_size, rng)
        if columns is not None:
            batch = batch.replace(x=batch.x[:, columns])
        context, target = batch.split(context_size, context_size, rng)
        contexts.append(context)
        targets.append(target.subsample(target_size, rng))
    given, target = SetBatch.concat(contexts), SetBatch.concat(targets)
    grounds = (_ground(model, given), _ground(model, target))
    return Halves(given, *grounds, context_size, target_size)


def embed(model: Evaluated, sets: Halves) -> Tensor:
    """Embed the contexts, `(S, L)` float64."""
    # error bars would cost more than all of the embedding; `certainty` asks for them
    known = "covariance" in inspect.signature(model.embed).parameters
    found = model.embed(sets.given, **{"covariance": False} if known else {})
    return torch.as_tensor(np.asarray(found.z)).double()


def draw(model: Any, z: Tensor, sets: Halves, seed: int) -> SetBatch:
    """Draw as many atoms from each embedding as its target half has, in the ground space."""
    rng = stream(seed, "draw")
    counts, behind = sets.target.sizes.tolist(), sets.given.effective_sizes.numpy()
    atoms: list[Tensor] = []
    for start in range(0, len(z), 32):
        part = slice(start, start + 32)
        # a seed serves models of every device, a generator those of its own
        own = int(torch.randint(2**62, (), generator=rng))
        some, most = z[part].float().numpy(), max(counts[part])
        # in the ground space at once: a transform may lose what its inverse cannot give back
        if hasattr(model, "atom_transform"):
            x = model.sample(some, most, own, effective_sizes=behind[part], ground="model")
        else:
            x = model.sample(some, most, own)
        atoms += [torch.as_tensor(a[:m]) for a, m in zip(x, counts[part], strict=True)]
    batch = SetBatch.from_list(atoms)
    return batch.replace(x=batch.flat)


@torch.no_grad()
def _ground(model: Any, batch: SetBatch) -> SetBatch:
    transform = getattr(model, "atom_transform", None)
    x = batch.x
    if transform is not None:
        state = transform.buffers() if isinstance(transform, nn.Module) else ()
        x = transform(x.to(next((b.device for b in state), x.device))).cpu()
    return batch.replace(x=x.reshape(len(x), -1))


def columns_of(model: Any, test: Collection) -> list[int] | None:
    """Columns of the sets in the order of the model's features; None where they are so already."""
    return match_columns(getattr(model, "features", None), test.features)
