"""The site has every page of docs/, and its reference every public name."""

import importlib.util
import re
import sys
import types
from pathlib import Path

import pytest
import yaml

import distembed

ROOT = Path(__file__).parents[2]
GENERATED = {"index.md", "api.md"}


def pages(node):
    if isinstance(node, str):
        return [node]
    parts = node.values() if isinstance(node, dict) else node
    return [page for part in parts for page in pages(part)]


def test_every_page_is_in_the_navigation():
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
    shown = pages(config["nav"])
    assert len(set(shown)) == len(shown)
    assert set(shown) - GENERATED == {path.name for path in (ROOT / "docs").glob("*.md")}


@pytest.fixture
def hooks(monkeypatch):
    """The hooks of the build, without mkdocs."""
    for name in ("mkdocs", "mkdocs.structure", "mkdocs.structure.files"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setattr(sys.modules["mkdocs.structure.files"], "File", None, raising=False)
    spec = importlib.util.spec_from_file_location("hooks", ROOT / "docs" / "site" / "hooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_reference_has_every_public_name(hooks):
    targets = re.findall(r"^::: (\S+)$", hooks._reference(), re.MULTILINE)
    names = {target.rpartition(".")[2] for target in targets}
    # a method under another name, and what is no function or class
    other = {"load", "__version__"}
    modules = {n for n in distembed.__all__ if isinstance(getattr(distembed, n), types.ModuleType)}
    assert set(distembed.__all__) - names - other - modules == set()
    for target in targets:
        module, _, name = target.rpartition(".")
        assert hasattr(importlib.import_module(module), name), target


def test_links_to_files_without_a_page_become_text_or_go_to_the_repository(hooks):
    text = "see [`a.py`](../src/a.py#x) and [data](data.md)"
    config = types.SimpleNamespace(repo_url=None)
    assert hooks.on_page_markdown(text, config) == "see `a.py` and [data](data.md)"
    config.repo_url = "https://example.org/d/"
    assert "[`a.py`](https://example.org/d/blob/main/src/a.py)" in hooks.on_page_markdown(
        text, config
    )
