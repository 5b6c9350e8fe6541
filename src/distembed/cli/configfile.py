"""Configs from YAML files and `key.sub=value` overrides; all errors are reported at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from distembed.cli.config import RunConfig
from distembed.cli.members import perhaps
from distembed.cli.yaml12 import inline, parse
from distembed.training.config import Location, describe_errors

__all__ = ["load_config", "to_yaml"]

_DATA = {".csv", ".tsv", ".parquet", ".h5ad", ".npz", ".npy", ".gz", ".zip", ".xlsx", ".feather"}


def load_config(path: Path | None, overrides: Sequence[str] = ()) -> RunConfig:
    """Read a config and apply `key.sub=value` overrides, whose values are parsed as YAML.

    Args:
        path: The file; None if all settings are overrides.
        overrides: Applied in order, so that the last one counts.

    Raises:
        ValueError: If a key or a value is wrong, with all errors in one list, or if the file has
            the suffix of a data file.
        FileNotFoundError: If there is no such file.
    """
    source = "the config" if path is None else str(path)
    document: Any = {}
    if path is not None:
        if path.suffix.lower() in _DATA:
            raise ValueError(
                f"{source} is a data file, and a config is expected here: a YAML file, or "
                f"settings. Write data.path={source} data.by=COLUMN instead, where COLUMN names "
                "the set of each row."
            )
        if not path.exists():
            raise FileNotFoundError(
                f"There is no file {source}, where a config is expected: a YAML file, or "
                "settings, such as data.path=cells.csv data.by=COLUMN."
            )
        try:
            document = parse(path.read_text(encoding="utf-8"))
        except ValueError as error:  # a UnicodeDecodeError included
            raise ValueError(f"{source}: {error}") from error
    if document is None:
        document = {}
    if not isinstance(document, dict):
        raise ValueError(
            f"{source} contains a {type(document).__name__}; a config is a mapping with the keys "
            f"{', '.join(RunConfig.model_fields)}."
        )
    for override in overrides:
        _override(document, override)
    try:
        return RunConfig.model_validate(document)
    except ValidationError as error:
        lines = _readable(error.errors(include_url=False), document)
        count = "1 error" if len(lines) == 1 else f"{len(lines)} errors"
        raise ValueError("\n".join([f"{source} has {count}:", *lines])) from error


def to_yaml(config: RunConfig) -> str:
    """Write all values of a config, including defaults, each with its description."""
    values = config.model_dump(mode="json")
    lines = []
    for name, field in RunConfig.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, BaseModel):
            lines.append(f"{name}:  # {(section.__doc__ or '').splitlines()[0]}")
            lines += [
                f"  {key}: {inline(values[name][key])}  # {item.description}"
                for key, item in section.model_fields.items()
            ]
        else:
            lines.append(f"{name}: {inline(values[name])}  # {field.description}")
    return "\n".join(lines) + "\n"


def _override(document: dict[str, Any], override: str) -> None:
    dotted, equals, text = override.partition("=")
    *sections, last = dotted.strip().split(".")
    if not equals or not all([*sections, last]):
        raise ValueError(
            f"{override!r} is not an override; write key.sub=value, such as train.lr=1e-3."
        )
    try:
        value = parse(text)
    except ValueError as error:
        raise ValueError(
            f"{override!r}: {error}\nPut text in quotes: '{dotted}=\"{text}\"'."
        ) from error
    section = document
    for key in sections:
        inner = section.get(key) or {}
        if isinstance(inner, str) and key in ("encoder", "generator", "conditioning", "atoms"):
            inner = {"name": inner}
        if not isinstance(inner, dict):
            raise ValueError(f"{override!r}: {key} is {inner!r}, which has no keys below it.")
        section[key] = inner
        section = inner
    section[last] = value


def _readable(errors: Sequence[ErrorDetails], document: Mapping[str, Any]) -> list[str]:
    """One line for each wrong key."""

    def key(loc: Location) -> str:
        return ".".join(map(str, _where(loc, document)))

    def unknown(loc: Location) -> str:
        return f"is not a key of a config{_other_key(_where(loc, document))}"

    texts = describe_errors(errors, key, unknown, inline)
    return [f"  {name}: {text}" for name, text in texts.items()]


def _where(loc: Sequence[int | str], document: Any) -> list[int | str]:
    """Follow a location as far as the document goes: the rest names branches of a union."""
    path: list[int | str] = []
    for n, key in enumerate(loc):
        if isinstance(document, Mapping) and (key in document or n == len(loc) - 1):
            path.append(key)
            document = document.get(key)
        elif isinstance(document, list) and isinstance(key, int):
            path.append(key)
            document = document[key] if key < len(document) else None
    return path


def _other_key(where: Sequence[int | str]) -> str:
    sections = {
        name: list(getattr(field.annotation, "model_fields", ()))
        for name, field in RunConfig.model_fields.items()
    }
    *above, key = map(str, where)
    valid = sections.get(above[0], []) if above else list(sections)
    near = get_close_matches(key, valid, n=1) or [
        f"{name}.{close}"
        for name, keys in sections.items()
        for close in get_close_matches(key, keys, n=1, cutoff=0.8)
    ]
    return perhaps(near) or f"; there are: {', '.join(valid)}"
