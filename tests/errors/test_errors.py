"""Every error teaches, and docs/errors.md shows all of them as they are."""

import ast
import inspect
import logging
import re
from pathlib import Path

import error_arrays
import error_cells
import error_cli
import error_distances
import error_evaluation
import error_files
import error_fit_config
import error_heads
import error_images
import error_inference
import error_members
import error_missing
import error_model
import error_published
import error_reading
import error_sequences
import error_sets
import error_sharing
import error_stores
import error_training
import pytest
from error_cases import cases_of, imports_of, refusal_of
from error_page import COMMAND_LINE, Section, page

PAGE = Path(__file__).parents[2] / "docs" / "errors.md"
MODULES = (
    error_reading,
    error_sequences,
    error_images,
    error_arrays,
    error_sets,
    error_cells,
    error_missing,
    error_stores,
    error_members,
    error_training,
    error_model,
    error_published,
    error_files,
    error_sharing,
    error_distances,
    error_inference,
    error_heads,
    error_evaluation,
    error_fit_config,
    error_cli,
)
CASES = {module: cases_of(module) for module in MODULES}
ALL = [case for cases in CASES.values() for case in cases]


class Refusals(dict):
    """The error of a case by its name; a case runs when it is first looked up."""

    def __init__(self, setting, folder):
        super().__init__()
        self.setting, self.folder = setting, folder

    def __missing__(self, case):
        logging.disable(logging.WARNING)
        try:
            self[case] = refusal_of(case, self.setting, self.folder / case.name)
        finally:
            logging.disable(logging.NOTSET)
        return self[case]


@pytest.fixture(scope="session")
def refusals(setting, tmp_path_factory):
    for package in ("anndata", "pyarrow", "zuko", "matplotlib"):
        pytest.importorskip(package)
    return Refusals(setting, tmp_path_factory.mktemp("cases"))


def test_names_and_titles_differ():
    assert len({case.name for case in ALL}) == len(ALL)
    assert len({case.title for case in ALL}) == len(ALL)


def test_every_error_is_of_a_place_of_its_own(refusals):
    assert len({refusals[case].site for case in ALL}) >= 80
    texts = [refusals[case].text for case in ALL]
    assert sorted({text for text in texts if texts.count(text) > 1}) == []


FILLERS = set(
    "a an and as at by de fit i id is it model name no np of on or read set sets".split()
)


def given(code):
    """The words and numbers of a case: its literals, their types, and the names that it uses."""
    words = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Constant):
            words |= {type(node.value).__name__, *re.findall(r"[\w.-]+", str(node.value))}
        elif isinstance(node, ast.keyword | ast.ClassDef | ast.FunctionDef):
            words.add(getattr(node, "arg", None) or getattr(node, "name", ""))
        elif isinstance(node, ast.Attribute | ast.Name):
            words.add(getattr(node, "attr", None) or getattr(node, "id", ""))
        elif isinstance(node, ast.List | ast.Dict):
            words.add(type(node).__name__)
    words |= {part for word in words for part in word.split("_")}
    return {word.strip(".-").lower() for word in words} - FILLERS


def names_what_was_given(case, text):
    """Whether a message has a word of the code, or a number or a quoted text of the data."""
    words = {w.strip(".").lower() for w in re.findall(r"[\w.]+", text) + re.findall(r"\w+", text)}
    stems = {word.removesuffix("s") for word in words}
    facts = re.search(r"\d|'[^']+'|\bone\b", text)
    return bool(facts) or any(word.removesuffix("s") in stems for word in given(case.code))


@pytest.mark.parametrize("case", ALL, ids=lambda case: case.name)
def test_a_message_teaches(case, refusals):
    text = refusals[case].text
    assert "Traceback" not in text
    body = text.partition(": ")[2]
    assert len(body) >= 25, f"{text!r} is too short to say what is expected"
    assert all(len(line) <= 600 for line in text.splitlines()), f"{text!r} has a long line"
    assert names_what_was_given(case, body), f"{text!r} names nothing of\n{case.code}"


PYTHON_ADVICE = re.compile(r"\w\([^)]*\w=|GDE\(|=(True|False|None)\b|=\{'|\bde\.")
COMMAND_ADVICE = re.compile(r"--\w|\b(data|train|model|split)\.\w+=")


@pytest.mark.parametrize("case", ALL, ids=lambda case: case.name)
def test_advice_is_for_where_the_error_is_met(case, refusals):
    refusal = refusals[case]
    if refusal.command:
        assert not PYTHON_ADVICE.search(refusal.text) or "Python" in refusal.text
    else:
        assert not COMMAND_ADVICE.search(refusal.text) or re.search(
            "command line|distembed", refusal.text
        )


def test_the_page_shows_every_error_as_it_is(refusals, first_lines, request):
    sections = [
        Section(
            inspect.getdoc(module).removesuffix("."),
            imports_of(module),
            [(case, refusals[case]) for case in cases],
        )
        for module, cases in CASES.items()
    ]
    text = page(sections, first_lines)
    if request.config.getoption("--write-docs", default=False):
        PAGE.write_text(text, encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == text, f"docs/errors.md is old; run: {COMMAND_LINE}"
