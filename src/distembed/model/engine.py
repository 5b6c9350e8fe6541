r"""Embed collections: all atoms for z, a sample of them for its covariance.

The covariance of z falls as one over the number of atoms, $V = C / m$, and C is a property of
the distribution. It is read from at most 512 atoms of each set, because influences cost L backward
passes, and V follows with the effective number of all of them: its trace is then known to about
$(\kappa / 512)^{1/2}$ of itself, with $\kappa \approx 2$ for normal influences.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from distembed.batch import SetBatch
from distembed.inference.covariance import Covariance, covariance
from distembed.model.network import Network
from distembed.protocols import Collection
from distembed.rng import stream
from distembed.training.runtime import Runtime

__all__ = ["ATOMS_AT_ONCE", "FEW_ATOMS", "SetReader", "atoms_at_once"]

ATOMS_AT_ONCE = {"cpu": 2**13, "cuda": 2**18}
"""Atoms that are encoded or generated in one pass: a CPU wants them to stay in its cache."""
STREAM_FROM = 2**18
"""A set of more atoms is embedded from pieces of so many, where the encoder can."""
PILOT = 512
"""Atoms of a set that its covariance is read from."""
PILOTS_AT_ONCE = 2**15
FEW_ATOMS = 100
"""Below so many effective atoms, error bars are known to be too small (docs/uncertainty.md)."""


@dataclass(frozen=True)
class SetReader:
    """Reads sets as a network wants them, and embeds them.

    Attributes:
        network: The network.
        runtime: Where it computes.
        columns: Columns of the atoms in the network's order; None where they are so already.
    """

    network: Network
    runtime: Runtime
    columns: Sequence[int] | None = None

    def embed(
        self, collection: Collection, which: NDArray[np.int64] | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """Return z `(S, L)` and effective sizes `(S,)` of all sets or some, from all atoms."""
        which = np.arange(len(collection)) if which is None else which
        sizes = collection.sizes[which]
        z = np.empty((len(which), self.network.latent), dtype=np.float32)
        effective = np.empty(len(which))
        with self.runtime.active(), torch.inference_mode():
            for rows in _by_atoms(sizes, atoms_at_once(self.runtime.device)):
                if self.network.streams and sizes[rows].max() > STREAM_FROM:
                    for i in rows:
                        z[i], effective[i] = self._stream(collection, int(which[i]))
                    continue
                batch = self.batch(collection, which[rows].tolist())
                z[rows] = self.network.encode(batch).cpu().numpy()
                effective[rows] = batch.effective_sizes.cpu().numpy()
        return z, effective

    def covariance(
        self, collection: Collection, effective: NDArray[np.float64]
    ) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """Return covariances of z `(S, L, L)` and their degrees of freedom `(S,)`.

        Args:
            collection: The sets.
            effective: Their effective sizes, `(S,)`.
        """
        latent = self.network.latent
        cov = np.empty((len(collection), latent, latent), dtype=np.float32)
        df = np.empty(len(collection))
        rng = stream(0, "covariance")
        small = collection.sizes <= STREAM_FROM
        whole = small if collection.weighted else np.zeros_like(small)
        read = np.where(whole, collection.sizes, np.minimum(collection.sizes, PILOT))
        with self.runtime.active():
            for indices in _by_atoms(read, PILOTS_AT_ONCE):
                found = self._pilot(collection, indices, bool(whole[indices].all()), rng)
                share = found.effective_sizes / effective[indices]
                cov[indices] = found.cov * share[:, None, None]
                df[indices] = found.df
        return cov, df

    def log_prob(
        self,
        collection: Collection,
        z: NDArray[np.float32],
        sizes: NDArray[np.float64],
        ground: bool,
    ) -> list[NDArray[np.float64]]:
        """Return the log density of the atoms of each set under an embedding, S arrays `(m,)`.

        Args:
            collection: S sets.
            z: An embedding for each, `(S, L)`.
            sizes: Effective atoms behind each embedding, `(S,)`.
            ground: Whether in the units of the ground space.
        """
        out: dict[int, NDArray[np.float64]] = {}
        vectors, known = (torch.from_numpy(v) for v in (z, sizes))
        with self.runtime.active():
            for rows in _by_atoms(collection.sizes, atoms_at_once(self.runtime.device)):
                batch = self.batch(collection, rows.tolist())
                given, size = (t[rows].to(batch.x.device) for t in (vectors, known))
                nats = self.network.log_prob(batch, given, size, ground).cpu().numpy()
                out |= zip(rows.tolist(), np.split(nats, batch.offsets[1:-1].cpu()), strict=True)
        return [out[i] for i in range(len(collection))]

    def batch(self, collection: Collection, indices: Sequence[int]) -> SetBatch:
        """Read some sets whole."""
        return self._matched(collection.batch(indices))

    def _pilot(
        self,
        collection: Collection,
        indices: NDArray[np.int64],
        whole: bool,
        rng: torch.Generator,
    ) -> Covariance:
        """Covariances of z as made from some atoms of each set.

        Of a weighted set that can be read whole, atoms keep their weights. A larger one is drawn
        from by weight, and influences are taken to be independent of weights.
        """
        if whole:
            batch = collection.batch(indices.tolist())
            order = torch.rand(len(batch.x), generator=rng)
            parts = order.split(batch.sizes.tolist())
            rank = torch.cat([part.argsort().argsort() for part in parts])
            batch = batch.keep(rank < PILOT)
        else:
            batch = collection.batch(indices.tolist(), PILOT, rng)
        return covariance(self.network.embedder, self._matched(batch))

    def _matched(self, batch: SetBatch) -> SetBatch:
        if self.columns is not None:
            batch = batch.replace(x=batch.x[:, self.columns])
        return batch.to(self.runtime.device)

    def _stream(self, collection: Collection, index: int) -> tuple[np.ndarray, float]:
        """Embed one large set from pieces; return z `(L,)` and its effective size."""

        def chunks() -> Iterator[SetBatch]:
            yield from map(self._matched, collection.chunks(index, STREAM_FROM))

        squares = sum(float(chunk.w.double().square().sum()) for chunk in chunks())
        return self.network.encode_chunks(chunks)[0].cpu().numpy(), 1 / squares


def atoms_at_once(device: torch.device) -> int:
    """Return how many atoms are taken in one pass."""
    return ATOMS_AT_ONCE.get(device.type, ATOMS_AT_ONCE["cpu"])


def _by_atoms(sizes: np.ndarray, atoms: int) -> Iterator[np.ndarray]:
    """Yield groups of sets of similar size that hold about so many atoms."""
    order = np.argsort(sizes, kind="stable")
    group = np.cumsum(sizes[order]) // atoms
    yield from np.split(order, np.flatnonzero(np.diff(group)) + 1)
