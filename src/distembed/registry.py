"""Families: literal dictionaries from a name to a `Member`, imported when it is looked up.

A family lives in the `__init__` of its package and costs nothing to read, so that `--help`, the
docs and the config schema can list it without importing torch. A config can name members only:
the strings below are our own code, and nothing that is loaded can name an import path.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = [
    "NUMBERS",
    "Family",
    "Member",
    "NamedMember",
    "Option",
    "applicable",
    "build",
    "check_options",
    "lookup",
    "member_options",
    "need",
    "refuse_undefined",
    "split_member",
]

NUMBERS = ("vectors", "counts", "images")
"""The kinds of atoms that are numbers with a distance; tokens are labels."""


@dataclass(frozen=True)
class Member:
    """One line of a family.

    Attributes:
        target: Where the class is, `module:attribute`.
        summary: What it is, for `--help` and the docs.
        extra: The optional dependency that it needs.
        atoms: The kinds of atoms that it is defined for, names of `distembed.data.SPACES`.
        example: Options of a small example, for members whose constructors need some.
    """

    target: str
    summary: str
    extra: str | None = None
    atoms: tuple[str, ...] = NUMBERS
    example: Mapping[str, Any] = field(default_factory=dict)


Family = Mapping[str, Member]
NamedMember = str | Mapping[str, Any]
"""A member in the one shape of all configs: a name, or `{"name": ..., option: value}`."""


def need(module: str, extra: str) -> Any:
    """Import an optional module, or raise an error that names the extra which brings it.

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
    target: Callable[..., Any] = getattr(loaded, attribute)
    return target


def split_member(
    member: NamedMember, kind: str, family: Family | None = None
) -> tuple[str, dict[str, Any]]:
    """Split a member into its name and its options.

    Raises:
        ValueError: If a mapping has no name.

    Example:
        >>> split_member({"name": "flow", "width": 64}, "generator")
        ('flow', {'width': 64})
    """
    if isinstance(member, str):
        return member, {}
    options = dict(member)
    name = options.pop("name", None)
    if not isinstance(name, str):
        there = f"; there are: {', '.join(sorted(family))}" if family else ""
        raise ValueError(
            f"The {kind} {dict(member)!r} has no name. Write {{'name': ..., option: value}}"
            f"{there}."
        )
    return name, options


def applicable(family: Family, atoms: str) -> list[str]:
    """Return the names of the members that are defined for a kind of atoms."""
    return [name for name, member in family.items() if atoms in member.atoms]


def refuse_undefined(family: Family, name: str, kind: str, atoms: str | None) -> None:
    """Refuse a member that is not defined for a kind of atoms.

    Args:
        family: The dictionary to look in.
        name: The member's name; one that is not in the family is ignored.
        kind: What the family holds, for the error ("encoder").
        atoms: The kind of atoms; any where None.

    Raises:
        ValueError: If it is not; the message lists the members that are.
    """
    if atoms is not None and name in family and atoms not in family[name].atoms:
        raise ValueError(
            f"The {kind} {name!r} is not defined for {atoms}; it is for "
            f"{', '.join(family[name].atoms)}. Defined for {atoms}: "
            f"{', '.join(applicable(family, atoms)) or 'none'}."
        )


def check_options(
    family: Family,
    member: NamedMember,
    kind: str,
    positional: int = 0,
    facts: Mapping[str, Any] | None = None,
) -> Callable[..., Any]:
    """Look a member up and check its options against the signature.

    Args:
        family: The dictionary to look in.
        member: A name, or a mapping of `name` and options.
        kind: What the family holds, for the error ("encoder").
        positional: Number of positional arguments before the options.
        facts: Properties of the data, as of `build`.

    Raises:
        ValueError: If the member does not take one of the options, or needs another, or is not
            defined for the kind of atoms.
    """
    name, options = split_member(member, kind, family)
    facts = facts or {}
    refuse_undefined(family, name, kind, facts.get("atom_kind"))
    target = lookup(family, name, kind)
    parameters = dict(list(inspect.signature(target).parameters.items())[positional:])
    unknown = sorted(set(options) - set(parameters))
    stated = {*options, *facts}
    missing = [k for k, p in parameters.items() if p.default is p.empty and k not in stated]
    if unknown or missing:
        verb, names = ("has no", unknown) if unknown else ("needs the", missing)
        raise ValueError(
            f"{kind} {name!r} {verb} option {', '.join(map(repr, names))}; it takes: "
            f"{', '.join(parameters) or 'none'}."
        )
    return target


@dataclass(frozen=True)
class Option:
    """An option of a member.

    Attributes:
        annotation: Its type.
        default: Its default.
        text: Its description in the docstring of the class.
    """

    annotation: Any
    default: Any
    text: str


def member_options(family: Family, name: str, kind: str) -> dict[str, Option]:
    """Return the options of a member by name, as its constructor and its docstring state them.

    Args:
        family: The dictionary to look in.
        name: The member's name.
        kind: What the family holds, for the error ("encoder").

    Raises:
        ValueError: If there is no such member.
    """
    target = lookup(family, name, kind)
    texts: dict[str, str] = {}
    section, last = False, ""
    for line in (inspect.getdoc(target) or "").splitlines():
        if not line.startswith(" "):
            section = line in ("Args:", "Attributes:") or section and not line
        elif section and line.startswith(" " * 5):
            texts[last] += f" {line.strip()}"
        elif section:
            last, _, texts[last] = line.strip().partition(": ")
    return {
        n: Option(p.annotation, p.default, texts.get(n, ""))
        for n, p in inspect.signature(target, eval_str=True).parameters.items()
    }


def build(
    family: Family,
    member: NamedMember,
    kind: str,
    *args: Any,
    facts: Mapping[str, Any] | None = None,
) -> Any:
    """Look a member up and call it with `args` and its options.

    Args:
        family: The dictionary to look in.
        member: A name, or a mapping of `name` and options.
        kind: What the family holds, for the error ("encoder").
        args: Positional arguments that come before the options.
        facts: Properties of the data, such as the size of a vocabulary: each is passed to a
            constructor that names it, unless the member's options do. A member that is not
            defined for the kind of atoms, `atom_kind`, is refused.

    Raises:
        ValueError: If an option is unknown, missing or of the wrong type, or the member is not
            defined for the kind of atoms.
    """
    name, options = split_member(member, kind, family)
    refuse_undefined(family, name, kind, (facts or {}).get("atom_kind"))
    parameters = inspect.signature(lookup(family, name, kind)).parameters
    stated = {k: v for k, v in (facts or {}).items() if v is not None and k in parameters}
    options = stated | options
    target = check_options(family, {"name": name, **options}, kind, len(args))
    try:
        return target(*args, **options)
    except TypeError as error:
        if not options:
            raise
        raise ValueError(f"{kind} {name!r} cannot be made with {options}: {error}.") from error
