"""A fitted model as JSON and tensors, and back.

The tensors of a folder have a prefix each: `model` (the trained network), `initial` (what cannot
be rebuilt of it before training), `table` (embeddings of the training sets, and W2 of pairs of
them), `attachments` (what was fitted to the table), `support` (ranges of the features).
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from distembed.geometry.attachment import MeasuredPairs, TrainingTable
from distembed.model.attachments import Attachments
from distembed.model.fitted import FittedModel
from distembed.model.initial import misfits
from distembed.model.published import check_sources, not_stored, published_sources, relocated
from distembed.model.spec import Spec
from distembed.model.storage import Stored, restore
from distembed.model.support import Support
from distembed.training.config import TrainConfig
from distembed.training.runtime import Runtime
from distembed.version import __version__

__all__ = ["describe", "from_stored", "to_stored"]

_PAIRS = ("rows", "latent_squared", "latent_gap", "w2_squared", "w2_gap", "low", "high")


def describe(fitted: FittedModel, notes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON of a model's config."""
    table = fitted.attachments.context
    sources = published_sources(fitted.network)
    published = {name: source.describe() for name, source in sources.items()}
    return {
        "distembed": __version__,
        "versions": {p: importlib.metadata.version(p) for p in ("torch", "numpy", "safetensors")},
        "event_shape": list(fitted.event_shape),
        "features": list(fitted.features) if fitted.features else None,
        **fitted.spec.describe(),
        "train": fitted.config.model_dump(mode="json"),
        "salt": fitted.salt,
        "hashes": list(table.hashes),
        "no_pairs": table.pairs.reason,
        "attachments": fitted.attachments.state()[0],
        "notes": dict(notes),
        **({"sets": fitted.recipe} if fitted.recipe else {}),
        **({"pretrained": published} if published else {}),
    }


def to_stored(fitted: FittedModel, notes: Mapping[str, Any]) -> Stored:
    """Return the content of a model's folder."""
    table = fitted.attachments.context
    columns = {
        "z": table.z,
        "effective_sizes": table.effective_sizes,
        "held_out": table.held_out,
        "noise": table.noise,
        **{f"pairs.{name}": getattr(table.pairs, name) for name in _PAIRS},
    }
    elsewhere = not_stored(fitted.network)
    state = {k: v for k, v in fitted.network.state_dict().items() if k not in elsewhere}
    tensors = {
        **_prefixed("model", state),
        **_prefixed("initial", fitted.initial),
        **_prefixed("table", {name: torch.from_numpy(v) for name, v in columns.items()}),
        **_prefixed("attachments", fitted.attachments.state()[1]),
        **_prefixed("support", fitted.support.tensors() if fitted.support else {}),
    }
    return Stored(describe(fitted, notes), tensors, fitted.history)


def from_stored(
    stored: Stored,
    runtime: Runtime,
    encoder: nn.Module | None = None,
    generator: nn.Module | None = None,
    pretrained: Mapping[str, str] | None = None,
) -> FittedModel:
    """Rebuild a fitted model.

    Args:
        stored: The content of a folder.
        runtime: The device and the threads of computations.
        encoder: The module, if the model's encoder was a module.
        generator: Likewise.
        pretrained: New paths of published models, by those that they were fitted with.

    Raises:
        ValueError: If the config is incomplete, tensors do not fit the model, or a published
            model is another one.
        FileNotFoundError: If a published model is not where it was.
    """
    try:
        config = relocated(stored.config, pretrained or {})
        stored = Stored(config, stored.tensors, stored.history)
        return _rebuilt(stored, runtime, encoder, generator)
    except ValueError:
        raise
    except KeyError as error:
        raise ValueError(f"The config of the model lacks or misnames {error}.") from error
    except (TypeError, AttributeError, LookupError, ArithmeticError, RuntimeError) as error:
        # a folder may come from anybody: a value of a wrong type or size fails in any way
        raise ValueError(
            f"The config of the model holds a value that no model has: {error}. Copy it again."
        ) from error


def _rebuilt(
    stored: Stored, runtime: Runtime, encoder: nn.Module | None, generator: nn.Module | None
) -> FittedModel:
    config = stored.config
    spec = Spec.from_description(config, encoder, generator)
    event_shape = tuple(config["event_shape"])
    features = tuple(config["features"]) if config["features"] else None
    train = TrainConfig.model_validate(config["train"])
    salt, attachments = str(config["salt"]), dict(config["attachments"])
    table = _table(config, _with_prefix("table", stored.tensors), train.seed)
    fitted = Attachments.from_state(
        table, attachments, _with_prefix("attachments", stored.tensors)
    )
    ranges = _with_prefix("support", stored.tensors)
    support = Support(**{k: v.numpy() for k, v in ranges.items()}) if ranges else None
    if any(v.shape != event_shape for v in ranges.values()):
        shapes = sorted({tuple(v.shape) for v in ranges.values()})
        raise ValueError(
            f"The ranges of the training atoms have the shapes {shapes}, and an atom has "
            f"{event_shape}. Copy the model again."
        )
    network = spec.build(event_shape, train.seed)
    check_sources(network, config.get("pretrained", {}))
    restore(network, _with_prefix("model", stored.tensors), not_stored(network))
    initial = _with_prefix("initial", stored.tensors)
    if errors := misfits(network, initial):
        raise ValueError(f"The stored weights do not fit the model: {'; '.join(errors)}.")
    return FittedModel(
        spec,
        event_shape,
        features,
        train,
        network.to(runtime.device).eval(),
        runtime,
        list(stored.history),
        initial,
        salt,
        fitted,
        support,
        config.get("sets", ""),
    )


def _table(config: Mapping[str, Any], tensors: Mapping[str, Tensor], seed: int) -> TrainingTable:
    arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
    columns = {name: arrays[f"pairs.{name}"] for name in _PAIRS}
    return TrainingTable(
        arrays["z"],
        arrays["effective_sizes"],
        arrays["held_out"],
        tuple(config["hashes"]),
        arrays["noise"],
        MeasuredPairs(**columns, reason=config["no_pairs"]),
        seed,
    )


def _prefixed(name: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{name}.{key}": value for key, value in tensors.items()}


def _with_prefix(name: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of a prefix, without it."""
    start = f"{name}."
    return {k.removeprefix(start): v for k, v in tensors.items() if k.startswith(start)}
