"""The steps of a fit, in their order.

1. Hold out sets for early stopping.
2. Build the network from the specification and the seed.
3. Prepare it on training sets: transform, closed forms, scales.
4. Train the correction of the closed form on W2 of pairs, and prepare the generator anew.
5. Train all of it.
6. Embed all sets, and measure W2 on pairs of them, for what is fitted afterwards.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from distembed.batch import SetBatch
from distembed.data.spaces import ground_distance
from distembed.geometry.attachment import TrainingTable
from distembed.model.attachments import Attachments
from distembed.model.calibrate import measure_pairs
from distembed.model.engine import InferenceEngine, InferenceSettings
from distembed.model.fitted import FittedModel
from distembed.model.initial import snapshot, unrebuildable
from distembed.model.network import Network
from distembed.model.noise import atom_noise
from distembed.model.schedule import suited
from distembed.model.spec import Spec
from distembed.model.support import Support, has_support, sentences
from distembed.model.tables import shared_fingerprints
from distembed.protocols import Collection, Objective, Remarking
from distembed.rng import stream
from distembed.sets.collection import Sets
from distembed.sets.repeated import merge_repeated
from distembed.sets.sampler import refuse_single_atoms
from distembed.sets.sharing import sharing_sets
from distembed.training.config import TrainConfig
from distembed.training.distributed import Ranks
from distembed.training.log import RunLog
from distembed.training.metric import CorrectedEncoder, MetricTraining
from distembed.training.runtime import Runtime
from distembed.training.steps import held_out_sets
from distembed.training.trainer import Trainer
from distembed.training.w2_pairs import HalvedSets, TooFewPairsError

__all__ = ["PreparationSettings", "fit_model"]


_MASKED = (
    "values may be missing: distances stay latent, because W2 is not defined between atoms that "
    "are not complete, and ranges of features are not compared"
)


_SHARED = (
    "sets share atoms: the sets that are held out during the training share them with others, so "
    "that the validation and the error of the calibration flatter. For a test divide the atoms "
    "before sets are made of them, or hold out regions by split_by_region"
)


@dataclass(frozen=True)
class PreparationSettings:
    """What is read of the training sets before the first step.

    Attributes:
        sets: Number of sets, at most.
        numbers: Coordinates of all their atoms together, at most.
        context_sizes: Number of context sizes, across the range of the training.
    """

    sets: int = 1024
    numbers: int = 2**24
    context_sizes: int = 6


def fit_model(
    spec: Spec,
    collection: Collection,
    config: TrainConfig,
    *,
    checkpoint: str | Path | None = None,
    objectives: Sequence[Objective] = (),
    progress: bool = True,
) -> FittedModel:
    """Build a network and train it; the arguments are those of `GDE.fit`.

    Raises:
        ValueError: If there is one set, an atom is not finite, or a set has one atom only.
    """
    if len(collection) < 2:
        raise ValueError("There is one set; a model is trained on many, at least two.")
    spec = spec.resolved(collection)
    config = suited(config, spec.atoms, collection.event_shape)
    runtime = Runtime.choose(config.device, config.precision, config.threads)
    held_out = held_out_sets(len(collection), config.validation, config.seed)
    training = np.setdiff1d(np.arange(len(collection)), held_out)
    network = spec.build(collection.event_shape, config.seed, objectives)
    built = snapshot(network)
    refuse_single_atoms(collection)
    ranks = Ranks.current()
    records = _records(checkpoint) if ranks.first else None
    log = RunLog(config.steps, progress and ranks.first, records)
    with runtime.active():
        support = prepare(network, collection, training, config)
        if collection.atoms.masked:
            log.message(_MASKED)
        if sharing_sets(collection)[training].any():
            log.message(_SHARED)
        for sentence in _remarks(support, collection):
            log.message(sentence)
        if network.loss_unit:
            log.message(f"the loss and z_used are in {network.loss_unit}")
        initial = snapshot(network)
        learn_metric(network, collection, held_out, config, log)
        for part in network.modules():
            if isinstance(part, Remarking) and part.remark:
                log.message(part.remark)
    history = Trainer(
        network,
        collection,
        config,
        indices=training.tolist(),
        held_out=held_out.tolist(),
        checkpoint=checkpoint,
        log=log,
    ).fit()
    salt = ranks.of_first(secrets.token_hex(8))
    engine = InferenceEngine(network, runtime, settings=InferenceSettings(ranks=ranks))
    table = training_table(engine, collection, held_out, salt, config)
    return FittedModel(
        spec,
        collection.event_shape,
        collection.features,
        config,
        network,
        runtime,
        history,
        unrebuildable(spec, network, built, initial),
        salt,
        Attachments(table),
        support,
        collection.recipe if isinstance(collection, Sets) else "",
    )


def prepare(
    network: Network,
    collection: Collection,
    training: NDArray[np.int64],
    config: TrainConfig,
    settings: PreparationSettings = PreparationSettings(),
) -> Support | None:
    """Fit the transform, and prepare the network, on some of the training sets.

    This happens on the CPU, so that the start is the same on every device.

    Returns:
        The ranges of the features over all sets; None where atoms have no such features.
    """
    batch = _first_batch(collection, training, config, settings)
    if batch.observed is not None:
        _refuse_unmeasured(batch, collection.features)
    network.transform.fit(batch.filled, batch.w, batch.observed)
    network.prepare(batch, *_preparation(config, settings))
    return Support.measure(batch.x, collection) if has_support(collection) else None


def _refuse_unmeasured(batch: SetBatch, features: Sequence[str] | None) -> None:
    """Refuse features that no atom has a value of."""
    empty = np.flatnonzero(batch.mask.amax(0).numpy() == 0).tolist()
    if empty:
        names = [str(features[j] if features else j) for j in empty[:10]]
        raise ValueError(
            f"{len(empty)} features have no value in the training atoms that were read: "
            f"{', '.join(names)}{', ...' if len(empty) > 10 else ''}. Leave them out."
        )


def _remarks(support: Support | None, collection: Collection, most: int = 10) -> Iterator[str]:
    """Yield sentences on features with one value, and on extreme atoms."""
    if support is None:
        return
    names = support.constants(collection.features)
    if names:
        more = ", ..." if len(names) > most else ""
        yield (
            f"{len(names)} of {len(support.low)} features have one value in all training atoms "
            "that were read; they are stored, not modelled, and drawn as this value: "
            f"{', '.join(names[:most])}{more}"
        )
    yield from sentences(support, support.compare(collection), collection, collection.features)


def learn_metric(
    network: Network,
    collection: Collection,
    held_out: NDArray[np.int64],
    config: TrainConfig,
    log: RunLog,
    settings: PreparationSettings = PreparationSettings(),
) -> None:
    """Train the correction of the encoder on W2 of pairs, and prepare the generator anew.

    Nothing is done where the encoder has no correction, values may be missing, the distance of
    atoms needs an extra that is not installed, or the sets that are held out are too few to show a
    gain. As the preparation, this happens on the CPU.
    """
    corrected = isinstance(network.encoder, CorrectedEncoder)
    steps = min(config.metric_steps, config.steps)
    if not (steps and corrected) or collection.atoms.masked:
        return
    training = np.setdiff1d(np.arange(len(collection)), held_out)
    distance = ground_distance(collection.atoms)
    # halves that share a row are too near to each other, and what sampling adds is too small
    sets = HalvedSets(network.to_ground, merge_repeated(collection), distance=distance)
    metric = MetricTraining(network.encoder, sets, config.seed)
    try:
        gain = metric.fit(training, held_out, steps, config.lr)
    except (TooFewPairsError, ImportError) as error:  # a distance of atoms may need an extra
        log.message(f"distances stay those of the closed form: {error}")
        return
    log.message(str(gain))
    if gain:
        batch = _first_batch(collection, training, config, settings)
        network.prepare_generator(batch, *_preparation(config, settings))


def training_table(
    engine: InferenceEngine,
    collection: Collection,
    held_out: NDArray[np.int64],
    salt: str,
    config: TrainConfig,
) -> TrainingTable:
    """Embed all sets of a fit, the held-out ones included, and measure W2 on pairs of them."""
    mask = np.zeros(len(collection), dtype=bool)
    mask[held_out] = True
    distinct = merge_repeated(collection)
    z, effective_sizes = engine.embed(distinct)
    pairs = measure_pairs(engine, distinct, mask, config.seed)
    noise = atom_noise(engine, distinct, config.seed)
    hashes = tuple(shared_fingerprints(collection, salt, None, engine.settings.ranks))
    return TrainingTable(z, effective_sizes, mask, hashes, noise, pairs, config.seed)


def _preparation(
    config: TrainConfig, settings: PreparationSettings
) -> tuple[list[int], torch.Generator]:
    """Return the context sizes that a network is prepared on, and the source of its draws."""
    sizes = np.geomspace(*config.context, settings.context_sizes).round().astype(int)
    return sizes.tolist(), stream(config.seed, "prepare")


def _first_batch(
    collection: Collection,
    training: NDArray[np.int64],
    config: TrainConfig,
    settings: PreparationSettings,
) -> SetBatch:
    """Read atoms of some training sets, for all that is fitted before the first step."""
    rng = stream(config.seed, "first look")
    rows = torch.randperm(len(training), generator=rng)[: settings.sets].numpy()
    width = math.prod(collection.event_shape)
    limit = max(2, min(config.context[1], settings.numbers // (len(rows) * width)))
    return collection.batch(training[rows].tolist(), limit, rng)


def _records(checkpoint: str | Path | None) -> Path | None:
    """Return the file of the records of a run, beside its checkpoint."""
    return None if checkpoint is None else Path(checkpoint).with_suffix(".jsonl")
