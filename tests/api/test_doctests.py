"""The examples in docstrings are true."""

import doctest
import importlib
import pkgutil

import pytest

import distembed

MODULES = ["distembed", *(m.name for m in pkgutil.walk_packages(distembed.__path__, "distembed."))]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_there_are_examples():
    finder = doctest.DocTestFinder()
    found = [t for n in MODULES for t in finder.find(importlib.import_module(n)) if t.examples]
    assert len(found) > 20
