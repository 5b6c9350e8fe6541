"""Generative Distribution Embeddings: a vector for every set, and samples for every vector.

`GDE` is the facade: it builds the members that its settings name once the data's shape is known,
trains them together, and keeps what is needed to use and to judge them later: transforms, the
calibration of distances to W2, and the fingerprints of the sets it was trained on.
"""

from __future__ import annotations

import copy
import importlib.metadata
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn

from distembed.batch import SetBatch
from distembed.data.features import match_columns
from distembed.data.transforms.chain import Chain
from distembed.geometry.distance import Calibration, latent_distances
from distembed.geometry.path import straight_path
from distembed.inference.calibrated import W2Interval, w2_interval
from distembed.inference.intervals import LimitInterval, limit_interval
from distembed.inference.population.density import Population
from distembed.model.card import ModelCard, model_card
from distembed.model.embeddings import Embeddings, Fingerprints, noise_of
from distembed.model.engine import FEW_ATOMS, SetReader, atoms_at_once
from distembed.model.fit import fit_network
from distembed.model.network import Embedder, Network
from distembed.model.spec import Part, Spec
from distembed.model.storage import Stored, read_folder, restore, write_folder
from distembed.protocols import Collection, Objective, as_encoder
from distembed.registry import NamedMember
from distembed.rng import Rng, as_generator
from distembed.sets.collection import Sets
from distembed.sets.fingerprint import fingerprints
from distembed.sets.read import read
from distembed.training.config import TrainConfig
from distembed.training.runtime import Runtime
from distembed.training.trainer import Record
from distembed.version import __version__

__all__ = ["GDE"]

logger = logging.getLogger(__name__)

SetsLike = Collection | SetBatch | Sequence[ArrayLike]


