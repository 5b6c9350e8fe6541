"""The shell completes verbs and options, without torch."""

import os
import subprocess
import sys

import pytest

CODE = "from distembed.cli.main import main; main([])"


def completed(shell, **variables):
    environment = os.environ | {"_DISTEMBED_COMPLETE": f"complete_{shell}", **variables}
    return subprocess.run(
        [sys.executable, "-c", CODE], env=environment, capture_output=True, text=True, check=True
    ).stdout


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("distembed ev", {"evaluate"}),
        ("distembed d", {"demo", "distance", "doctor", "data"}),
        ("distembed export --t", {"--to"}),
        ("distembed data b", {"build"}),
    ],
)
def test_bash(words, expected):
    place = {"COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
    assert set(completed("bash", **place).split()) == expected


def test_zsh_shows_the_help_of_options():
    assert '"--to":"A .onnx file' in completed("zsh", _TYPER_COMPLETE_ARGS="distembed export --")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_that_of_the_shell_one_is_in(run, monkeypatch, shell):
    monkeypatch.setattr("shellingham.detect_shell", lambda: (shell, f"/bin/{shell}"))
    assert f"complete_{shell}" in run("--show-completion").out


def test_torch_is_not_imported_for_a_completion():
    code = (
        "import sys\ntry:\n    from distembed.cli.main import main; main([])\n"
        "except SystemExit:\n    sys.exit('torch' in sys.modules)"
    )
    environment = os.environ | {
        "_DISTEMBED_COMPLETE": "complete_bash",
        "COMP_WORDS": "distembed ev",
        "COMP_CWORD": "1",
    }
    assert subprocess.run([sys.executable, "-c", code], env=environment).returncode == 0
