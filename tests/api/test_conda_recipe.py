"""The conda recipe asks for what pyproject.toml does, and is what conda-forge takes."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

from distembed.version import __version__

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
CONDA_NAMES = {"torch": "pytorch"}
"""Names that differ on conda-forge."""


def requirement(text):
    """The name of conda-forge, and the constraints in any order."""
    name, constraints = re.fullmatch(r"([\w.-]+) ?(.*)", text).groups()
    return CONDA_NAMES.get(name, name), frozenset(filter(None, constraints.split(",")))


def expanded(node, values):
    """The recipe with `${{ name }}` replaced, as rattler-build does."""
    if isinstance(node, dict):
        return {key: expanded(value, values) for key, value in node.items()}
    if isinstance(node, list):
        return [expanded(value, values) for value in node]
    if isinstance(node, str):
        return re.sub(r"\$\{\{ (\w+) \}\}", lambda match: values[match[1]], node)
    return node


@pytest.fixture(scope="module")
def recipe():
    read = yaml.safe_load((ROOT / "recipe" / "recipe.yaml").read_text())
    return expanded(read, {**read["context"], "PYTHON": "python"})


def test_dependencies_are_those_of_the_project(recipe):
    python = ("python", frozenset([PROJECT["project"]["requires-python"]]))
    expected = {python, *map(requirement, PROJECT["project"]["dependencies"])}
    run = [requirement(text) for text in recipe["requirements"]["run"]]
    assert len(run) == len(set(run))
    assert set(run) == expected
    (backend,) = PROJECT["build-system"]["requires"]
    assert requirement(backend) in map(requirement, recipe["requirements"]["host"])


def test_name_version_licence_and_program_are_those_of_the_project(recipe):
    project = PROJECT["project"]
    assert recipe["package"] == {"name": project["name"], "version": __version__}
    assert recipe["build"]["noarch"] == "python"
    programs = [f"{name} = {target}" for name, target in project["scripts"].items()]
    assert recipe["build"]["python"]["entry_points"] == programs
    assert recipe["about"]["summary"] == project["description"]
    assert recipe["about"]["license"] == project["license"]
    assert [recipe["about"]["license_file"]] == project["license-files"]
    lowest = recipe["context"]["python_min"]
    assert f"python {lowest}.*" in recipe["requirements"]["host"]


def test_what_the_package_is_tested_by_exists(recipe):
    import importlib

    python, script = recipe["tests"]
    for name in python["python"]["imports"]:
        importlib.import_module(name)
    assert script["script"] == ["distembed --version", "distembed doctor"]


def test_a_requirement_is_read():
    assert requirement("torch>=2.6") == requirement("pytorch >=2.6")
    assert requirement("pydantic>=2.9,<3") == requirement("pydantic <3,>=2.9")
    assert requirement("pip") == ("pip", frozenset())
