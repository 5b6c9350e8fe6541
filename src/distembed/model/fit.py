"""Everything that happens once while a model is fitted, in its order.

Sets are held out; the transforms, the encoder and the generator look at training sets; the network
is trained; and what is needed to use and to judge it later is measured on sets that it has seen:
the unit of its distances, what embeddings are usual, and which sets these were.
"""

from __future__ import annotations

import logging
import math
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from distembed.batch import SetBatch
from distembed.geometry.distance import Calibration
from distembed.inference.population.density import Population
from distembed.model.calibrate import MANY_SETS, calibrate
from distembed.model.embeddings import Fingerprints
from distembed.model.engine import SetReader
from distembed.model.network import Network
from distembed.model.spec import Spec
from distembed.protocols import Collection, Objective
from distembed.rng import stream
from distembed.sets.fingerprint import fingerprints
from distembed.sets.sampler import refuse_single_atoms
from distembed.training.config import TrainConfig
from distembed.training.log import RunLog
from distembed.training.runtime import Runtime
from distembed.training.steps import held_out_sets
from distembed.training.trainer import Record, train

__all__ = ["Fitted", "fit_network"]

logger = logging.getLogger(__name__)

LOOKS, FIRST_LOOK = 6, 2**26
"""Context sizes, and most numbers, that are looked at before the first step."""
MANY_TYPICAL, MOST_TYPICAL = 100, 500
"""Held-out sets tell what is usual where there are as many, all sets otherwise; and most sets."""


@dataclass(frozen=True)
class Fitted:
    """What a fit leaves.

    Attributes:
        network: The trained network.
        initial: Its state before the first step.
        history: Records of the training.
        runtime: Where it computes.
        calibration: From latent distances to W2.
        population: What embeddings are usual; None where sets are too few to say.
        fingerprints: Of all sets, those that were held out for early stopping too.
    """

    network: Network
    initial: Mapping[str, Tensor]
    history: list[Record]
    runtime: Runtime
    calibration: Calibration
    population: Population | None
    fingerprints: Fingerprints


def fit_network(
    spec: Spec,
    collection: Collection,
    config: TrainConfig,
    *,
    checkpoint: str | Path | None = None,
    objectives: Sequence[Objective] = (),
    progress: bool = True,
) -> Fitted:
    """Build a network and train it; the arguments are those of `GDE.fit`.

    Raises:
        ValueError: If there is one set, an atom is not finite, or a set has one atom only.
    """
    if len(collection) < 2:
        raise ValueError("There is one set; a model is trained on many, at least two.")
    runtime = Runtime.choose(config.device, config.precision, config.threads)
    held_out = held_out_sets(len(collection), config.validation, config.seed)
    every = np.arange(len(collection))
    training = np.setdiff1d(every, held_out)
    network = spec.build(collection.event_shape, config.seed, objectives)
    refuse_single_atoms(collection)
    with runtime.active():
        batch = _first_look(collection, training, config)
        network.transform.fit(batch.x, batch.w)
        sizes = np.geomspace(*config.context, LOOKS).round().astype(int).tolist()
        # on the CPU, wherever training is: the start is then the same on every device
        network.prepare(batch, sizes, stream(config.seed, "prepare"))
    lines = Path(checkpoint).with_suffix(".jsonl") if checkpoint is not None else None
    initial = {k: v.cpu().clone() for k, v in network.state_dict().items()}
    history = train(
        network,
        collection,
        config,
        indices=training.tolist(),
        held_out=held_out.tolist(),
        checkpoint=checkpoint,
        log=RunLog(config.steps, progress, lines),
    )
    salt = secrets.token_hex(8)
    hashes = frozenset(fingerprints(collection, salt))
    judges = held_out if len(held_out) >= MANY_SETS else training
    with runtime.active():
        calibration = calibrate(network, collection, judges, config.seed)
    typical = held_out if len(held_out) >= MANY_TYPICAL else every
    population = _population(SetReader(network, runtime), collection, typical, config.seed)
    return Fitted(
        network, initial, history, runtime, calibration, population, Fingerprints(salt, hashes)
    )


def _first_look(collection: Collection, indices: np.ndarray, config: TrainConfig) -> SetBatch:
    """Atoms of some training sets, for everything that is fitted before the first step."""
    rng = stream(config.seed, "first look")
    few = torch.randperm(len(indices), generator=rng)[:1024].numpy()
    width = math.prod(collection.event_shape)
    most = max(2, min(config.context[1], FIRST_LOOK // (len(few) * width)))
    return collection.batch(indices[few].tolist(), most, rng)


def _population(
    reader: SetReader, collection: Collection, typical: NDArray[np.int64], seed: int
) -> Population | None:
    """Model the embeddings of some sets; None where they are too few, or all alike."""
    rng = stream(seed, "population")
    chosen = typical[torch.randperm(len(typical), generator=rng)[:MOST_TYPICAL].numpy()]
    try:
        return Population.fit(reader.embed(collection, chosen)[0], rng=rng)
    except ValueError as error:
        logger.info("no model of the population of sets: %s", error)
        return None
