"""What a fit returns: everything that a fitted model consists of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from distembed.model.attachments import Attachments
from distembed.model.network import Network
from distembed.model.spec import Spec
from distembed.training.config import TrainConfig
from distembed.training.runtime import Runtime
from distembed.training.trainer import Record

__all__ = ["FittedModel"]


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
