"""The model card: a description that is computed from a model's config and training history."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import yaml

from distembed.data.spaces import as_space, w2_name
from distembed.geometry.distance import error_sentence

__all__ = ["Measured", "MeasuredScore", "ModelCard", "model_card"]

_INTRODUCTION = (
    "Made by distembed: an encoder maps a set of samples to a vector, a generator maps the vector "
    "back to a distribution, and both were trained together."
)
_USAGE = """\
import distembed as de

model = de.load("path/to/this/folder")
table = model.embed(sets)               # z, its covariances, ids, sizes, metadata
new = model.sample(table.z[0], 1000)    # in the units of the data"""
_SCORES = (
    "## Measured",
    "",
    "On held-out sets, the model (gde) beside baselines, some of which may be better.",
    "",
    "| metric | method | value |",
    "|---|---|---|",
)
_LIMITS = (
    "The model describes sets like those that it was trained on. The embedding of another kind of "
    "set is an extrapolation, and so is that of a set with a small `table.p_unusual`, with half "
    "or more of it outside the range of the training (`table.outside`), or with fewer atoms than "
    "the smallest context of the training.",
    "A distance in units of W2 is a regression on pairs of training sets. For half of all pairs "
    "its error is larger than the median error above. Beyond the largest of these distances it is "
    "an extrapolation, with a warning.",
    "The embedding of a set of few atoms is uncertain: `table.standard_errors` estimates by how "
    "much. Below a hundred atoms these estimates are too small.",
)


class MeasuredScore(Protocol):
    """One number of an evaluation, as `distembed.evaluation.result.Score`."""

    @property
    def metric(self) -> str:
        """Name of the metric."""

    @property
    def method(self) -> str:
        """The model, `gde`, or a baseline."""

    @property
    def value(self) -> float:
        """The number; NaN if it is not defined."""

    def text(self) -> str:
        """Write the number with its interval."""


