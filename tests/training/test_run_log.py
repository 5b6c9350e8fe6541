"""The log of a run, on a terminal and elsewhere, its time estimate and its runtime."""

import io
import json
import logging

import pytest
import torch
from rich.console import Console
from training_fakes import Scalar, config, sets, train

from distembed.training.estimate import Estimate, estimate
from distembed.training.log import RunLog
from distembed.training.runtime import Runtime


def run_with(log, **settings):
    train(Scalar(lambda w, step: w), sets(), config(**settings), log=log, held_out=[0, 1])


def test_plain_lines_where_there_is_no_terminal():
    out = io.StringIO()
    run_with(RunLog(9, console=Console(file=out, width=200)), steps=9)
    lines = out.getvalue().splitlines()
    assert lines[0] == "8 sets to train on, 2 to validate; cpu, float32, 1 thread"
    assert lines.pop(3).startswith("3 steps remain: less than 1 s, ")
    records = [line.split("  ")[0] for line in lines[1:]]
    assert records == ["step 0/9", "step 3/9", "step 6/9", "step 9/9"]
    assert "validation" in lines[1]
    assert "loss" in lines[2]
    assert "\x1b" not in out.getvalue()


def test_a_bar_on_a_terminal():
    out = io.StringIO()
    run_with(RunLog(6, console=Console(file=out, width=200, force_terminal=True)))
    assert "\x1b" in out.getvalue()
    assert "training" in out.getvalue()
    assert "step 3/6" not in out.getvalue()


def test_silence():
    out = io.StringIO()
    run_with(RunLog(6, progress=False, console=Console(file=out)))
    assert out.getvalue() == ""


def test_lines_reach_the_logger(caplog):
    with caplog.at_level(logging.INFO, "distembed"):
        run_with(None)
    assert any("sets to train on" in message for message in caplog.messages)


def test_json_lines(tmp_path):
    file = tmp_path / "log.jsonl"
    run_with(RunLog(6, progress=False, file=file))
    records = [json.loads(line) for line in file.read_text().splitlines()]
    assert [r["step"] for r in records] == [0, 3, 6]
    assert set(records[-1]) == {"step", "lr", "loss", "validation", "seconds"}
    run_with(RunLog(6, progress=False, file=file))
    assert len(file.read_text().splitlines()) == 6, "another run is appended"


def test_the_estimate_leaves_the_first_step_out():
    forecast = estimate([9.0, 0.2, 0.1, 0.3], steps=1000)
    assert forecast.seconds == pytest.approx(200)
    with pytest.raises(ValueError, match="There are 1 durations; at least two"):
        estimate([9.0], steps=1000)


def test_the_estimate_has_the_peak_memory():
    before = estimate([0, 0], 1).megabytes
    assert before > 1
    block = torch.ones(int(before + 200) * 2**18)  # 200 MB more than the process has ever held
    after = estimate([0, 0], 1).megabytes
    del block
    assert after > before + 100
    assert estimate([0, 0], 1).megabytes >= after


@pytest.mark.parametrize(("steps", "times"), [(1, 0), (6, 0), (7, 1), (50, 1)])
def test_the_estimate_takes_no_step_of_its_own(steps, times, caplog):
    numbers = []

    def loss(weight, step):
        numbers.append(step.number)
        return weight

    with caplog.at_level(logging.INFO, "distembed"):
        train(Scalar(loss), sets(), config(steps=steps, every=100))
    assert numbers == list(range(steps))
    remains = "step remains: " if steps == 7 else "steps remain: "
    assert sum(remains in message for message in caplog.messages) == times


@pytest.mark.parametrize(("seconds", "text"), [(30, "30 s"), (600, "10 min"), (3 * 3600, "3.0 h")])
def test_estimate_in_words(seconds, text):
    assert str(Estimate(seconds, 512)) == f"about {text}, 512 MB"


def test_threads_are_used_and_given_back():
    assert torch.get_num_threads() == 1
    threads = []

    def loss(weight, step):
        threads.append(torch.get_num_threads())
        return weight

    train(Scalar(loss), sets(), config(threads=2))
    assert set(threads) == {2}
    assert torch.get_num_threads() == 1

    def fails(weight, step):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(Scalar(fails), sets(), config(threads=2))
    assert torch.get_num_threads() == 1


@pytest.mark.parametrize("device", ["gpu", "cpu:x", "meta", "mps"])
def test_an_impossible_device_is_refused(device):
    with pytest.raises(ValueError, match=f"device is '{device}'"):
        Runtime.choose(device)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_where_there_is_none():
    with pytest.raises(ValueError, match="sees no CUDA"):
        Runtime.choose("cuda")
    assert Runtime.choose("auto").device.type == "cpu"


def test_automatic_precision_is_full():
    assert Runtime.choose("cpu", "auto").reduced is None
    assert Runtime.choose("cpu", "bfloat16").reduced is torch.bfloat16
    assert str(Runtime.choose("cpu", "bfloat16", 2)) == "cpu, bfloat16, 2 threads"
