"""The code of the README and of pages runs, in the order in which it is read."""

import re
import shlex
from pathlib import Path

import pytest
from typer.main import get_command

from distembed.cli.main import app

ROOT = Path(__file__).parents[2]
PAGES = (
    "README.md",
    *(f"docs/{p}.md" for p in ("data", "sets", "geometry", "uncertainty", "tests", "prediction")),
    "docs/sequences.md",
)
BLOCK = re.compile(r"^```(\w+)[^\n]*\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def blocks(page, *languages):
    text = (ROOT / page).read_text()
    found = [code for language, code in BLOCK.findall(text) if language in languages]
    assert found, f"{page} has no block of {' or '.join(languages)}"
    return found


@pytest.mark.parametrize("page", PAGES)
def test_python_blocks(page, tmp_path, monkeypatch, request):
    monkeypatch.chdir(tmp_path)
    if "DISTEMBED_DATA" in (ROOT / page).read_text():
        folder = request.getfixturevalue("data_dir")  # skips where there is none
        monkeypatch.setenv("DISTEMBED_DATA", str(folder))
    namespace = {"__name__": "page"}
    for code in blocks(page, "python"):
        exec(compile(code, page, "exec"), namespace)


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
        assert options(words[0]) >= set(given), command


def options(verb):
    """The options that a verb has; an unknown verb fails here."""
    command = get_command(app)
    if verb.startswith("--"):
        return {o for p in command.params for o in p.opts}
    return {o for p in command.commands[verb].params for o in p.opts}


def test_the_check_fails_for_a_verb_that_is_not():
    with pytest.raises(KeyError):
        options("train")
    assert "--sets" in options("evaluate")
