"""`distembed fit` that is refused, interrupted or out of space keeps what it can resume from."""

import errno
import signal

import pytest
from cli_table import QUICK, cells, write_csv

from distembed.model.gde import GDE
from distembed.training.trainer import Trainer


@pytest.fixture
def words(tmp_path):
    """A command that fits a model, on a table of its own."""
    write_csv(tmp_path / "cells.csv", cells())
    return ["fit", *QUICK, f"data.path={tmp_path / 'cells.csv'}", "--out", tmp_path / "model"]


@pytest.fixture
def stop_at(monkeypatch):
    """Let something happen in a step of the training, or in none."""

    def stop_at(k, action):
        step = Trainer.step

        def stopped(self, number):
            if number == k:
                action()
            return step(self, number)

        monkeypatch.setattr(Trainer, "step", stopped)
        return monkeypatch

    return stop_at


def fail(error):
    raise error


def content(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def weights(folder):
    return GDE.load(folder, threads=1)._fitted.network.state_dict()


def assert_fresh(folder, work):
    """A resumed model is the one that was fitted without a break."""
    one, other = weights(folder), weights(work / "model")
    assert all(one[name].equal(other[name]) for name in other)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_fit_says_how_to_resume(run, work, words, tmp_path, stop_at, number, code):
    patch = stop_at(4, lambda: signal.raise_signal(number))
    stopped = run(*words)
    assert stopped.code == code
    assert "stopped at step 5 of 6" in stopped.err
    assert "same command" in stopped.err
    assert "Traceback" not in stopped.err
    patch.undo()
    resumed = run(*words)
    assert resumed.code == 0, resumed.err
    assert "resumed at step 5" in resumed.err
    assert not (tmp_path / "model.partial").exists()
    assert_fresh(tmp_path / "model", work)


def test_a_refused_resume_keeps_the_checkpoint(run, work, words, tmp_path, stop_at):
    patch = stop_at(4, lambda: fail(OSError("unplugged")))
    assert run(*words).code == 1
    patch.undo()
    partial = tmp_path / "model.partial"
    before = content(partial)
    assert "checkpoint.safetensors" in before
    write_csv(tmp_path / "cells.csv", cells(seed=1))
    refused = run(*words)
    assert refused.code == 1
    assert "belongs to a run with another" in refused.err
    assert content(partial) == before
    write_csv(tmp_path / "cells.csv", cells())
    patch = stop_at(4, lambda: fail(ValueError("The loss at step 4 is nan")))
    assert run(*words).code == 1
    assert content(partial)["checkpoint.safetensors"] == before["checkpoint.safetensors"]
    patch.undo()
    resumed = run(*words, "train.threads=1", "train.checkpoint_seconds=5")  # no other numbers
    assert (resumed.code, "resumed at step 3" in resumed.err) == (0, True), resumed.err
    assert_fresh(tmp_path / "model", work)


def test_force_keeps_the_old_run_until_the_new_one_begins(run, words, tmp_path, stop_at):
    patch = stop_at(4, lambda: fail(OSError("unplugged")))
    assert run(*words).code == 1
    patch.undo()
    before = content(tmp_path / "model.partial")
    assert run(*words, "data.path=nowhere.csv", "--force").code == 1
    assert content(tmp_path / "model.partial") == before
    begun = run(*words, "--force")
    assert (begun.code, "resumed" in begun.err) == (0, False)


def test_files_of_others_stay(run, words, tmp_path):
    partial = tmp_path / "model.partial"
    partial.mkdir()
    (partial / "notes.txt").write_text("mine")
    outcome = run(*words, "train.lr=-1")
    assert outcome.code == 1
    outcome = run(*words)
    assert outcome.code == 0, outcome.err
    assert content(partial) == {"notes.txt": b"mine"}


def test_a_full_disk_is_an_error_with_the_fix(run, work, words, tmp_path, monkeypatch):
    import distembed.training.checkpoint as module

    write, calls = module.write_atomically, []

    def full(path, data):
        calls.append(path)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, data)

    monkeypatch.setattr(module, "write_atomically", full)
    outcome = run(*words)
    assert outcome.code == 1
    assert "No space left on device" in outcome.err
    assert "Free space" in outcome.err
    assert "checkpoint.safetensors" in outcome.err
    monkeypatch.undo()
    resumed = run(*words)
    assert (resumed.code, "resumed at step 3" in resumed.err) == (0, True), resumed.err
    assert_fresh(tmp_path / "model", work)


DEEP = "[" * 100_000


def test_json_and_yaml_without_end_are_refused(run, work, tmp_path):
    model = tmp_path / "model"
    model.mkdir()
    for name, data in content(work / "model").items():
        (model / name).write_bytes(data)
    (model / "config.json").write_text('{"format": ' + DEEP)
    scores, config = tmp_path / "scores.json", tmp_path / "run.yaml"
    scores.write_text(DEEP)
    config.write_text(f"data: {DEEP}")
    for verb in (
        ("embed", model, work / "cells.csv", "-o", tmp_path / "z.csv"),
        ("report", work / "model", "--evaluation", scores, "-o", tmp_path / "r.html"),
        ("bench", "table", scores),
        ("fit", config),
    ):
        outcome = run(*verb)
        assert outcome.code == 1, verb
        assert "nested too deeply" in outcome.err, verb
