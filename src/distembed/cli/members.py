"""Members of families in a config: by name, or by name and options."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ConfigDict

from distembed.registry import Family, NamedMember

__all__ = ["MemberConfig", "by_name", "checked", "perhaps"]


class MemberConfig(BaseModel):
    """A member of a family by its name, and the options of its constructor; or `auto`."""

    model_config = ConfigDict(frozen=True, extra="allow")

    name: str

    @property
    def member(self) -> NamedMember:
        """The member in its one shape."""
        return "auto" if self.name == "auto" else self.model_dump()


def by_name(value: Any, key: str) -> Any:
    """Convert a name to a mapping, for a validator of the key of a member.

    Raises:
        ValueError: If a mapping has no name.
    """
    if isinstance(value, str):
        return {"name": value}
    if isinstance(value, dict) and "name" not in value:
        kind = key.rpartition(".")[2]
        raise ValueError(
            f"has options without a name. Add the name of the {kind}: {key}.name=NAME"
        )
    return value


def checked(member: MemberConfig, family: Family, kind: str) -> MemberConfig:
    """Return a member whose name is in a family, or `auto`.

    Raises:
        ValueError: If there is no such member, or `auto` has options.
    """
    if member.name == "auto":
        if member.model_extra:
            raise ValueError(f"is auto, which takes no options; add the name of the {kind}")
        return member
    if member.name not in family:
        raise ValueError(
            f"there is no {kind} {member.name!r}; there are: {', '.join(family)}"
            f"{perhaps(get_close_matches(member.name, family, n=1))}"
        )
    return member


def perhaps(names: Sequence[str]) -> str:
    """Write a suggestion of names for an error message.

    Example:
        >>> perhaps(["flow"])
        "; did you mean 'flow'?"
    """
    return f"; did you mean {' or '.join(map(repr, names))}?" if names else ""
