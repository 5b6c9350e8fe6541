"""The machinery of docs/errors.md reports a case that is no error of the package."""

import re

import numpy as np
import pytest
from error_cases import Case, Refusal, refusal_of
from error_page import Section, page

import distembed as de


def case(function, title="A title", advice="", code="de.read(x)"):
    return Case(function.__name__, title, advice, code, function)


def no_error():
    """No error."""


def foreign_error():
    """An error of numpy."""
    np.zeros(2).reshape(3)


def foreign_frame():
    """An error that numpy raises in its Python."""
    np.linalg.inv(np.zeros((2, 2)))


def wrapped_error():
    """An error with the text of another package."""
    open("cells.h5ad", "wb").close()
    de.read("cells.h5ad", by="patient")


def command_that_works(distembed):
    """A command that works."""
    distembed("embed model -o z.csv")


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (no_error, "raises nothing"),
        (foreign_error, "not in the package"),
        (foreign_frame, "not in the package"),
        (command_that_works, "raises nothing"),
    ],
)
def test_what_is_no_error_of_the_package_is_reported(function, text, setting, tmp_path):
    with pytest.raises(AssertionError, match=text):
        refusal_of(case(function), setting, tmp_path / "case")


def test_the_text_of_another_package_is_dots(setting, tmp_path):
    pytest.importorskip("anndata")
    refusal = refusal_of(case(wrapped_error), setting, tmp_path / "case")
    assert refusal.text == "ValueError: cells.h5ad is damaged or is not HDF5: ..."
    assert re.fullmatch(r"data/readers/hdf5\.py:\d+", refusal.site)


def test_a_message_is_shown_letter_by_letter():
    refusal = Refusal("ValueError: PC* of `x`\n  a_b <c> _d", False, "a.py:1")
    command = case(no_error, "B", "Do it.", 'x = 1\ndistembed("embed model -o z.csv")')
    text = page([Section("One `part`", "import torch", [(command, refusal)])], "a,b\n1,2")
    assert "- [One `part`](#one-part): 1\n" in text
    assert "```text\na,b\n1,2\n```" in text
    assert text.endswith(
        "## One `part`\n\n```python\nimport torch\n```\n\n### B\n\n```python\nx = 1\n```\n\n"
        "```console\n$ distembed embed model -o z.csv\n```\n\n"
        "> ValueError: PC\\* of \\`x\\`\\\n>   a_b \\<c\\> \\_d\n\nDo it.\n"
    )
