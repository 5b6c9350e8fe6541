"""Families: literal dictionaries from a name to a `Member`, imported when it is looked up.

A family lives in the `__init__` of its package and costs nothing to read, so that `--help`, the
docs and the config schema can list it without importing torch. A config can name members only:
the strings below are our own code, and nothing that is loaded can name an import path.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Family", "Member", "build", "check_options", "lookup", "need"]


@dataclass(frozen=True)
class Member:
    """One line of a family: where the class is, what it is, and which extra it needs."""

    target: str
    summary: str
    extra: str | None = None


Family = Mapping[str, Member]


def need(module: str, extra: str) -> Any:
    """Import an optional module, or say which extra brings it.

    Raises:
        ImportError: If the module is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"This needs the package {module.partition('.')[0]!r}, which is not installed. "
            f"Install it with: pip install 'distembed[{extra}]'"
        ) from error


def lookup(family: Family, name: str, kind: str) -> Callable[..., Any]:
    """Import and return a member by name.

    Args:
        family: The dictionary to look in.
        name: The member's name.
        kind: What the family holds, for the error ("encoder").

    Raises:
        ValueError: If there is no such member; the message lists those there are.
        ImportError: If the member needs an extra that is not installed.
    """
    if name not in family:
        raise ValueError(f"There is no {kind} {name!r}; there are: {', '.join(sorted(family))}.")
    member = family[name]
    module, _, attribute = member.target.partition(":")
    loaded = need(module, member.extra) if member.extra else importlib.import_module(module)
    found: Callable[..., Any] = getattr(loaded, attribute)
    return found


def check_options(
    family: Family, name: str, kind: str, options: Mapping[str, Any], args: int = 0
) -> Callable[..., Any]:
    """Look a member up and check a user's options against its signature.

    Args:
        family: The dictionary to look in.
        name: The member's name.
        kind: What the family holds, for the error ("encoder").
        options: Keyword arguments.
        args: How many positional arguments come before them.

    Raises:
        ValueError: If the member does not take one of the options, or needs another.
    """
    member = lookup(family, name, kind)
    taken = dict(list(inspect.signature(member).parameters.items())[args:])
    unknown = sorted(set(options) - set(taken))
    missing = [k for k, p in taken.items() if p.default is p.empty and k not in options]
    if unknown or missing:
        verb, names = ("has no", unknown) if unknown else ("needs the", missing)
        raise ValueError(
            f"{kind} {name!r} {verb} option {', '.join(map(repr, names))}; it takes: "
            f"{', '.join(taken) or 'none'}."
        )
    return member


def build(
    family: Family, name: str, kind: str, *args: Any, options: Mapping[str, Any] | None = None
) -> Any:
    """Look a member up and call it with `args` and the user's `options`.

    Raises:
        ValueError: If an option is unknown, missing or of the wrong type.
    """
    options = dict(options or {})
    member = check_options(family, name, kind, options, len(args))
    try:
        return member(*args, **options)
    except TypeError as error:
        if not options:
            raise
        raise ValueError(f"{kind} {name!r} cannot be made with {options}: {error}.") from error
