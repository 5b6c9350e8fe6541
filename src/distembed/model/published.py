"""Published models inside a fitted one: stored by path, revision and hash, not by weights.

What training does not change of a published model is left out of a model's folder. It is read
again from where it was, and a hash shows that it is the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from distembed.pretrained import PRETRAINED
from distembed.pretrained.files import Source
from distembed.training.weights import trained_state

__all__ = ["check_sources", "not_stored", "published_sources", "relocated"]


def published_sources(network: nn.Module) -> dict[str, Source]:
    """Return where the published parts of a network were read, by their names in it."""
    return {
        name: part.source
        for name, part in network.named_modules()
        if isinstance(getattr(part, "source", None), Source)
    }


def not_stored(network: nn.Module) -> set[str]:
    """Return the names of a state that a folder does not hold.

    They are the weights of published parts that training does not change, and second names of
    tensors that submodules share.
    """
    published = tuple(f"{name}." for name in published_sources(network))
    trained, names, ids = trained_state(network), set(), set()
    for name, value in network.state_dict(keep_vars=True).items():
        fixed = bool(published) and name.startswith(published) and name not in trained
        if fixed or id(value) in ids:
            names.add(name)
        ids.add(id(value))
    return names


def relocated(config: Mapping[str, Any], paths: Mapping[str, str]) -> dict[str, Any]:
    """Replace the paths of published models in a model's config; nothing in it may download.

    Args:
        config: As stored in the model's folder.
        paths: New paths by old ones.

    Raises:
        ValueError: If the model has no published part at an old path.
    """
    stored = {str(source.get("path")) for source in config.get("pretrained", {}).values()}
    unknown = sorted(set(paths) - stored)
    if unknown:
        raise ValueError(
            f"pretrained names {', '.join(map(repr, unknown))}; this model reads "
            f"{', '.join(map(repr, sorted(stored))) or 'no published model'}."
        )
    parts = {part: _moved(config[part], paths) for part in ("encoder", "generator")}
    return {**config, **parts}


def _moved(value: Any, paths: Mapping[str, str]) -> Any:
    if isinstance(value, list | tuple):
        return [_moved(entry, paths) for entry in value]
    if not isinstance(value, Mapping):
        return value
    moved = {name: _moved(entry, paths) for name, entry in value.items()}
    if moved.get("name") in PRETRAINED:
        moved.pop("download", None)
        if moved.get("path") in paths:
            moved |= {"path": paths[moved["path"]], "revision": None}
    return moved


def check_sources(network: nn.Module, stored: Mapping[str, Mapping[str, Any]]) -> None:
    """Compare the published parts of a network with those that it was fitted with.

    Raises:
        ValueError: If one of them has another hash.
    """
    read = published_sources(network)
    for name in sorted({*read, *stored}):
        before, now = stored.get(name), read.get(name)
        if before is None or now is None or before.get("sha256") != now.sha256:
            fitted = "none" if before is None else _short(before.get("path"), before.get("sha256"))
            there = "none" if now is None else _short(now.path, now.sha256)
            raise ValueError(
                f"The published model of {name} is not the one that this model was fitted with: "
                f"then {fitted}, now {there}. Copy its files again, config.json too, or pass the "
                "folder that holds them, in Python: GDE.load(path, pretrained={'old path': 'new "
                "path'})."
            )


def _short(path: str | None, sha256: str | None) -> str:
    return f"{path} (sha256 {str(sha256)[:12]}...)"
