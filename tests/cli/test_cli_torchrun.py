"""`torchrun` runs the verbs in many processes, survives one that dies, and says what happened."""

import os
import re
import subprocess
import sys
import time

import numpy as np
import pytest
from cli_table import QUICK, cells, write_csv
from safetensors.numpy import load_file

pytestmark = pytest.mark.slow
DYING = """
import os, signal, sys
from pathlib import Path
from distembed.cli.main import main
from distembed.training.trainer import Trainer
mark, how = Path(sys.argv[1]), sys.argv[2]
step = Trainer.step
def dies(self, k):
    if k == 4 and not mark.exists() and (self.ranks.rank == 1 or how == "terminate"):
        if how != "terminate":
            mark.touch()
        if how == "raise":
            raise ValueError("process 1 met a value")
        os.kill(os.getpid(), signal.SIGKILL if how == "kill" else signal.SIGTERM)
    return step(self, k)
Trainer.step = dies
main(sys.argv[3:])
"""


def torchrun(*words, restarts=0, program=("-m", "distembed")):
    """Run two processes; return the exit code, what they wrote, and the seconds."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", "2", "--max-restarts", str(restarts), *program, *words]
    # a restart needs a store of its own, or gloo connects to the processes before it
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
    began = time.monotonic()
    done = subprocess.run(
        [str(word) for word in command], env=environment, capture_output=True, text=True
    )
    return done.returncode, done.stdout, done.stderr, time.monotonic() - began


@pytest.fixture
def words(tmp_path):
    write_csv(tmp_path / "cells.csv", cells())
    return ["fit", *QUICK, f"data.path={tmp_path / 'cells.csv'}"]


@pytest.fixture
def single(run, words, tmp_path):
    """The model of one process, in the parts of two."""
    folder = tmp_path / "single"
    assert run(*words, "train.parts=2", "--out", folder).code == 0
    return folder


def dying(tmp_path, how):
    script = tmp_path / "dying.py"
    script.write_text(DYING)
    return (script, tmp_path / f"died by {how}", how)


def assert_same(folder, other):
    one, two = (load_file(f / "model.safetensors") for f in (folder, other))
    assert one.keys() == two.keys()
    for name in one:
        np.testing.assert_allclose(one[name], two[name], rtol=1e-4, atol=1e-4, err_msg=name)


def test_every_verb_in_two_processes(run, words, single, tmp_path):
    code, out, err, _ = torchrun(*words, "--out", tmp_path / "pair")
    assert code == 0, err
    assert out == ""
    assert err.count("sets to train on") == 1, "only the first process writes"
    assert "2 processes" in err
    assert not (tmp_path / "pair.partial").exists()
    assert_same(tmp_path / "pair", single)

    data, one, two = tmp_path / "cells.csv", tmp_path / "one.csv", tmp_path / "two.csv"
    assert run("embed", single, data, "-o", one, "--covariances").code == 0
    code, _, err, _ = torchrun("embed", single, data, "-o", two, "--covariances")
    assert (code, err.count("two.csv: 20 sets")) == (0, 1), err
    assert one.read_text() == two.read_text()

    scores = [tmp_path / "one.json", tmp_path / "two.json"]
    printed = run("evaluate", single, "-o", scores[0])
    code, out, err, _ = torchrun("evaluate", single, "-o", scores[1])
    assert (printed.code, code) == (0, 0), err
    assert out == printed.out
    assert scores[0].read_text() == scores[1].read_text()


@pytest.mark.parametrize("how", ["raise", "kill"])
def test_a_process_that_dies_ends_the_others(words, tmp_path, how):
    code, _, err, seconds = torchrun(
        *words, "--out", tmp_path / "pair", program=dying(tmp_path, how)
    )
    assert code != 0
    assert seconds < 60
    assert ("process 1: error: process 1 met a value" in err) == (how == "raise")
    assert "another process of this run ended" in err
    assert "[rank0]: Traceback" not in err
    assert (tmp_path / "pair.partial" / "checkpoint.safetensors").exists()


def test_a_restart_resumes_from_the_checkpoint(words, single, tmp_path):
    code, _, err, _ = torchrun(
        *words, "--out", tmp_path / "pair", program=dying(tmp_path, "kill"), restarts=1
    )
    assert code == 0, err
    assert "resumed at step 3" in err
    assert_same(tmp_path / "pair", single)


def test_a_scheduler_that_stops_all_processes(words, single, tmp_path):
    program = dying(tmp_path, "terminate")
    code, _, err, _ = torchrun(*words, "--out", tmp_path / "pair", program=program)
    assert code != 0
    assert err.count("stopped at step 5 of 6; the same command resumes there") == 1
    assert re.search(r"exitcode *: 143", err)
    program[1].touch()
    code, _, err, _ = torchrun(*words, "--out", tmp_path / "pair", program=program)
    assert (code, "resumed at step 5" in err) == (0, True), err
    assert_same(tmp_path / "pair", single)


def test_the_error_of_all_processes_names_each(words, tmp_path):
    code, _, err, _ = torchrun(*words, "data.by=nobody", "--out", tmp_path / "pair")
    assert code != 0
    assert "nobody" in err
    assert not (tmp_path / "pair.partial").exists()
