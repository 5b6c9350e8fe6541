"""Every name in the glossary is a name in the code."""

import importlib
import inspect
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "notation.md"


def rows():
    """The cells of each line of the tables, without heads and rules."""
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return [row for row in cells if "In the code" not in row]


NAMES = sorted(
    {
        name
        for row in rows()
        for cell in row[2:4]
        for name in re.findall(r"`([a-z]\w*\.[^`]+)`", cell)
    }
)


def resolve(name):
    """Import `a.b.C.d(e)` of the package: module, class, attribute or field, argument.

    Raises:
        AttributeError: If there is no such name.
    """
    path, _, argument = name.removesuffix(")").partition("(")
    parts = path.split(".")
    target = importlib.import_module("distembed")
    for i, part in enumerate(parts):
        if inspect.ismodule(target):
            try:
                target = importlib.import_module(f"distembed.{'.'.join(parts[: i + 1])}")
            except ModuleNotFoundError:
                target = getattr(target, part)
        elif hasattr(target, part):
            target = getattr(target, part)
        elif part in getattr(target, "__annotations__", {}):
            return
        else:
            source = inspect.getsource(target)
            if f"self.{part} =" not in source and f"self.{part}:" not in source:
                raise AttributeError(f"{name}: there is no {part}")
            return
    if argument and argument not in inspect.signature(target).parameters:
        raise AttributeError(f"{name}: there is no argument {argument}")


@pytest.mark.parametrize("name", NAMES)
def test_a_name_of_the_glossary_exists(name):
    resolve(name)


@pytest.mark.parametrize(
    "name", ["batch.SetBatch.y", "nowhere.Thing", "protocols.Generator.sample(m)", "batch.Nothing"]
)
def test_a_name_that_is_not_there_is_refused(name):
    with pytest.raises(AttributeError):
        resolve(name)


def test_no_word_is_explained_twice():
    words = [row[0] for row in rows()]
    assert len(words) == len(set(words))
    assert len(NAMES) > 30
