"""Real sets beside what the model draws for them, and what it draws on the way between two sets.

Which sets are shown is decided by `plane.spread_along`, never by how good they look.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from distembed.data.features import match_columns
from distembed.report.plane import Frame, principal_frame
from distembed.rng import stream

if TYPE_CHECKING:
    from distembed.model.embeddings import Embeddings
    from distembed.model.gde import GDE
    from distembed.protocols import Collection

__all__ = [
    "Between",
    "Pair",
    "Path",
    "View",
    "interpolate",
    "project",
    "read_pairs",
    "set_places",
    "view_of",
]

Between = Mapping[str, np.ndarray] | tuple[str, str]
"""Two ends of an interpolation: `{name: z}` of two, or the ids of two sets."""


@dataclass(frozen=True)
class Pair:
    """Atoms of one set and the model's imitation, both `(n, *event)` in the user's units."""

    id: str
    real: np.ndarray
    generated: np.ndarray


@dataclass(frozen=True)
class View:
    """Two coordinates to look at vectors through, and single features worth a histogram.

    Attributes:
        frame: Principal components in ground space, or None where atoms have one or two
            features, which are shown as they are.
        names: What the two coordinates are.
        features: Columns for histograms.
        labels: Their names.
    """

    frame: Frame | None
    names: tuple[str, str]
    features: tuple[int, ...]
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Path:
    """Samples along the way between two embeddings.

    Attributes:
        names: The two ends.
        samples: `(T, n, *event)`, drawn with the same noise in every step.
        real: Atoms of the two ends, where they are sets, each `(n, *event)`.
    """

    names: tuple[str, str]
    samples: np.ndarray
    real: tuple[np.ndarray, np.ndarray] | None


def read_pairs(
    model: GDE, test: Collection, embeddings: Embeddings, chosen: np.ndarray, m: int
) -> list[Pair]:
    """Read up to m atoms of each chosen set, and draw as many from its embedding."""
    pairs = []
    for i in chosen.tolist():
        real = _real_atoms(model, test, i, m)
        behind = embeddings.effective_sizes[i]
        generated = model.sample(embeddings.z[i], len(real), rng=0, effective_sizes=behind)
        pairs.append(Pair(str(embeddings.ids[i]), real, generated))
    return pairs


def view_of(model: GDE, pairs: list[Pair]) -> View:
    """Choose how to look at vectors: two features as they are, more through their components.

    The histograms show up to four features, those whose means differ most between the sets
    shown, in units of their deviation.
    """
    atoms = [p.real.reshape(len(p.real), -1) for p in pairs]
    width = atoms[0].shape[1]
    labels = tuple(model.features or (f"feature {d + 1}" for d in range(width)))
    if width <= 2:
        return View(None, (labels[0], labels[-1]), tuple(range(width)), labels)
    deviation = np.concatenate(atoms).std(0)
    means = np.stack([a.mean(0) for a in atoms])
    contrast = means.std(0) / np.where(deviation > 0, deviation, np.inf)
    most = tuple(sorted(np.argsort(-contrast, kind="stable")[:4].tolist()))
    frame = principal_frame(np.concatenate([_ground(model, p.real[:250]) for p in pairs]))
    return View(frame, frame.axes, most, tuple(labels[d] for d in most))


def project(model: GDE, view: View, x: np.ndarray) -> np.ndarray:
    """Return the two coordinates of atoms `(n, *event)`, `(n, 2)`."""
    if view.frame is None:
        return x.reshape(len(x), -1)
    return view.frame.project(_ground(model, x))


def interpolate(
    model: GDE,
    test: Collection,
    embeddings: Embeddings,
    between: Between | None,
    *,
    steps: int,
    n: int,
) -> Path:
    """Draw n atoms at each of `steps` places between two sets.

    Args:
        model: The model.
        test: The sets.
        embeddings: Of these sets.
        between: The ends; of the larger half of the sets the two that lie farthest apart, where
            left out.
        steps: Places, both ends included.
        n: Atoms at each.

    Raises:
        ValueError: If there are not two ends, or an id is not among the sets.
    """
    names = () if between is None else tuple(map(str, between))
    if between is not None and len(names) != 2:
        raise ValueError(f"An interpolation is between two ends; {len(names)} were given.")
    if isinstance(between, Mapping):
        ends: list[Any] = list(between.values())
        real = None
    else:
        places = set_places(embeddings, between)
        names = tuple(str(embeddings.ids[i]) for i in places)
        ends = [embeddings.z[i] for i in places]
        first, last = (_real_atoms(model, test, i, n) for i in places)
        real = (first, last)
    way = model.interpolate(ends[0], ends[1], steps=steps)
    samples = np.stack([np.asarray(model.sample(z, n, rng=0)) for z in way])
    return Path((names[0], names[1]), samples, real)


def set_places(embeddings: Embeddings, between: Between | None) -> tuple[int, int]:
    """Return the rows of the two sets named, or of the two that are farthest apart.

    Raises:
        ValueError: If an id is not among the sets.
    """
    if between is None or isinstance(between, Mapping):
        return _farthest(embeddings)
    first, last = between
    return _place(embeddings.ids, first), _place(embeddings.ids, last)


def _real_atoms(model: GDE, test: Collection, index: int, m: int) -> np.ndarray:
    """Read at most m atoms `(n, *event)` of a set, features in the order of the model.

    Unequal weights become frequencies.
    """
    import torch

    rng = stream("report", "atoms", index)
    batch = test.batch([index], None if test.weighted else m, rng)
    if batch.equal is None:
        rows = torch.multinomial(batch.w.double(), m, replacement=True, generator=rng)
        x = np.asarray(batch.x[rows])
    else:
        x = np.asarray(batch.subsample(m, rng).x)
    columns = match_columns(model.features, test.features)
    return x if columns is None else x[:, columns]


def _ground(model: GDE, x: np.ndarray) -> np.ndarray:
    """Bring atoms `(n, *event)` to the space in which the model measures, `(n, G)`."""
    import torch

    state = next(model.atom_transform.buffers(), torch.empty(0))
    with torch.no_grad():
        y = model.atom_transform(torch.as_tensor(x, device=state.device))
    out: np.ndarray = y.reshape(len(x), -1).double().cpu().numpy()
    return out


def _place(ids: np.ndarray, name: str) -> int:
    found = np.flatnonzero(np.asarray(ids).astype(str) == name)
    if not len(found):
        raise ValueError(f"There is no set {name!r} to interpolate from or to.")
    return int(found[0])


def _farthest(embeddings: Embeddings) -> tuple[int, int]:
    """The ends of the longest line between two sets of the larger half (of at most 1000).

    The farthest of all are often sets of a few atoms, which noise has carried away.
    """
    rows = np.flatnonzero(embeddings.effective_sizes >= np.median(embeddings.effective_sizes))
    rows = rows[:: max(1, len(rows) // 1000)]
    z = np.asarray(embeddings.z, dtype=float)[rows]
    square = (z**2).sum(1)
    a, b = np.unravel_index(np.argmax(square[:, None] + square - 2 * z @ z.T), (len(z), len(z)))
    return int(rows[a]), int(rows[b])
