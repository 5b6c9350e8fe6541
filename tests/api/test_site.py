"""The site has every page of docs/, and its reference every public name."""

import importlib.util
import re
import sys
import types
from pathlib import Path

import pytest
import yaml

import distembed
from distembed.data.transforms import TRANSFORMS
from distembed.divergences import DIVERGENCES
from distembed.encoders import ENCODERS
from distembed.generators import GENERATORS

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
    assert set(shown) - GENERATED == {
        path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")
    }


def test_every_hook_exists():
    hooks = yaml.safe_load((ROOT / "mkdocs.yml").read_text())["hooks"]
    assert all((ROOT / path).is_file() for path in hooks)


def page_at(path):
    return types.SimpleNamespace(file=types.SimpleNamespace(src_uri=path))


@pytest.fixture
def hooks(monkeypatch):
    """The hooks of the build, without mkdocs."""
    for name in ("mkdocs", "mkdocs.structure", "mkdocs.structure.files"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setattr(sys.modules["mkdocs.structure.files"], "File", None, raising=False)
    return module_of("hooks")


def module_of(name):
    path = ROOT / "docs" / "site" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
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
    config, page = types.SimpleNamespace(repo_url=None), page_at("sets.md")
    assert hooks.on_page_markdown(text, page, config) == "see `a.py` and [data](data.md)"
    config.repo_url = "https://example.org/d/"
    assert "[`a.py`](https://example.org/d/blob/main/src/a.py)" in hooks.on_page_markdown(
        text, page, config
    )


def test_links_from_a_folder_of_pages_to_pages_stay(hooks):
    text = "see [data](../data.md#x) and [`a.py`](../../src/a.py)"
    config = types.SimpleNamespace(repo_url=None)
    changed = hooks.on_page_markdown(text, page_at("tutorials/clinic.md"), config)
    assert changed == "see [data](../data.md#x) and `a.py`"


def test_links_to_files_of_results_become_text(hooks):
    text = "see [results](results), [a](results/a.json) and [resulting](results_of.md)"
    config = types.SimpleNamespace(repo_url=None)
    changed = hooks.on_page_markdown(text, page_at("benchmarks.md"), config)
    assert changed == "see results, a and [resulting](results_of.md)"


def test_marked_formulas_become_mathml(monkeypatch):
    converter = types.ModuleType("latex2mathml.converter")
    converter.convert = lambda tex, display: f"<math {display}>{tex}</math>"
    monkeypatch.setitem(sys.modules, "latex2mathml", types.ModuleType("latex2mathml"))
    monkeypatch.setitem(sys.modules, "latex2mathml.converter", converter)
    formulas = module_of("formulas")
    page = (
        'a <span class="arithmatex">\\(w_i &lt; 1\\)</span>, '
        '<div class="arithmatex">\\[\\sum_i w_i\\]</div> <span class="other">\\(x\\)</span>'
    )
    assert formulas.on_page_content(page, page=None, config=None, files=None) == (
        "a <math inline>w_i < 1</math>, <math block>\\sum_i w_i</math> "
        '<span class="other">\\(x\\)</span>'
    )


def test_the_readme_fits_on_a_screen_and_a_bit():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120


@pytest.mark.parametrize("family", [ENCODERS, GENERATORS, DIVERGENCES, TRANSFORMS])
def test_the_page_of_features_names_every_member(family):
    text = (ROOT / "docs" / "features.md").read_text()
    assert not [name for name in family if f"`{name}`" not in text]
