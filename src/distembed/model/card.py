"""The model card: a description that is generated from what a model is, never typed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["model_card"]


def model_card(config: Mapping[str, Any], history: Sequence[Mapping[str, float]]) -> str:
    """Write Markdown from a model's config and the history of its training."""
    calibration = config["calibration"]
    train = config["train"]
    features = config["features"]
    shape = " x ".join(map(str, config["event_shape"]))
    rows = {
        "encoder": _member(config["encoder"]),
        "generator": _member(config["generator"]),
        "latent dimension": config["latent"],
        "atoms": shape + (f" ({_some(features)})" if features else ""),
        "transform": ", ".join(_step(s) for s in config["transform"]) or "none",
        "sets for training and validation": len(config["hashes"]),
        "steps": int(history[-1]["step"]) if history else 0,
        "seconds": round(history[-1]["seconds"]) if history else 0,
        "best validation loss": _best(history),
        "context atoms": "{} to {}".format(*train["context"]),
        "target atoms": train["target"],
        "seed": train["seed"],
        "distance": _distance(calibration),
        "made with": f"distembed {config['distembed']}, torch {config['versions']['torch']}",
    }
    lines = [f"| {name} | {value} |" for name, value in rows.items()]
    return "\n".join(
        [
            "# A distribution embedding",
            "",
            "Made by distembed: an encoder maps a set of samples to a vector, a generator maps "
            "the vector back to a distribution, and both were trained together.",
            "",
            "| | |",
            "|---|---|",
            *lines,
            "",
            "## Use",
            "",
            "```python",
            "import distembed as de",
            "",
            'model = de.load("path/to/this/folder")',
            "table = model.embed(sets)               # z, its covariances, ids, sizes, metadata",
            "new = model.sample(table.z[0], 1000)    # in the units of the data",
            "```",
            "",
            "## Limits",
            "",
            "- It knows the kind of sets it was trained on; embeddings of other sets mean little.",
            "- A distance in W2 is a fit to pairs of sets: half of them are off by more than the "
            "error above.",
            "- With `deepsets`, up to three quarters of z are moments that no training changes.",
            "- A set of few atoms has an uncertain embedding: `table.standard_errors` says how "
            "uncertain, and below a hundred atoms says too little. Sets below the smallest "
            "context of the training are an extrapolation, and so are those with a small "
            "`table.p_unusual`.",
            "",
        ]
    )


def _some(names: Sequence[str], most: int = 8) -> str:
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


def _member(member: Mapping[str, Any] | None) -> str:
    if member is None:
        return "a module of its author's"
    options = ", ".join(f"{k}={v!r}" for k, v in member.items() if k != "name")
    return f"{member['name']}" + (f" ({options})" if options else "")


def _step(step: str | Mapping[str, Any]) -> str:
    if isinstance(step, str):
        return step
    inside = ", ".join(f"{k}={v}" for k, v in step.items() if k != "name")
    return f"{step['name']}({inside})"


def _best(history: Sequence[Mapping[str, float]]) -> str:
    scores = [r["validation"] for r in history if "validation" in r]
    return f"{min(scores):.4f}" if scores else "no held-out sets"


def _distance(calibration: Mapping[str, Any]) -> str:
    if not calibration["pairs"]:
        return "latent, not calibrated"
    return (
        f"W2 = {calibration['scale']:.3g} |dz|^{calibration['power']:.3g} in "
        f"{calibration['ground']} space; median error {100 * calibration['error']:.0f} % over "
        f"{calibration['pairs']} pairs"
    )
