"""Tutorials run as they are read: their code, their commands, and the output that they show."""

import math
import re
import shlex
from pathlib import Path

import pytest
from cli_table import run_verb

DOCS = Path(__file__).parents[2] / "docs"
TUTORIALS = sorted((DOCS / "tutorials").glob("*.md"))
BLOCK = re.compile(r"^```(\w+)[^\n]*\n(.*?)^```$", re.DOTALL | re.MULTILINE)
NUMBER = re.compile(r"-?\d+\.?\d*(?:e[-+]?\d+)?")
INTERVAL = re.compile(rf"({NUMBER.pattern}) \[({NUMBER.pattern}), ({NUMBER.pattern})\]")
# sums of floats depend on the processor, and hundreds of steps of training enlarge that
AGREEMENT = 0.25


def differences(shown, printed):
    """Lines of a page that the output lacks; a line `...` stands for any lines.

    Words are equal. A number with an interval agrees if it lies in the interval that is shown;
    others agree by a quarter, or by one unit of the last digit that is shown.
    """
    lines = [" ".join(line.split()) for line in printed.splitlines() if line.strip()]
    skip, position = False, 0
    for text in shown.splitlines():
        if text.strip() in ("...", ""):
            skip = skip or text.strip() == "..."
            continue
        rest = lines[position:] if skip else lines[position : position + 1]
        place = next(
            (i for i, line in enumerate(rest) if same(" ".join(text.split()), line)), None
        )
        if place is None:
            yield text
        else:
            position, skip = position + place + 1, False
    if position < len(lines) and not skip:
        yield f"not shown: {lines[position]}"


def same(shown, printed):
    intervals = INTERVAL.findall(shown), INTERVAL.findall(printed)
    shown, printed = INTERVAL.sub("@", shown), INTERVAL.sub("@", printed)
    if NUMBER.sub("#", shown) != NUMBER.sub("#", printed):
        return False
    inside = [
        float(low) <= float(value) <= float(high)
        for (_, low, high), (value, _, _) in zip(*intervals, strict=True)
    ]
    return all(inside) and all(map(agree, NUMBER.findall(shown), NUMBER.findall(printed)))


def agree(shown, printed):
    digits = len(shown.partition("e")[0].partition(".")[2])
    unit = 10.0**-digits if "." in shown else 0.0
    return math.isclose(
        float(shown), float(printed), rel_tol=AGREEMENT if "." in shown else 0, abs_tol=unit
    )


def commands(code):
    """The commands of a block, each with the output that is shown below it."""
    for part in re.split(r"^\$ ", code.replace("\\\n", " "), flags=re.MULTILINE)[1:]:
        command, _, shown = part.partition("\n")
        yield shlex.split(command, comments=True), shown


@pytest.mark.slow
@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_a_tutorial_runs_and_prints_what_it_shows(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    blocks = BLOCK.findall(page.read_text())
    assert any(language == "text" for language, _ in blocks), "it shows no output"
    namespace, printed, wrong = {"__name__": "tutorial"}, None, []
    for language, code in blocks:
        if language == "python":
            capsys.readouterr()
            exec(compile(code, page.name, "exec"), namespace)
            printed = capsys.readouterr().out
        elif language == "text" and printed is not None:
            wrong += differences(code, printed)
            printed = None
        elif language == "console":
            for (program, *words), shown in commands(code):
                if program == "distembed":
                    outcome = run_verb(*words)
                    assert outcome.code == 0, outcome.err
                    wrong += differences(shown, outcome.out) if shown.strip() else []
    assert not wrong
    for figure in re.findall(r"\]\(\.\./figures/(\S+?)\)", page.read_text()):
        name = figure.removeprefix(f"{page.stem}_")
        assert (tmp_path / name).is_file(), f"no block writes {name}"


@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_a_tutorial_shows_pictures_and_output(page):
    text = page.read_text()
    figures = re.findall(r"!\[([^\]]+)\]\((\.\./figures/\S+?)\)", text)
    assert figures
    assert all((page.parent / path).is_file() and len(words) > 20 for words, path in figures)
    assert {language for language, _ in BLOCK.findall(text)} >= {"python", "text"}


def test_output_is_compared_word_by_word():
    shown = "set  age\np01  0.50 [0.4, 0.6]\n...\nmean 12 sets, 2.00\n"
    assert not list(differences(shown, "set age\np01 0.59 [0.5, 0.7]\nx y\nmean 12 sets, 2.3"))
    for printed in (
        "set age\np01 0.61 [0.4, 0.6]\nmean 12 sets, 2.00",
        "set age\np01 0.50\nmean 12 sets, 2.00",
        "set age\np01 0.50 [0.4, 0.6]\nmean 13 sets, 2.00",
        "set age\np01 0.50 [0.4, 0.6]\nmean 12 sets, 2.80",
        "set age\np02 0.50 [0.4, 0.6]\nmean 12 sets, 2.00",
        "set age\nmean 12 sets, 2.00",
        "set age\np01 0.50 [0.4, 0.6]\nmean 12 sets, 2.00\nand more",
    ):
        assert list(differences(shown, printed)), printed
