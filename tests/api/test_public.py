"""The public names, and what importing them must not cost."""

import json
import subprocess
import sys

import pytest

import distembed

HEAVY = ("torch", "ot", "scipy", "matplotlib", "pandas", "sklearn", "anndata", "pyarrow")


def loaded_by(code):
    """The heavy packages that are loaded at the end of a fresh interpreter."""
    tail = f"; import sys, json; print(json.dumps([m for m in {HEAVY} if m in sys.modules]))"
    out = subprocess.run(
        [sys.executable, "-c", code + tail], capture_output=True, text=True, check=True
    ).stdout
    return json.loads(out.splitlines()[-1])


@pytest.mark.parametrize("name", distembed.__all__)
def test_public_name_resolves_and_is_documented(name):
    found = getattr(distembed, name)
    assert name in dir(distembed)
    assert name == "__version__" or found.__doc__


@pytest.mark.parametrize("name", distembed._MODULES)
def test_submodule_is_an_attribute(name):
    assert getattr(distembed, name).__name__ == f"distembed.{name}"


def test_names_for_type_checkers_are_those_at_run_time():
    assert set(distembed._HOMES) | {"__version__"} == set(distembed.__all__)


def test_unknown_name():
    with pytest.raises(AttributeError, match="no attribute 'Sats'"):
        distembed.Sats  # noqa: B018


def test_import_is_cheap():
    assert loaded_by("import distembed; dir(distembed)") == []


def test_the_check_sees_what_is_loaded():
    assert "torch" in loaded_by("import distembed; distembed.GDE")


def test_families_can_be_listed_without_torch():
    code = (
        "from distembed import data, encoders, generators, divergences;"
        "list(encoders.ENCODERS), list(generators.GENERATORS), list(divergences.DIVERGENCES)"
    )
    assert loaded_by(code) == []


def test_names_of_inference_are_where_they_are_said_to_be():
    from distembed import inference

    for name in inference.__all__:
        assert getattr(inference, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = inference.nothing