class Measured(Protocol):
    """An evaluation on held-out sets, the result of `distembed.evaluate`."""

    @property
    def rows(self) -> Sequence[MeasuredScore]:
        """The scores."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """How they were computed."""


@dataclass(frozen=True)
class ModelCard:
    """A model card; `str` writes it as Markdown with a YAML header, as hubs of models read it.

    Attributes:
        introduction: What a distribution embedding is, one sentence.
        rows: Properties of the model and their values.
        usage: A short program.
        limits: Sentences on when not to trust the model.
        scores: Metric, method, and value with interval, of the model and of each baseline.
        header: What a hub lists and searches; no header if it is empty.
    """

    introduction: str
    rows: Mapping[str, str]
    usage: str
    limits: tuple[str, ...]
    scores: tuple[tuple[str, str, str], ...] = ()
    header: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        lines = [
            *(("---", _yaml(self.header), "---", "") if self.header else ()),
            *("# A distribution embedding", "", self.introduction, "", "| | |", "|---|---|"),
            *(f"| {_cell(name)} | {_cell(value)} |" for name, value in self.rows.items()),
            *(("", *_SCORES) if self.scores else ()),
            *(f"| {' | '.join(map(_cell, score))} |" for score in self.scores),
            *("", "## Use", "", "```python", self.usage, "```", "", "## Limits", ""),
            *(f"- {limit}" for limit in self.limits),
        ]
        return "\n".join(lines) + "\n"


def model_card(
    config: Mapping[str, Any],
    history: Sequence[Mapping[str, float]],
    measured: Measured | None = None,
    licence: str | None = None,
) -> ModelCard:
    """Describe a model by its config, the history of its training, and an evaluation.

    Args:
        config: As stored in the model's folder.
        history: One record a validation, with `step` and `seconds`.
        measured: The evaluation.
        licence: Identifier of the licence of the model, such as `cc-by-4.0`.
    """
    train, features = config["train"], config["features"]
    shape = " x ".join(map(str, config["event_shape"]))
    rows = {
        "encoder": _member(config["encoder"]),
        "conditioning": _member(config["conditioning"]),
        "generator": _member(config["generator"]),
        **_published(config.get("pretrained", {})),
        "latent dimension": config["latent"],
        "kind of atoms": _member(config["atoms"]),
        "shape of an atom": shape + (f" ({_shortened(features)})" if features else ""),
        "transform": ", ".join(map(_member, config["transform"])) or "none",
        **({"sets": config["sets"]} if config.get("sets") else {}),
        "sets for training and validation": len(config["hashes"]),
        "steps": int(history[-1]["step"]) if history else 0,
        "seconds": round(history[-1]["seconds"]) if history else 0,
        "best validation loss": _best(history),
        "context atoms": "{} to {}".format(*train["context"]),
        "target atoms": train["target"],
        "seed": train["seed"],
        "distance": _distance(
            config["attachments"].get("calibration"), w2_name(as_space(config["atoms"]))
        ),
        "made with": f"distembed {config['distembed']}, torch {config['versions']['torch']}",
    }
    scores = () if measured is None else tuple(measured.rows)
    return ModelCard(
        _INTRODUCTION,
        {k: str(v) for k, v in rows.items()},
        _USAGE,
        _LIMITS,
        tuple((s.metric, s.method, s.text()) for s in scores),
        _header(config, scores, {} if measured is None else measured.settings, licence),
    )


def _header(
    config: Mapping[str, Any],
    scores: Sequence[MeasuredScore],
    settings: Mapping[str, Any],
    licence: str | None,
) -> dict[str, Any]:
    """Return the header of a card: the library, the licence, tags, and what was measured."""
    parts = [config[part] for part in ("encoder", "generator") if config[part] is not None]
    tags = ["distribution-embedding", "set-embedding", "optimal-transport"]
    tags += [config["atoms"]["name"], *(part["name"] for part in parts)]
    header: dict[str, Any] = {"library_name": "distembed", "tags": list(dict.fromkeys(tags))}
    if licence is not None:
        header["license"] = licence
    own = [s for s in scores if s.method == "gde" and math.isfinite(s.value)]
    if own:
        header["metrics"] = [s.metric for s in own]
        count = f", {settings['sets']} sets" if "sets" in settings else ""
        result = {
            "task": {"type": "distribution-embedding"},
            "dataset": {"type": "held-out", "name": f"held-out sets{count}"},
            "metrics": [{"type": s.metric, "value": float(s.value)} for s in own],
        }
        header["model-index"] = [{"name": "distembed model", "results": [result]}]
    return header


def _yaml(header: Mapping[str, Any]) -> str:
    return yaml.safe_dump(dict(header), sort_keys=False, allow_unicode=True).rstrip()


def _cell(text: str) -> str:
    """Write text as one cell of a Markdown table."""
    return " ".join(text.split()).replace("|", "\\|")


def _shortened(names: Sequence[str], limit: int = 8) -> str:
    return ", ".join(names[:limit]) + (", ..." if len(names) > limit else "")


def _member(member: str | Mapping[str, Any] | None) -> str:
    if member is None:
        return "a module of its author's"
    if isinstance(member, str):
        return member
    options = ", ".join(f"{k}={_option(v)}" for k, v in member.items() if k != "name")
    return f"{member['name']}" + (f" ({options})" if options else "")


def _option(value: Any) -> str:
    """Write the value of an option: a member, a list of members, or another value."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_option, value))}]"
    return _member(value) if isinstance(value, Mapping) and "name" in value else str(value)


def _published(sources: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Name the published models that a model reads, and the start of their hashes."""
    names = (f"{s['path']} (sha256 {s['sha256'][:12]})" for s in sources.values())
    return {"published models": ", ".join(dict.fromkeys(names))} if sources else {}


def _best(history: Sequence[Mapping[str, float]]) -> str:
    scores = [r["validation"] for r in history if "validation" in r]
    return f"{min(scores):.4f}" if scores else "no validation sets"


def _distance(calibration: Mapping[str, Any] | None, name: str) -> str:
    if calibration is None:
        return "latent, not calibrated"
    largest, w2 = calibration["knots"][-1] ** 0.5, calibration["values"][-1] ** 0.5
    text = (
        f"calibrated to {name} in {calibration['ground']} space up to |dz| = {largest:.3g}, "
        f"W2 = {w2:.3g}; {calibration['pairs']} pairs"
    )
    if calibration["error"] is None:
        return text
    return f"{text}; {error_sentence(calibration['error'], calibration['deciles'])}"
