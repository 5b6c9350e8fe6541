r"""Batched inference: embeddings from all atoms, their covariances from a subsample of them.

The covariance of z falls as one over the number of atoms, $V = C / m$, and C is a property of
the distribution. It is estimated from at most 512 atoms of each set, because influences cost L
backward passes, and V follows with the effective number of all atoms: its trace is then accurate
to about $(\kappa / 512)^{1/2}$ of itself, with $\kappa \approx 2$ for normal influences.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from distembed.batch import SetBatch
from distembed.encoders.streaming import State, merge
from distembed.geometry.distance import Ground
from distembed.inference.covariance import Covariance, covariance
from distembed.model.network import Network
from distembed.protocols import Collection
from distembed.rng import stream
from distembed.training.distributed import Ranks
from distembed.training.runtime import Runtime

__all__ = ["FEW_ATOMS", "InferenceEngine", "InferenceSettings"]

FEW_ATOMS = 100
"""Below so many effective atoms, error bars are known to be too small (docs/uncertainty.md)."""


@dataclass(frozen=True)
class InferenceSettings:
    """Sizes of the pieces in which sets are embedded and sampled.

    Attributes:
        cpu_atoms: Atoms of one pass on a CPU, few enough to stay in its cache.
        cuda_atoms: Atoms of one pass on a GPU.
        stream_from: A larger set is embedded from pieces of so many atoms, if the encoder streams.
        covariance_atoms: Atoms of a set that its covariance is estimated from.
        covariance_pass: Atoms of one pass of the covariances.
        ranks: The processes that share out the sets. With more than one, all of them embed the
            same sets at the same time.
    """

    cpu_atoms: int = 2**13
    cuda_atoms: int = 2**18
    stream_from: int = 2**18
    covariance_atoms: int = 512
    covariance_pass: int = 2**15
    ranks: Ranks = Ranks()

    def atoms(self, device: torch.device) -> int:
        """Return the number of atoms of one pass on a device."""
        return self.cuda_atoms if device.type == "cuda" else self.cpu_atoms


@dataclass(frozen=True)
class InferenceEngine:
    """Embeds, samples and scores sets in batches of bounded memory.

    Attributes:
        network: The network.
        runtime: The device and the threads of the computation.
        columns: Columns of the atoms in the network's order; None if they are in that order.
        settings: Sizes of the batches.
    """

    network: Network
    runtime: Runtime
    columns: Sequence[int] | None = None
    settings: InferenceSettings = field(default_factory=InferenceSettings)

    def embed(self, collection: Collection) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """Return z `(S, L)` and effective sizes `(S,)` of all sets, from all of their atoms."""
        sizes, ranks = np.asarray(collection.sizes), self.settings.ranks
        z = np.zeros((len(sizes), self.network.latent), dtype=np.float32)
        effective_sizes = np.zeros(len(sizes))
        groups = list(_by_atoms(sizes, self.settings.atoms(self.runtime.device)))
        large = [self.network.streams and self._large(sizes[rows]) for rows in groups]
        whole = [rows for rows, streamed in zip(groups, large, strict=True) if not streamed]
        with self.runtime.active(), torch.inference_mode():
            for rows in ranks.share(whole):
                batch = self.batch(collection, rows.tolist())
                z[rows] = self.network.encode(batch).cpu().numpy()
                effective_sizes[rows] = batch.effective_sizes.cpu().numpy()
            z, effective_sizes = ranks.sum(z), ranks.sum(effective_sizes)
            for rows, streamed in zip(groups, large, strict=True):
                for i in rows.tolist() if streamed else ():
                    z[i], effective_sizes[i] = self._stream(collection, i)
        return z, effective_sizes

    def covariance(
        self, collection: Collection, effective_sizes: NDArray[np.float64]
    ) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """Return covariances of z `(S, L, L)` and their degrees of freedom `(S,)`.

        Args:
            collection: The sets.
            effective_sizes: Their effective sizes, `(S,)`.
        """
        latent, ranks = self.network.latent, self.settings.ranks
        cov = np.zeros((len(collection), latent, latent), dtype=np.float32)
        df = np.zeros(len(collection))
        sizes, pilot = collection.sizes, self.settings.covariance_atoms
        small = sizes <= self.settings.stream_from
        whole = small if collection.weighted else np.zeros_like(small)
        atoms = np.where(whole, sizes, np.minimum(sizes, pilot))
        with self.runtime.active():
            groups = list(enumerate(_by_atoms(atoms, self.settings.covariance_pass)))
            for number, indices in ranks.share(groups):
                rng = stream(0, "covariance", number)
                part = self._pilot(collection, indices, bool(whole[indices].all()), rng)
                share = part.effective_sizes / effective_sizes[indices]
                cov[indices] = part.cov * share[:, None, None]
                df[indices] = part.df
        return ranks.sum(cov), ranks.sum(df)

    def sample(
        self,
        z: NDArray[np.float32],
        n: int,
        rng: torch.Generator,
        effective_sizes: NDArray[np.float32],
        ground: Ground,
        common_noise: bool = False,
    ) -> NDArray[Any]:
        """Draw n atoms from the distribution of each embedding, `(B, n, *event)`.

        Args:
            z: Embeddings, `(B, L)`.
            n: Atoms of each.
            rng: Source of draws, on the engine's device.
            effective_sizes: Effective sizes of the sets that were embedded, `(B,)`.
            ground: The space of the atoms.
            common_noise: Draw all sets from one state of `rng`, one set a pass.
        """
        device = self.runtime.device
        limit = self.settings.atoms(device)
        counts = [min(limit, n - start) for start in range(0, n, limit)]
        vectors, sizes = (torch.from_numpy(v).to(device) for v in (z, effective_sizes))
        # one set a pass: rounding depends on the shape of a product, and so on the other sets
        rows = 1 if common_noise else max(1, limit // n)
        state = rng.get_state()
        drawn: list[Tensor] = []
        with self.runtime.active(), torch.inference_mode():
            for part, size in zip(vectors.split(rows), sizes.split(rows), strict=True):
                if common_noise:
                    rng.set_state(state)
                x = torch.cat([self.network.sample(part, c, rng, size) for c in counts], 1)
                drawn.append((self.network.transform.inverse(x) if ground == "input" else x).cpu())
        atoms: NDArray[Any] = torch.cat(drawn).numpy()
        return atoms

    def transport(
        self,
        batch: SetBatch,
        z: NDArray[np.float32],
        effective_sizes: NDArray[np.float32],
        steps: int,
        ground: Ground,
    ) -> NDArray[Any]:
        """Move the atoms of one set between the distributions of two embeddings, `(m, *event)`.

        Args:
            batch: One set, in the user's units.
            z: Its embedding and that of the other distribution, `(2, L)`.
            effective_sizes: Effective sizes of the two, `(2,)`.
            steps: Steps of the solver.
            ground: The space of the result.
        """
        moved: list[Tensor] = []
        with self.runtime.active(), torch.inference_mode():
            vectors, sizes = (
                torch.from_numpy(v).to(self.runtime.device) for v in (z, effective_sizes)
            )
            start, end = self.network.condition(vectors, sizes).split(1)
            atoms = self.network.to_ground(batch).x
            for part in atoms.split(self.settings.atoms(self.runtime.device)):
                x = self.network.transport(part.unsqueeze(0), start, end, steps).squeeze(0)
                moved.append((self.network.transform.inverse(x) if ground == "input" else x).cpu())
        result: NDArray[Any] = torch.cat(moved).numpy()
        return result

    def log_prob(
        self,
        collection: Collection,
        z: NDArray[np.float32],
        effective_sizes: NDArray[np.float32],
        ground: Ground,
    ) -> list[NDArray[np.float64]]:
        """Return the log density of the atoms of each set under an embedding, S arrays `(m,)`.

        Args:
            collection: S sets.
            z: An embedding for each, `(S, L)`.
            effective_sizes: Effective sizes of the sets that were embedded, `(S,)`.
            ground: The space whose units the density has.
        """
        out: dict[int, NDArray[np.float64]] = {}
        vectors, sizes = (torch.from_numpy(v) for v in (z, effective_sizes))
        with self.runtime.active():
            for rows in _by_atoms(collection.sizes, self.settings.atoms(self.runtime.device)):
                batch = self.batch(collection, rows.tolist())
                part, size = (t[rows].to(batch.w.device) for t in (vectors, sizes))
                nats = self.network.log_prob(batch, part, size, ground == "model").cpu().numpy()
                out |= zip(rows.tolist(), np.split(nats, batch.offsets[1:-1].cpu()), strict=True)
        return [out[i] for i in range(len(collection))]

    def batch(self, collection: Collection, indices: Sequence[int]) -> SetBatch:
        """Read all atoms of some sets, with the features in the network's order."""
        return self._matched(collection.batch(indices))

    def subsample(
        self, collection: Collection, indices: Sequence[int], m: int, rng: torch.Generator
    ) -> SetBatch:
        """Read at most m atoms of some sets, with the features in the network's order."""
        return self._matched(collection.batch(indices, m, rng))

    def _pilot(
        self,
        collection: Collection,
        indices: NDArray[np.int64],
        whole: bool,
        rng: torch.Generator,
    ) -> Covariance:
        """Return covariances of z as computed from a subsample of each set.

        Of a weighted set that can be read whole, atoms keep their weights. A larger one is drawn
        from by weight, and influences are taken to be independent of weights.
        """
        size = self.settings.covariance_atoms
        if whole:
            batch = collection.batch(indices.tolist())
            order = torch.rand(len(batch.w), generator=rng)
            parts = order.split(batch.sizes.tolist())
            rank = torch.cat([part.argsort().argsort() for part in parts])
            batch = batch.keep(rank < size)
        else:
            batch = collection.batch(indices.tolist(), size, rng)
        return covariance(self.network.embedder, self._matched(batch))

    def _matched(self, batch: SetBatch) -> SetBatch:
        if self.columns is not None:
            batch = batch.columns(self.columns)
        return batch.to(self.runtime.device)

    def _large(self, sizes: NDArray[np.int64]) -> bool:
        return bool(sizes.max() > self.settings.stream_from)

    def _stream(self, collection: Collection, index: int) -> tuple[np.ndarray, float]:
        """Embed one large set from pieces; return z `(L,)` and its effective size.

        Ranks share out the pieces, at least one each, and merge their statistics.
        """
        ranks = self.settings.ranks
        size = int(collection.sizes[index])
        rows = min(self.settings.stream_from, max(1, size // ranks.size))

        def chunks() -> Iterator[SetBatch]:
            share = (ranks.rank, ranks.size) if ranks.size > 1 else ()
            pieces = collection.chunks(index, rows, *share)
            yield from map(self._matched, pieces)

        def merged(states: Iterable[State]) -> State:
            return merge(ranks.gather(merge(states)))

        squares = sum(float(chunk.w.double().square().sum()) for chunk in chunks())
        z = self.network.encode_chunks(chunks, merged)[0].cpu().numpy()
        return ranks.of_first(z), 1 / float(ranks.sum(np.array([squares]))[0])


def _by_atoms(sizes: np.ndarray, atoms: int) -> Iterator[np.ndarray]:
    """Yield groups of sets of similar size that hold about so many atoms."""
    order = np.argsort(sizes, kind="stable")
    group = np.cumsum(sizes[order]) // atoms
    yield from np.split(order, np.flatnonzero(np.diff(group)) + 1)