class GDE:
    """An encoder and a generator that are trained together.

    Args:
        encoder: A member of `ENCODERS`, `"name"` or `{"name": ..., option: value}`; a module with
            the `Encoder` protocol; or `auto`, which depends on the kind of atoms.
        generator: A member of `GENERATORS`, a module with the `Generator` protocol, or `auto`.
        latent: Dimension L of the embedding: 32 where left out, or that of an encoder module.
        conditioning: What the generator sees: `none` (z, L columns), `size` (the standardised
            embedding and its sampling uncertainty, L + 1 columns) or `shrinkage` (the same,
            shrunk by the uncertainty). `auto` is `none` for a generator module and `shrinkage`
            else.
        transform: Members of `TRANSFORMS` in their order; or `auto`, which is what the kind of
            atoms implies (`distembed.data.spaces`): vectors are standardised by feature where
            features have names, and by one scale where they have none.

    Example:
        >>> from distembed.data.synthetic.gaussians import Gaussians
        >>> model = GDE(latent=4).fit(Gaussians.prior(20, 2, 10), steps=2, progress=False)
        >>> model.sample(model.embed([[[0.0, 1.0], [1.0, 1.0]]]).z[0], 5).shape
        (5, 2)
    """

    def __init__(
        self,
        encoder: Part = "auto",
        generator: Part = "auto",
        latent: int | None = None,
        *,
        conditioning: NamedMember = "auto",
        transform: str | Sequence[NamedMember] = "auto",
    ) -> None:
        self.spec = Spec(encoder, generator, _latent(encoder, latent), conditioning, transform)
        self.event_shape: tuple[int, ...] = ()
        self.features: tuple[str, ...] | None = None
        self.config = TrainConfig()
        self.history: list[Record] = []
        self.calibration = Calibration()
        self.population: Population | None = None
        self.fingerprints = Fingerprints("", frozenset())
        self.notes: dict[str, Any] = {}
        self._made = self.spec
        self._network: Network | None = None
        self._initial: dict[str, torch.Tensor] = {}
        self._runtime = Runtime.choose("cpu")

    def __repr__(self) -> str:
        parts = self.spec.describe()
        names = {k: (parts[k] or {}).get("name") for k in ("encoder", "generator")}
        made = ", ".join(f"{part}={name or 'a module'!r}" for part, name in names.items())
        state = f"fitted to atoms of shape {self.event_shape}" if self._network else "not fitted"
        return f"GDE({made}, latent={self.latent}; {state})"

    @property
    def latent(self) -> int:
        """Dimension L of the embedding."""
        return self.spec.latent

    # -- training -------------------------------------------------------------------------------

    def fit(
        self,
        sets: SetsLike,
        config: TrainConfig | None = None,
        *,
        checkpoint: str | Path | None = None,
        objectives: Sequence[Objective] = (),
        progress: bool = True,
        **settings: Any,
    ) -> Self:
        """Train on sets; a share of them is kept for early stopping.

        Args:
            sets: A collection, a batch or a list of arrays `(m, *event)`.
            config: How to train.
            checkpoint: File to resume from and to save to; records of the run go beside it, as
                JSON lines.
            objectives: Further losses `(network, step, z) -> (B,)`.
            progress: Whether to show it.
            settings: Single settings of `TrainConfig`, over those of `config`.

        Raises:
            ValueError: If a setting is unknown, an atom is not finite, or a set has one atom only.
        """
        config = (config or TrainConfig()).changed(settings)
        collection = _collection(sets)
        spec = self.spec.resolved(collection)
        fitted = fit_network(
            spec,
            collection,
            config,
            checkpoint=checkpoint,
            objectives=objectives,
            progress=progress,
        )
        # all at once: a run that was interrupted leaves the model as it was
        self.event_shape, self.features = collection.event_shape, collection.features
        self.config, self._made = config, spec
        self._network, self._initial = fitted.network, dict(fitted.initial)
        self._runtime, self.history = fitted.runtime, fitted.history
        self.calibration, self.population = fitted.calibration, fitted.population
        self.fingerprints = fitted.fingerprints
        return self

    # -- use ------------------------------------------------------------------------------------

    def embed(self, sets: SetsLike, covariance: bool = True) -> Embeddings:
        """Embed every set from all of its atoms, and say how far sampling moves it.

        A set of more than 2^18 atoms is read in pieces, in memory that does not grow with it,
        where the encoder streams (`distembed.encoders.streaming`). Covariances take longer than
        the embeddings; they read at most 512 atoms of each set (`distembed.model.engine`).

        Args:
            sets: A collection, a batch or a list of arrays `(m, *event)`.
            covariance: Whether to estimate covariances too, and from them whether sets are unlike
                those of the training; and to mark the sets of the training.

        Raises:
            ValueError: If the atoms have another shape or lack features of the model.
        """
        network = self.network  # before the shape: a model that was not fitted has none
        collection = _collection(sets)
        columns, known = self._match(collection), self.fingerprints
        reader = SetReader(network, self._runtime, columns)
        z, effective = reader.embed(collection)
        ids, sizes = np.asarray(collection.ids), np.asarray(collection.sizes)
        meta = {name: np.asarray(column) for name, column in collection.meta.items()}
        if not covariance:
            return Embeddings(z, ids, sizes, effective, meta)
        cov, df = reader.covariance(collection, effective)
        certain = np.isfinite(cov).all((1, 2))
        few, lone = int((certain & (effective < FEW_ATOMS)).sum()), int((sizes == 1).sum())
        if few:
            logger.warning(
                "%d of %d sets have fewer than %d effective atoms; their error bars are too small "
                "(docs/uncertainty.md says by how much).", few, len(z), FEW_ATOMS,
            )  # fmt: skip
        if lone:
            logger.warning(
                "%d %s a single atom and no error bar.",
                lone,
                "set has" if lone == 1 else "sets have",
            )
        if none := int((~certain & (sizes > 1)).sum()):
            logger.warning("%d of %d sets have too few atoms for an error bar.", none, len(z))
        p_unusual = trained = None
        if self.population is not None:
            p_unusual = np.full(len(z), np.nan)
            p_unusual[certain] = self.population.unusual(z[certain], cov[certain])
        if known.hashes:
            hashes = fingerprints(collection, known.salt, columns)
            trained = np.array([name in known.hashes for name in hashes])
        return Embeddings(z, ids, sizes, effective, meta, cov, df, p_unusual, trained)

    def batch(self, sets: SetsLike, indices: Sequence[int] | None = None) -> SetBatch:
        """Read some sets, or all, as `embedder` takes them: with the features in its order.

        Raises:
            ValueError: If the atoms have another shape or lack features of the model.
        """
        collection = _collection(sets)
        reader = SetReader(self.network, self._runtime, self._match(collection))
        return reader.batch(collection, range(len(collection)) if indices is None else indices)

    def sample(
        self,
        z: Embeddings | ArrayLike,
        n: int,
        rng: Rng = 0,
        sizes: ArrayLike | None = None,
        ground: Literal["input", "model"] = "input",
    ) -> NDArray[Any]:
        """Draw from the distribution of an embedding.

        Args:
            z: One embedding `(L,)`, several `(B, L)`, or a table, which knows its sizes.
            n: Atoms of each, at least 1.
            rng: Seed or generator.
            sizes: Effective atoms behind each embedding, `(B,)`. An embedding of few atoms is
                uncertain, and its samples are then drawn towards what all sets share. Left out
                for an array, z is taken to be the distribution itself, a small step beyond the
                largest context of the training.
            ground: `input` for the units of the data, `model` for the space after the transform.

        Returns:
            `(n, *event)` or `(B, n, *event)`.

        Raises:
            ValueError: If `n < 1` or the dimension of z is not the model's.
        """
        if not isinstance(n, int | np.integer) or n < 1:
            raise ValueError(f"n = {n}; it is a number of samples, 1 or more.")
        if ground not in ("input", "model"):
            raise ValueError(f"ground is {ground!r}; it is 'input' or 'model'.")
        if isinstance(z, Embeddings):
            sizes = z.effective_sizes if sizes is None else sizes
            return self.sample(z.z, n, rng, sizes, ground)
        given = torch.from_numpy(_numbers(z))
        if given.ndim not in (1, 2) or given.shape[-1] != self.latent:
            raise ValueError(
                f"z has shape {tuple(given.shape)}; this model's embeddings are ({self.latent},), "
                f"or (B, {self.latent}) for several."
            )
        device = self._runtime.device
        generator, most = as_generator(rng, device), atoms_at_once(device)
        rows = torch.atleast_2d(given).to(device)
        behind = np.inf if sizes is None else np.asarray(sizes, dtype=np.float32)
        if np.min(behind) <= 0:
            raise ValueError("sizes are numbers of atoms, and positive.")
        known = torch.as_tensor(np.broadcast_to(behind, len(rows)).copy()).to(device)
        counts = [min(most, n - done) for done in range(0, n, most)]
        drawn = []
        with self._runtime.active(), torch.inference_mode():
            for some, size in zip(
                *(t.split(max(1, most // n)) for t in (rows, known)), strict=True
            ):
                parts = [self.network.sample(some, c, generator, size) for c in counts]
                x = torch.cat(parts, 1)
                drawn.append((self.transform.inverse(x) if ground == "input" else x).cpu())
        out: NDArray[Any] = torch.cat(drawn).numpy()
        return out[0] if given.ndim == 1 else out

    def reconstruct(self, sets: SetsLike, n: int, rng: Rng = 0) -> NDArray[Any]:
        """Embed sets and draw n samples of each, `(S, n, *event)`."""
        return self.sample(self.embed(sets, covariance=False), n, rng)

    def log_prob(
        self,
        sets: SetsLike,
        z: Embeddings | ArrayLike | None = None,
        ground: Literal["input", "model"] = "input",
    ) -> list[NDArray[np.float64]]:
        """Return the log density of every atom under the distribution of an embedding.

        Of generators that have a density: `explicit`, with any likelihood. In nats, of the density
        in the units of the data, or of the probability of counts and classes.

        Args:
            sets: Atoms to judge.
            z: What they are judged by: a table with a row for each set, an array `(S, L)`, or one
                embedding `(L,)` for all. Left out, the sets' own embeddings: an atom is then
                judged by a distribution that it was part of.
            ground: `input` for a density in the units of the data, `model` for one in the space
                after the transform, which may have fewer dimensions.

        Returns:
            An array for each set, `(m,)`, in the order of its atoms.

        Raises:
            TypeError: If the generator has no density.
            ValueError: If z does not fit the sets, or atoms have no density in their own units.
        """
        if ground not in ("input", "model"):
            raise ValueError(f"ground is {ground!r}; it is 'input' or 'model'.")
        collection = _collection(sets)
        table = self.embed(collection, covariance=False) if z is None else z
        known = table.effective_sizes if isinstance(table, Embeddings) else np.inf
        given = _numbers(table.z if isinstance(table, Embeddings) else table)
        vectors = self._vectors(np.tile(given, (len(collection), 1)) if given.ndim == 1 else given)
        if len(vectors) != len(collection):
            raise ValueError(
                f"There are {len(vectors)} embeddings for {len(collection)} sets; give one for "
                "each, or one vector for all."
            )
        if isinstance(table, Embeddings) and not table.follows(collection.ids):
            raise ValueError(
                "The table holds these very sets in another order, and row i judges set i. Embed "
                "the sets again, or give vectors, table.z, if this is what you want."
            )
        reader = SetReader(self.network, self._runtime, self._match(collection))
        sizes = np.broadcast_to(known, len(vectors)).astype(np.float64)
        return reader.log_prob(collection, vectors, sizes, ground == "model")

    def distances(
        self,
        a: Embeddings | ArrayLike,
        b: Embeddings | ArrayLike | None = None,
        calibrated: bool = True,
        denoise: bool = True,
    ) -> NDArray[np.float64]:
        r"""Return distances between embeddings, `(A, B)`.

        Sampling noise makes any two sets look further apart than their distributions are. Where
        tables know their covariances it is taken off the squared latent distance,
        $|z_a - z_b|^2 - \operatorname{tr}(V_a + V_b)$, or what that leaves above zero.

        Args:
            a: Embeddings `(A, L)`.
            b: Others `(B, L)`; those of `a` where left out.
            calibrated: In units of W2 of the model's ground space (`model.calibration` states the
                error), else plain latent distances.
            denoise: Whether to take noise off, of tables that know it.
        """
        vectors, others = self._vectors(a), None if b is None else self._vectors(b)
        latent = latent_distances(vectors, others)
        if denoise:
            noise = noise_of(a)[:, None] + noise_of(a if b is None else b)
            latent = np.sqrt(np.maximum(latent**2 - noise, 0))
        if calibrated:
            self._refuse_uncalibrated()
        return self.calibration(latent) if calibrated else latent

    def distance_intervals(
        self,
        table: Embeddings,
        pairs: ArrayLike | None = None,
        *,
        level: float = 0.95,
        calibrated: bool = True,
    ) -> W2Interval | LimitInterval:
        """Return intervals for the distances of pairs of sets, which share no atoms.

        Args:
            table: Embeddings with covariances, of sets that the model was not trained on.
            pairs: Row numbers of the two sets of each pair, `(P, 2)`; all pairs where left out, in
                the order of `numpy.triu_indices(S, 1)`.
            level: Wanted coverage.
            calibrated: For the true W2 of the two distributions in the model's ground space,
                the error of the calibration included; else for the latent distance that more and
                more atoms would give, which is narrower and says nothing about W2.

        Returns:
            Ends of each interval, `(P,)`; NaN where a set has no covariance.

        Raises:
            ValueError: If there are no covariances, or the model is not calibrated, or on too few
                pairs for the level.
        """
        cov, z = table.covariances, self._vectors(table)
        every = np.stack(np.triu_indices(len(z), 1), 1)
        first, second = (every if pairs is None else np.asarray(pairs)).T
        sides = z[first], z[second], cov[first], cov[second]
        if not calibrated:
            return limit_interval(*sides, level)
        self._refuse_uncalibrated()
        return w2_interval(*sides, self.calibration, level)

    def interpolate(self, z0: ArrayLike, z1: ArrayLike, steps: int = 11) -> NDArray[np.float32]:
        """Return embeddings on the straight path from one to another, `(steps, L)`."""
        return straight_path(_numbers(z0), _numbers(z1), steps)

    @property
    def network(self) -> Network:
        """The trained module.

        Raises:
            ValueError: If the model was not fitted.
        """
        if self._network is None:
            raise ValueError("This model was not fitted; call fit(sets), or GDE.load(path).")
        return self._network

    @property
    def embedder(self) -> Embedder:
        """The encoder of sets in the user's units, as `distembed.inference` asks for."""
        return self.network.embedder

    @property
    def transform(self) -> Chain:
        """The map of atoms to the model's ground space, and its inverse."""
        return self.network.transform

    def untrained(self) -> GDE:
        """Return this model as it was before its first training step, as a baseline."""
        other = copy.copy(self)
        other._network = copy.deepcopy(self.network)
        restore(other._network, self._initial)
        return other

    # -- storage --------------------------------------------------------------------------------

    def save(self, path: str | Path) -> Path:
        """Write the model's folder.

        Raises:
            FileExistsError: If the path holds something else than a model.
            OSError: If it cannot be written.
        """
        trained = {f"model.{k}": v for k, v in self.network.state_dict().items()}
        initial = {f"initial.{k}": v for k, v in self._initial.items()}
        usual = {
            f"population.{k}": torch.from_numpy(np.array(v))
            for k, v in (self.population.arrays() if self.population else {}).items()
        }
        tensors = trained | initial | usual
        stored = Stored(self._describe(), tensors, self.history)
        return write_folder(path, stored, str(self.card()))

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        encoder: nn.Module | None = None,
        generator: nn.Module | None = None,
        device: str = "auto",
        threads: int | str = "auto",
    ) -> GDE:
        """Read a model's folder.

        Args:
            path: The folder.
            encoder: The module, where the model was made with an object and not a name.
            generator: Likewise.
            device: Where to compute.
            threads: CPU threads.

        Raises:
            FileNotFoundError: If it is not there.
            ValueError: If it is newer than this package, damaged, edited or incomplete.
        """
        stored = read_folder(path)
        config = stored.config
        model = cls()
        try:
            model.spec = model._made = Spec.from_description(config, encoder, generator)
            model.event_shape = tuple(config["event_shape"])
            model.features = tuple(config["features"]) if config["features"] else None
            model.config = TrainConfig.model_validate(config["train"])
            model.calibration = Calibration.from_description(config["calibration"])
            model.fingerprints = Fingerprints(config["salt"], frozenset(config["hashes"]))
            model.notes = dict(config["notes"])
        except (KeyError, TypeError) as error:
            raise ValueError(f"The config of {path} lacks or misnames {error}.") from error
        model.history = list(stored.history)
        model._runtime = Runtime.choose(device, "auto", threads)
        network = model.spec.build(model.event_shape, model.config.seed)
        model._network = network.to(model._runtime.device).eval()
        initial, trained, usual = (
            {k.removeprefix(p): v for k, v in stored.tensors.items() if k.startswith(p)}
            for p in ("initial.", "model.", "population.")
        )
        restore(model._network, initial)
        restore(model._network, trained)
        model._initial = initial
        if usual:
            model.population = Population.from_arrays({k: v.numpy() for k, v in usual.items()})
        return model

    def card(self) -> ModelCard:
        """Describe the model, from its config and history; `str` of the card is Markdown."""
        return model_card(self._describe(), self.history)

    # -- private --------------------------------------------------------------------------------

    def _vectors(self, table: Embeddings | ArrayLike) -> NDArray[np.float32]:
        z = _numbers(table.z if isinstance(table, Embeddings) else table)
        if z.ndim != 2 or z.shape[1] != self.latent:
            raise ValueError(
                f"The embeddings have shape {z.shape}; expected (A, L), one row a set, of "
                f"L = {self.latent}."
            )
        return z

    def _refuse_uncalibrated(self) -> None:
        if not self.calibration.pairs:
            raise ValueError(
                "The distances of this model are not calibrated: its sets were too few or too "
                "small to measure W2 on. Ask for latent distances, with calibrated=False."
            )

    def _match(self, collection: Collection) -> list[int] | None:
        """Columns of a collection in the model's order; None where they are as they should be."""
        if self.features is not None and collection.features is not None:
            return match_columns(self.features, collection.features)
        if collection.event_shape != self.event_shape:
            raise ValueError(
                f"The atoms have shape {collection.event_shape}, and the model was fitted to "
                f"{self.event_shape}."
            )
        return None

    def _describe(self) -> dict[str, Any]:
        versions = {p: importlib.metadata.version(p) for p in ("torch", "numpy", "safetensors")}
        return {
            "distembed": __version__,
            "versions": versions,
            "event_shape": list(self.event_shape),
            "features": list(self.features) if self.features else None,
            **self._made.describe(),
            "train": self.config.model_dump(mode="json"),
            "calibration": self.calibration.describe(),
            "salt": self.fingerprints.salt,
            "hashes": sorted(self.fingerprints.hashes),
            "notes": self.notes,
        }


def _latent(encoder: Part, latent: int | None) -> int:
    """Dimension of the embedding: what an encoder module states, or what is asked for."""
    if not isinstance(encoder, nn.Module):
        return 32 if latent is None else latent
    own = as_encoder(encoder).latent
    if latent not in (None, own):
        raise ValueError(
            f"latent = {latent}, and the encoder {type(encoder).__name__} has latent = {own}. "
            "Leave latent out: it is taken from the module."
        )
    return own


def _numbers(z: ArrayLike) -> NDArray[np.float32]:
    """Return vectors as torch takes them, or say that they are none."""
    try:
        given = np.asarray(z, np.float32, order="C")
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"An embedding is a vector of numbers, not {type(z).__name__}. Embed sets first: "
            "table = model.embed(sets), then table.z[i]."
        ) from error
    if not np.isfinite(given).all():
        raise ValueError("An embedding holds NaN or infinity, which is no vector of this model.")
    return given


def _collection(sets: SetsLike) -> Collection:
    if isinstance(sets, Collection):
        return sets
    if isinstance(sets, SetBatch):
        return Sets.from_batch(sets.checked())
    return read(sets, min_size=1)
