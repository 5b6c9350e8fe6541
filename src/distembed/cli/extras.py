"""The optional dependencies of the installed package, as its metadata declare them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution, version

__all__ = ["Requirement", "declared_requirements", "parse_requirements"]

_NAME = re.compile(r"([A-Za-z0-9][\w.-]*)\s*(?:\[([^\]]*)\])?([^;]*)")
_EXTRA = re.compile(r"""extra\s*==\s*['"]([\w-]+)['"]""")


@dataclass(frozen=True)
class Requirement:
    """A package that an extra needs, and the version of it that is installed.

    Attributes:
        extra: Name of the extra; empty for what the package always needs.
        package: Name of the package.
        least: Lowest version that the metadata declare; empty if they declare none.
        installed: Version that is installed; empty if none is.
    """

    extra: str
    package: str
    least: str
    installed: str

    @property
    def met(self) -> bool:
        """Whether the package is installed in a version that is not too low."""
        return bool(self.installed) and _numbers(self.installed) >= _numbers(self.least)

    def __str__(self) -> str:
        if not self.installed:
            return f"{self.package} is missing"
        if not self.met:
            return f"{self.package} {self.installed} is below {self.least}"
        return f"{self.package} {self.installed}"


def declared_requirements() -> list[Requirement]:
    """Read the requirements of the installed package, without importing any of them.

    Raises:
        PackageNotFoundError: If the package runs from a folder without being installed.
    """
    return list(parse_requirements(distribution("distembed").requires or ()))


def parse_requirements(lines: Sequence[str]) -> Iterator[Requirement]:
    """Parse the requirements of a package, in the form of its metadata.

    An extra that consists of other extras of the same package has the requirements of those.

    Args:
        lines: Such as `pyarrow>=17; extra == "parquet"`.

    Example:
        >>> [r.package for r in parse_requirements(["numpy>=2", "none-such; extra == 'x'"])]
        ['numpy', 'none-such']
    """
    direct: dict[str, list[tuple[str, str]]] = {}
    nested: dict[str, list[str]] = {}
    for line in lines:
        match, condition = _NAME.match(line), _EXTRA.search(line)
        if match is None:
            continue
        name = condition[1] if condition else ""
        if match[1] == "distembed":
            nested.setdefault(name, []).extend(re.split(r"\s*,\s*", match[2] or ""))
            direct.setdefault(name, [])
            continue
        least = re.search(r">=\s*([\d.]+)", match[3])
        direct.setdefault(name, []).append((match[1], least[1] if least else ""))

    def packages(extra: str) -> Iterator[tuple[str, str]]:
        yield from direct.get(extra, ())
        for other in nested.get(extra, ()):
            yield from packages(other)

    for extra in direct:
        for package, lowest in dict.fromkeys(packages(extra)):
            yield Requirement(extra, package, lowest, _installed(package))


def _installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _numbers(text: str) -> tuple[int, ...]:
    """Return the numbers at the start of a version, without trailing zeros."""
    match = re.match(r"\d+(?:\.\d+)*", text)
    numbers = [int(part) for part in match[0].split(".")] if match else []
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)
