"""Generative Distribution Embeddings: a vector for every set, and samples for every vector.

`GDE` is the facade of the package: each method documents its arguments and calls one module of
`distembed.model`. The steps of a fit are in `fit`, what a fitted model consists of in `fitted`,
batched inference in `engine`, draws and densities in `sampling`, distances in `distances` and
`neighbours`, paths, means and transport in `paths`, what is fitted afterwards in `attachments`,
and the format of a saved model in `state` and `storage`.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn

from distembed.batch import SetBatch
from distembed.data.spaces import ground_distance
from distembed.data.transforms.chain import Chain
from distembed.geometry.distance import Calibration, Ground
from distembed.inference.calibrated import W2Interval
from distembed.inference.intervals import LimitInterval
from distembed.inference.population.density import Population
from distembed.model.card import Measured, ModelCard, model_card
from distembed.model.distances import (
    Denoise,
    decoded_distances,
    distance_intervals,
    distances,
)
from distembed.model.embeddings import Embeddings, Fingerprints
from distembed.model.engine import InferenceSettings
from distembed.model.export import Exported, ExportSettings, export_encoder
from distembed.model.fit import fit_model
from distembed.model.fitted import FittedModel
from distembed.model.hub import HubClient, model_folder, upload
from distembed.model.initial import initial_network
from distembed.model.inputs import SetsLike, as_collection, as_latent, as_table
from distembed.model.neighbours import ExactSettings, Neighbours, exact_top_k
from distembed.model.network import Embedder, Network
from distembed.model.paths import checked_barycenter, checked_path, transport
from distembed.model.sampling import draw, log_densities
from distembed.model.spec import Part, Spec
from distembed.model.state import describe, from_stored, to_stored
from distembed.model.storage import read_folder, write_folder
from distembed.model.tables import embedding_table, with_uncertainty
from distembed.protocols import AtomSpace, Objective
from distembed.registry import NamedMember
from distembed.rng import Rng, as_generator
from distembed.training.config import TrainConfig
from distembed.training.runtime import Runtime
from distembed.training.trainer import Record

__all__ = ["GDE"]


class GDE:
    """An encoder and a generator that are trained together.

    Args:
        encoder: A member of `ENCODERS`, `"name"` or `{"name": ..., option: value}`; a module with
            the `Encoder` protocol; or `auto`, which depends on the kind of atoms.
        generator: A member of `GENERATORS`, a module with the `Generator` protocol, or `auto`.
        latent: Dimension L of the embedding: 32 if left out, or that of an encoder module.
        conditioning: Input of the generator: `none` (z, L columns), `size` (the standardised
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
        self.spec = Spec(encoder, generator, as_latent(latent, encoder), conditioning, transform)
        self.inference = InferenceSettings()
        self.notes: dict[str, Any] = {}
        self._fitted: FittedModel | None = None

    def __repr__(self) -> str:
        parts = (self._fitted.spec if self._fitted else self.spec).describe()
        names = {k: (parts[k] or {}).get("name") for k in ("encoder", "generator")}
        members = ", ".join(f"{part}={name or 'a module'!r}" for part, name in names.items())
        state = f"fitted to atoms of shape {self.event_shape}" if self._fitted else "not fitted"
        return f"GDE({members}, latent={self.latent}; {state})"

    @property
    def fitted(self) -> bool:
        """Whether the model was fitted or loaded."""
        return self._fitted is not None

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
        """Train on sets, a share of which is held out for early stopping.

        A run that is interrupted leaves the model as it was.

        Args:
            sets: A collection, a batch or a list of arrays `(m, *event)`.
            config: Settings of the training.
            checkpoint: File to resume from and to save to; records of the run go beside it, as
                JSON lines.
            objectives: Further losses `(network, step, z) -> (B,)`.
            progress: Whether to show progress.
            settings: Single settings of `TrainConfig`, which replace those of `config`.

        Raises:
            ValueError: If a setting is unknown, an atom is not finite, or a set has one atom only.
        """
        config = (config or TrainConfig()).changed(settings)
        self._fitted = fit_model(
            self.spec,
            as_collection(sets),
            config,
            checkpoint=checkpoint,
            objectives=objectives,
            progress=progress,
        )
        return self

    # -- use ------------------------------------------------------------------------------------

    def embed(self, sets: SetsLike, covariance: bool = True) -> Embeddings:
        """Embed every set from all of its atoms, with sampling covariances.

        A set of more than 2^18 atoms is read in pieces, in memory that does not grow with it, if
        the encoder streams (`distembed.encoders.streaming`). Covariances take longer than the
        embeddings; they use at most 512 atoms of each set (`distembed.model.engine`).

        Args:
            sets: A collection, a batch or a list of arrays `(m, *event)`.
            covariance: Whether to estimate covariances, and with them the p-value that a set is
                of the training population; and to mark the training sets.

        Raises:
            ValueError: If the atoms have another shape or lack features of the model.
        """
        collection, engine = self._state.reader(sets, self.inference)
        table = embedding_table(engine, collection, self._state.support, self.features)
        if not covariance:
            return table
        return with_uncertainty(table, engine, collection, self.population, self.fingerprints)

    def batch(self, sets: SetsLike, indices: Sequence[int] | None = None) -> SetBatch:
        """Read some sets, or all, with the features in the order of `embedder`.

        Raises:
            ValueError: If the atoms have another shape or lack features of the model.
        """
        collection, engine = self._state.reader(sets, self.inference)
        return engine.batch(collection, range(len(collection)) if indices is None else indices)

    def sample(
        self,
        z: Embeddings | ArrayLike,
        n: int,
        rng: Rng = 0,
        effective_sizes: ArrayLike | None = None,
        ground: Ground = "input",
        as_data: bool = False,
        common_noise: bool = False,
    ) -> Any:
        """Draw from the distribution of an embedding.

        Args:
            z: One embedding `(L,)`, several `(B, L)`, or a table, which has its effective sizes.
            n: Atoms of each, at least 1.
            rng: Seed or generator.
            effective_sizes: Effective number of atoms of each set that was embedded, `(B,)`. The
                embedding of a small set is uncertain, and its samples are shrunk towards the mean
                over training sets. If left out for an array, z is taken for the distribution
                itself: an infinite size, a small step beyond the largest context of the training.
            ground: `input` for the units of the data, `model` for the space after the transform.
            as_data: Whether to restore the type of the data: counts are rounded to whole numbers
                of at least 0, pixels are clipped to their range and rounded where they are whole
                (uint8 to uint8), and tokens are decoded to strings.
            common_noise: Whether all embeddings are decoded from the same noise, so that atom i
                of one set and atom i of another differ by their embeddings only: equal embeddings
                give equal atoms, and atoms move continuously along a path (of counts, equal
                embeddings only; see docs/geometry.md).

        Returns:
            An array `(n, *event)` or `(B, n, *event)`; with `as_data`, of tokens, a list of n
            strings, or B lists.

        Raises:
            ValueError: If `n < 1`, the dimension of z is not the model's, or `as_data` is used in
                the model's ground space.
        """
        if as_data and ground == "model":
            raise ValueError("as_data restores the units of the data; use it with ground='input'.")
        state = self._state
        generator = as_generator(rng, state.runtime.device)
        x = draw(
            state.engine(self.inference), z, n, generator, effective_sizes,
            ground=ground, common_noise=common_noise,
        )  # fmt: skip
        return state.spec.atoms.restore(x) if as_data else x

    def reconstruct(self, sets: SetsLike, n: int, rng: Rng = 0) -> NDArray[Any]:
        """Embed sets and draw n samples of each, `(S, n, *event)`."""
        x: NDArray[Any] = self.sample(self.embed(sets, covariance=False), n, rng)
        return x

    def log_prob(
        self,
        sets: SetsLike,
        z: Embeddings | ArrayLike | None = None,
        ground: Ground = "input",
    ) -> list[NDArray[np.float64]]:
        """Return the log density of every atom under the distribution of an embedding, in nats.

        Defined for generators that have a density: `explicit`, with any likelihood, and those of
        sequences but `masked`, which has a bound. Counts, classes and sequences have a log
        probability.

        Args:
            sets: Atoms to score.
            z: Embeddings to score them under: a table with a row for each set, an array `(S, L)`,
                or one embedding `(L,)` for all. If left out, the sets' own embeddings: an atom is
                then scored under a distribution that it was part of.
            ground: `input` for a density in the units of the data, `model` for one in the space
                after the transform, which may have fewer dimensions.

        Returns:
            An array for each set, `(m,)`, in the order of its atoms.

        Raises:
            TypeError: If the generator has no density.
            ValueError: If z does not fit the sets, or atoms have no density in their own units.
        """
        collection, engine = self._state.reader(sets, self.inference)
        return log_densities(engine, collection, z, ground)

    def distances(
        self,
        a: Embeddings | ArrayLike,
        b: Embeddings | ArrayLike | None = None,
        calibrated: bool = True,
        denoise: Denoise = "posterior",
        *,
        method: Literal["latent", "decoded"] = "latent",
        draws: int = 256,
        condensed: bool = False,
        dtype: type[np.floating[Any]] = np.float64,
    ) -> NDArray[Any]:
        r"""Return distances between embeddings, `(A, B)`.

        Sampling noise makes any two sets look further apart than their distributions are, the
        more the fewer atoms they have. If tables have covariances, the squared latent distance is
        by default the one that is expected given the atoms of both and what all training sets
        share (`distembed.inference.prior`); sets with few atoms are moved towards their mean.

        Args:
            a: Embeddings `(A, L)`.
            b: Others `(B, L)`; those of `a` if left out.
            calibrated: In units of W2 of the model's ground space (`model.calibration` has the
                error), else plain latent distances. Beyond the largest fitted distance W2 goes
                on linearly, with a warning.
            denoise: What is done about the noise, if tables have covariances. `posterior`: as
                above, most often the most accurate; two sets of few atoms are never at distance
                zero. `unbiased`: $\max(|z_a - z_b|^2 - \operatorname{tr}(V_a + V_b), 0)$,
                which is zero on average for samples of one distribution. `none`: nothing.
            method: `latent` for distances of z; or `decoded` for the exact W2, in the model's
                ground space, between draws from each z with common noise, which is not calibrated
                and not corrected. It solves a problem of optimal transport for each pair: about
                10 ms at 256 draws.
            draws: Draws of each embedding for `decoded`.
            condensed: Return the pairs of `a` as a vector `(A (A - 1) / 2,)` in the order of
                `scipy.spatial.distance.pdist`, in half the memory; latent method only.
            dtype: `np.float32` for half the memory again; latent method only.

        Raises:
            ValueError: If the model is not calibrated, an embedding is of another dimension,
                there is no such method or denoising, or two tables are to be condensed.
        """
        if method == "decoded":
            if condensed or dtype is not np.float64:
                raise ValueError(
                    "condensed and dtype are for method='latent'; leave them out for draws."
                )
            return decoded_distances(self._state, a, b, draws, self.inference)
        if method != "latent":
            raise ValueError(f"method is {method!r}; it is 'latent' or 'decoded'.")
        return distances(self._state, a, b, calibrated, denoise, condensed, dtype)

    def exact_top_k(
        self,
        sets: SetsLike,
        others: SetsLike | None = None,
        k: int = 10,
        *,
        candidates: int | None = None,
        settings: ExactSettings | None = None,
    ) -> Neighbours:
        """Return the nearest sets by z, ranked anew by exact W2 between their atoms.

        W2 is measured in the model's ground space, under the distance of atoms that their kind
        has (`model.atoms.ground`), and includes the sampling noise of both sets.

        Args:
            sets: S sets, whose neighbours are searched.
            others: The sets among which they are searched; `sets` if left out, where a set is not
                a neighbour of itself.
            k: Number of neighbours.
            candidates: Number of nearest sets by z that are compared exactly; 5 k if left out.
            settings: Atoms of a set that are compared, and the seed of the choice.

        Raises:
            ValueError: If `k < 1`, or there are fewer candidates than k, or fewer other sets.
        """
        distance = ground_distance(self.atoms)
        own = self._state.reader(sets, self.inference)
        pool = None if others is None else self._state.reader(others, self.inference)
        return exact_top_k(own, pool, k, candidates, settings, distance)

    def distance_intervals(
        self,
        table: Embeddings,
        pairs: ArrayLike | None = None,
        *,
        level: float = 0.95,
        calibrated: bool = True,
    ) -> W2Interval | LimitInterval:
        """Return intervals for the distances of pairs of sets.

        Where sets share atoms, the part of the variance that these take away is left out.

        Args:
            table: Embeddings with covariances, of sets that the model was not trained on.
            pairs: Row numbers of the two sets of each pair, `(P, 2)`; all pairs if left out, in
                the order of `numpy.triu_indices(S, 1)`.
            level: Coverage of the intervals.
            calibrated: For the true W2 of the two distributions in the model's ground space,
                the error of the calibration included; else for the latent distance in the limit
                of many atoms, which is narrower and is no interval for W2.

        Returns:
            Ends of each interval, `(P,)`; NaN if a set has no covariance. Beyond the largest
            fitted distance W2 has no upper end: it is infinite, with a warning.

        Raises:
            ValueError: If there are no covariances, or the model is not calibrated, or on too few
                pairs for the level.
        """
        return distance_intervals(self._state, table, pairs, level, calibrated)

    def interpolate(
        self, z0: ArrayLike, z1: ArrayLike, steps: int = 11, t: ArrayLike | None = None
    ) -> NDArray[np.float32]:
        """Return embeddings on the straight line through two, `(steps, L)` or `(T, L)`.

        Atoms along the path are those of `sample(path, n, common_noise=True)`. A warning is
        logged if points lie where no training set is, provided that the population is fitted: it
        is in a saved model, and once sets were embedded with covariances.

        Args:
            z0: Where the path begins, `(L,)`.
            z1: Where it ends, `(L,)`.
            steps: Number of equally spaced points, both ends included.
            t: Positions on the line instead, `(T,)`: 0 at z0 and 1 at z1. Positions below 0 or
                above 1 extrapolate.

        Raises:
            ValueError: If there are no positions or the ends are not embeddings.
        """
        return checked_path(self._fitted, z0, z1, steps, t)

    def barycenter(
        self, z: Embeddings | ArrayLike, weights: ArrayLike | None = None
    ) -> NDArray[np.float32]:
        """Return the weighted mean of embeddings, `(L,)`.

        Where latent distances are W2 distances, it is the embedding of the Wasserstein barycenter.
        A warning is logged if it lies where no training set is, as by `interpolate`.

        Args:
            z: Embeddings, `(S, L)`, or a table.
            weights: Weights, `(S,)`, not negative; equal if left out. They are divided by their
                sum, and a sum other than 1 is logged.

        Raises:
            ValueError: If a weight is negative, or their number is not S.
        """
        return checked_barycenter(self._fitted, as_table(z, self.latent), weights)

    def transport(
        self,
        x: ArrayLike,
        z_from: Embeddings | ArrayLike,
        z_to: Embeddings | ArrayLike,
        *,
        steps: int = 32,
        ground: Ground = "input",
    ) -> NDArray[Any]:
        """Move atoms from the distribution of one embedding to that of another.

        An atom is mapped to the noise that the generator makes it of at `z_from`, and the noise
        to an atom at `z_to`. The map is continuous and invertible, and in general not the
        cheapest (docs/geometry.md has its cost beside optimal transport).

        Args:
            x: Atoms, `(m, *event)`, with the features in the order of the model.
            z_from: Their embedding, `(L,)` or a table of one row.
            z_to: The other embedding.
            steps: Steps of the solver each way; the error falls with their square.
            ground: `input` for a result in the units of the data, `model` for the space after the
                transform.

        Returns:
            `(m, *event)`, in the order of the atoms.

        Raises:
            TypeError: If the generator has no inverse.
            ValueError: If `steps < 1`, or an embedding or the atoms have another shape.
        """
        collection, engine = self._state.reader([x], self.inference)
        return transport(engine, collection, (z_from, z_to), steps, ground)

    # -- parts and records ----------------------------------------------------------------------

    @property
    def latent(self) -> int:
        """Dimension L of the embedding."""
        return self.spec.latent

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of an atom in the units of the data."""
        return self._state.event_shape

    @property
    def atoms(self) -> AtomSpace:
        """The kind of atoms."""
        return self._state.spec.atoms

    @property
    def features(self) -> tuple[str, ...] | None:
        """Names of the features, None if they have no names."""
        return self._state.features

    @property
    def config(self) -> TrainConfig:
        """Settings of the training."""
        return self._state.config

    @property
    def history(self) -> list[Record]:
        """Records of the training."""
        return self._state.history

    @property
    def fingerprints(self) -> Fingerprints:
        """Hashes of the sets that the model was trained on."""
        state = self._state
        return Fingerprints(state.salt, frozenset(state.attachments.context.hashes))

    @property
    def network(self) -> Network:
        """The trained module."""
        return self._state.network

    @property
    def embedder(self) -> Embedder:
        """The encoder of sets in the units of the data, for `distembed.inference`."""
        return self.network.embedder

    @property
    def atom_transform(self) -> Chain:
        """The map of atoms to the model's ground space, and its inverse."""
        return self.network.transform

    def attachment(self, name: str) -> Any:
        """Return a member of `ATTACHMENTS`, fitted on first use and saved with the model.

        Raises:
            ValueError: If there is no such member, or the training sets do not suffice for it.
        """
        return self._state.attachments.get(name)

    @property
    def calibration(self) -> Calibration:
        """The map from latent distances to W2; the identity, of no pairs, if there is none."""
        try:
            return self._state.calibration
        except ValueError:
            return Calibration()

    @property
    def population(self) -> Population | None:
        """The density of the embeddings of sets; None if there were too few sets."""
        return self._state.population

    def untrained(self) -> GDE:
        """Return this model as it was before its first training step, as a baseline."""
        other = copy.copy(self)
        other._fitted = replace(self._state, network=initial_network(self._state))
        return other

    # -- storage --------------------------------------------------------------------------------

    def save(
        self,
        path: str | Path,
        *,
        evaluation: Measured | None = None,
        licence: str | None = None,
    ) -> Path:
        """Write the model's folder.

        Args:
            path: The folder.
            evaluation: Result of `distembed.evaluate`, for the model card.
            licence: As of `card`.

        Raises:
            FileExistsError: If the path holds something else than a model.
            OSError: If it cannot be written.
        """
        # first: it fits the calibration, which is then saved too
        card = str(self.card(evaluation=evaluation, licence=licence))
        return write_folder(path, to_stored(self._state, self.notes), card)

    def push_to_hub(
        self,
        repo: str,
        *,
        evaluation: Measured | None = None,
        licence: str | None = None,
        private: bool = True,
        revision: str | None = None,
        message: str = "Upload a distembed model",
        client: HubClient | None = None,
    ) -> str:
        """Upload the model's folder to a hub of models; needs the extra `hub`.

        A model holds something of its training data: the embeddings of the training sets, the
        ranges of their features, and salted hashes (docs/security.md). So a new repository is
        private unless you say otherwise.

        Args:
            repo: `owner/name`; made if it does not exist.
            evaluation: Result of `distembed.evaluate`, for the model card.
            licence: As of `card`.
            private: Whether a new repository is private; one that exists stays as it is.
            revision: Branch to upload to.
            message: Message of the commit.
            client: The hub; that of `huggingface_hub` if left out.

        Returns:
            Where the model is, as the hub names it.

        Raises:
            ImportError: If the extra `hub` is not installed.
            ValueError: If `repo` is no name on a hub.
        """
        with tempfile.TemporaryDirectory() as scratch:
            folder = self.save(Path(scratch) / "model", evaluation=evaluation, licence=licence)
            return upload(
                folder, repo, private=private, revision=revision, message=message, client=client
            )

    @classmethod
    def from_pretrained(
        cls,
        path_or_repo: str | Path,
        *,
        revision: str | None = None,
        client: HubClient | None = None,
        **options: Any,
    ) -> GDE:
        """Read a model from a folder, or by its name on a hub, which needs the extra `hub`.

        Args:
            path_or_repo: A folder, or `owner/name`. A folder that exists comes first.
            revision: Branch, tag or commit on the hub; name a commit to get the same model always.
            client: The hub; that of `huggingface_hub` if left out.
            options: As of `load`.

        Raises:
            FileNotFoundError: If it is neither a folder nor a name on a hub.
            ImportError: If the extra `hub` is not installed.
            OSError: If the hub has no such model or cannot be reached.
            ValueError: As of `load`, or if a revision of a folder is asked for.
        """
        return cls.load(model_folder(path_or_repo, revision, client), **options)

    def export(self, path: str | Path, settings: ExportSettings | None = None) -> Exported:
        """Write the encoder for programs without this package: ONNX, or a program of torch.

        It takes padded sets in the units of the data, `atoms (sets, atoms, *event)` and relative
        `weights (sets, atoms)`, zero for atoms that pad a shorter set, and gives `z (sets, L)`.
        Both numbers are free. It is written once its z agrees with the model's on sets that the
        model draws. ONNX needs the extra `onnx`.

        Args:
            path: A .onnx file, or a .pt2 file for `torch.export.load`.
            settings: How both are compared.

        Raises:
            ImportError: If the extra `onnx` is needed and not installed.
            ValueError: If the suffix is another one, atoms are tokens or may be missing, torch
                cannot follow the encoder, or z differs.
        """
        settings = settings or ExportSettings()
        z = self._state.attachments.context.z
        batches = [
            SetBatch.from_dense(torch.as_tensor(self.sample(z[:sets], m)))
            for sets, m in settings.shapes
        ]
        return export_encoder(Path(path), self._state, batches, settings)

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        encoder: nn.Module | None = None,
        generator: nn.Module | None = None,
        pretrained: Mapping[str, str] | None = None,
        device: str = "auto",
        threads: int | str = "auto",
    ) -> GDE:
        """Read a model's folder.

        Args:
            path: The folder.
            encoder: A module of the same class and shapes, if the model's encoder was a module.
            generator: Likewise.
            pretrained: New paths of published models that the model reads, by old ones.
            device: Device of computations.
            threads: CPU threads.

        Raises:
            FileNotFoundError: If the path is not a model's folder, or a published model that it
                reads is not where it was.
            ValueError: If it is of another format, damaged, edited or incomplete, or a published
                model is another one.
        """
        stored = read_folder(path)
        model = cls()
        runtime = Runtime.choose(device, "auto", threads)
        model._fitted = from_stored(stored, runtime, encoder, generator, pretrained)
        model.spec, model.notes = model._fitted.spec, dict(stored.config["notes"])
        return model

    def card(self, *, evaluation: Measured | None = None, licence: str | None = None) -> ModelCard:
        """Describe the model; `str` of the card is Markdown with a YAML header.

        Args:
            evaluation: Result of `distembed.evaluate`, whose scores are listed beside those of
                the baselines.
            licence: Identifier of the licence of the model, such as `cc-by-4.0`; none if left
                out, which means that nobody else may use it.
        """
        _ = self.calibration
        config = describe(self._state, self.notes)
        return model_card(config, self.history, evaluation, licence)

    @property
    def _state(self) -> FittedModel:
        if self._fitted is None:
            raise ValueError("This model was not fitted; call fit(sets), or GDE.load(path).")
        return self._fitted
