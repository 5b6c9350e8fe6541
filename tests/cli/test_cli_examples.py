"""The examples run, as they stand, with fewer steps."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
FEW = ("train.steps=40", "train.every=20", "train.batch=8")


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.sh")), ids=lambda path: path.name)
def test_example(path, tmp_path, request):
    if "DISTEMBED_DATA" in path.read_text():
        request.getfixturevalue("data_dir")
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    place = os.environ | {"PATH": programs, "RUN": str(tmp_path / "run")}
    outcome = subprocess.run([path, *FEW], env=place, capture_output=True, text=True)
    assert outcome.returncode == 0, outcome.stderr
    assert (tmp_path / "run" / "report.html").stat().st_size > 10_000
