"""What a fit returns: everything that a fitted model consists of, and its way to read sets."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from distembed.geometry.distance import Calibration
from distembed.inference.population.density import Population
from distembed.inference.prior import GaussianPrior
from distembed.model.attachments import Attachments
from distembed.model.engine import InferenceEngine, InferenceSettings
from distembed.model.inputs import SetsLike, as_collection, feature_columns
from distembed.model.network import Network
from distembed.model.spec import Spec
from distembed.model.support import Support
from distembed.protocols import Collection
from distembed.training.config import TrainConfig
from distembed.training.runtime import Runtime
from distembed.training.trainer import Record

__all__ = ["FittedModel"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FittedModel:
    """A trained network and its record.

    Attributes:
        spec: The parts, by name and options; none is `auto`.
        event_shape: Shape of an atom in the units of the data.
        features: Names of the features, None if they have no names.
        config: Settings of the training.
        network: The trained network.
        runtime: The device and the threads of computations.
        history: Records of the training.
        initial: Tensors of the network before training that cannot be rebuilt
            (`distembed.model.initial`).
        salt: Salt of the hashes of the training sets.
        attachments: What is fitted to the embeddings of the training sets.
        support: Ranges of the features over the training atoms; None where atoms have none.
        recipe: How the training sets were made; blank where it is not known.
    """

    spec: Spec
    event_shape: tuple[int, ...]
    features: tuple[str, ...] | None
    config: TrainConfig
    network: Network
    runtime: Runtime
    history: list[Record]
    initial: Mapping[str, Tensor]
    salt: str
    attachments: Attachments
    support: Support | None = None
    recipe: str = ""

    @property
    def calibration(self) -> Calibration:
        """The map from latent distances to W2.

        Raises:
            ValueError: If the training sets do not suffice for it.
        """
        try:
            calibration: Calibration = self.attachments.get("calibration")
        except ValueError as error:
            raise ValueError(
                f"The distances of this model are not calibrated to W2. {error} Use latent "
                "distances, calibrated=False."
            ) from error
        return calibration

    @property
    def prior(self) -> GaussianPrior | None:
        """What all sets share; None if the training sets do not suffice for it."""
        try:
            prior: GaussianPrior = self.attachments.get("prior")
        except ValueError as error:
            logger.warning("Embeddings are taken without a prior. %s", error)
            return None
        return prior

    @property
    def population(self) -> Population | None:
        """The density of the embeddings of sets; None if there were too few sets."""
        try:
            population: Population = self.attachments.get("population")
        except ValueError:
            return None
        return population

    def engine(
        self, settings: InferenceSettings, columns: Sequence[int] | None = None
    ) -> InferenceEngine:
        """Return an engine that reads these columns of the atoms, or all."""
        return InferenceEngine(self.network, self.runtime, columns, settings)

    def reader(
        self, sets: SetsLike, settings: InferenceSettings
    ) -> tuple[Collection, InferenceEngine]:
        """Return sets as a collection, and an engine that reads its features in order.

        Raises:
            ValueError: If the atoms have another shape or lack features of the model.
        """
        collection = as_collection(sets, self.spec.atoms)
        columns = feature_columns(collection, self.features, self.event_shape)
        return collection, self.engine(settings, columns)
