"""Help and config errors: complete, and without torch."""

import re
import subprocess
import sys
import time

import pytest
from typer.main import get_command

from distembed.cli.main import app
from distembed.version import __version__

VERBS = (
    "demo",
    "fit",
    "embed",
    "sample",
    "distance",
    "interpolate",
    "test",
    "predict",
    "evaluate",
    "report",
    "app",
    "export",
    "check",
    "bench",
    "doctor",
    "data",
)
COMMANDS = get_command(app).commands
PARTS = [("data", part) for part in COMMANDS["data"].commands]


def test_the_verbs():
    assert tuple(COMMANDS) == VERBS


@pytest.mark.parametrize("words", [*[(v,) for v in VERBS if v != "data"], *PARTS], ids=" ".join)
def test_help_shows_an_example_and_the_meaning_of_every_option(run, words):
    printed = run(*words, "--help")
    verb, command = " ".join(words), COMMANDS[words[0]]
    command = command if len(words) == 1 else command.commands[words[1]]
    assert printed.code == 0
    text = re.sub(r"[│╭╮╰╯─\s]+", " ", printed.out)
    assert f"Example: distembed {verb} " in text
    for parameter in command.params:
        assert parameter.help, parameter.name
        for option in parameter.opts if parameter.param_type_name == "option" else ():
            assert option in text


def test_version(run):
    assert run("--version").out.strip() == __version__


def test_no_verb_shows_help(run):
    assert "interpolate" in run().out


WITHOUT_TORCH = [
    ["--help"], ["--version"], ["fit", "data.pth=x"], ["fit", "data.path=x", "--print-config"],
    ["fit", "data.path=x", "train.steps=-1"], ["fit", "missing.yaml"], ["bench", "none"],
    *[[verb, "--help"] for verb in VERBS], *[[*part, "--help"] for part in PARTS],
]  # fmt: skip


def imported_by(lines):
    """Return the first of the command lines that imports something heavy, and what it does."""
    code = (
        "import sys\nfrom distembed.cli.main import main\n"
        f"for words in {lines}:\n"
        "    try: main(words)\n"
        "    except SystemExit: pass\n"
        "    heavy = {'torch', 'ot', 'scipy', 'matplotlib', 'pandas'} & set(sys.modules)\n"
        "    if heavy: sys.exit(f'{words} imported {heavy}')"
    )
    outcome = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    return outcome.stderr.splitlines()[-1] if outcome.returncode else ""


def test_torch_is_not_imported():
    assert imported_by(WITHOUT_TORCH) == ""


def test_the_check_sees_an_import():
    assert imported_by([["--version"], ["embed", "none"]]).startswith("['embed', 'none'] imported")


def test_the_console_script_exits_as_main_does():
    for words, code in ((["--version"], 0), (["fit", "x.yaml"], 1), (["fly"], 2), (["fit"], 2)):
        outcome = subprocess.run(
            [sys.executable, "-c", "from distembed.cli.main import main; main()", *words],
            capture_output=True,
            text=True,
        )
        assert outcome.returncode == code, outcome.stderr
        assert "Traceback" not in outcome.stderr


def test_debug_shows_the_traceback():
    code = "from distembed.cli.main import main; main(['fit', 'x.yaml', '--debug'])"
    outcome = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert outcome.returncode == 1
    assert "Traceback" in outcome.stderr


@pytest.mark.slow
def test_help_is_quick():
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "distembed.cli.main"], check=False)
    assert time.perf_counter() - start < 2
