"""The code of the README and of pages runs, in the order in which it is read."""

import os
import re
import shlex
from pathlib import Path

import pytest
from typer.main import get_command

from distembed.cli.main import app

ROOT = Path(__file__).parents[2]
PAGES = (
    "README.md",
    *(
        f"docs/{p}.md"
        for p in (
            *(
                "applications",
                "data",
                "sequences",
                "pretrained",
                "sets",
                "geometry",
                "paper",
                "choose",
            ),
            *("plots", "report", "representations", "sharing"),
            *("uncertainty", "tests", "prediction"),
        )
    ),
)
# they take five seconds or more
SLOW = (
    *("geometry", "paper", "plots", "prediction", "report", "sequences", "sharing", "tests"),
    "uncertainty",
)
BLOCK = re.compile(r"^```(\w+)[^\n]*\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def blocks(page, *languages):
    text = (ROOT / page).read_text()
    found = [code for language, code in BLOCK.findall(text) if language in languages]
    assert found, f"{page} has no block of {' or '.join(languages)}"
    return found


@pytest.mark.parametrize(
    "page",
    [pytest.param(p, marks=pytest.mark.slow) if Path(p).stem in SLOW else p for p in PAGES],
)
def test_python_blocks(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace, left_out = {"__name__": "page"}, 0
    for code in blocks(page, "python"):
        if "DISTEMBED_DATA" in code and "DISTEMBED_DATA" not in os.environ:
            left_out += 1
            continue
        exec(compile(code, page, "exec"), namespace)
    if left_out:
        pytest.skip(f"DISTEMBED_DATA is unset, so that {left_out} blocks were not run")


@pytest.mark.parametrize("page", PAGES)
def test_commands_exist(page):
    commands = [
        line.removeprefix("$ ")
        for code in blocks(page, "console", "bash", "sh")
        for line in code.replace("\\\n", " ").splitlines()
        if line.removeprefix("$ ").startswith(("distembed ", "make "))
    ]
    assert commands, f"{page} shows no command"
    targets = (ROOT / "Makefile").read_text()
    for command in commands:
        program, *words = shlex.split(command, comments=True)
        if program == "make":
            assert all(re.search(rf"^{word}:", targets, re.MULTILINE) for word in words), command
            continue
        given = [word.partition("=")[0] for word in words if word.startswith("--")]
        assert options(*words[: 1 + (words[0] == "data")]) >= set(given), command


def options(verb, part=None):
    """The options that a verb has, or a part of it; an unknown one fails here."""
    command = get_command(app)
    if part is not None:
        command, verb = command.commands[verb], part
    if verb.startswith("--"):
        return {o for p in command.params for o in p.opts}
    return {o for p in command.commands[verb].params for o in p.opts}


def test_the_check_fails_for_a_verb_that_is_not():
    with pytest.raises(KeyError):
        options("train")
    assert "--sets" in options("evaluate")
