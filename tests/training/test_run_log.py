"""What a run says, on a terminal and elsewhere, and where and how it computes."""

import io
import json
import logging

import pytest
import torch
from rich.console import Console
from training_fakes import Scalar, config, sets

from distembed.training.estimate import Estimate, estimate
from distembed.training.log import RunLog
from distembed.training.runtime import Runtime
from distembed.training.trainer import train


def run_with(log, **settings):
    train(Scalar(lambda w, step: w), sets(), config(**settings), log=log, held_out=[0, 1])


def test_plain_lines_where_there_is_no_terminal():
    out = io.StringIO()
    run_with(RunLog(6, console=Console(file=out, width=200)))
    lines = out.getvalue().splitlines()
    assert lines[0] == "8 sets to train on, 2 to validate; cpu, float32, 1 thread"
    assert lines[1].startswith("6 steps: about 0 s, ")
    assert [line.split("  ")[0] for line in lines[2:]] == ["step 0/6", "step 3/6", "step 6/6"]
    assert "validation" in lines[2]
    assert "loss" in lines[3]
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


def test_estimate_is_positive_and_changes_nothing():
    module = torch.nn.Linear(4, 4)
    before = [p.clone() for p in module.parameters()]
    seen = []

    def loss(k):
        seen.append(k)
        return module(torch.ones(3, 4)).square().mean()

    short, long = (estimate(module, loss, steps) for steps in (10, 1_000_000))
    assert 0 < short.seconds < long.seconds
    assert short.megabytes > 1
    assert all(p.grad is None for p in module.parameters())
    assert all(a.equal(b) for a, b in zip(before, module.parameters(), strict=True))
    assert seen[:5] == [0, 1, 2, 3, 4]


def test_estimate_counts_what_the_gradient_needs():
    weight = torch.nn.Linear(1, 1)

    def loss_over(n):
        return lambda k: (weight.weight * torch.ones(n)).exp().sum() * 1e-9

    # exp keeps its n float32 outputs and a product its inputs: 8 to 12 bytes a number
    small, large = (estimate(weight, loss_over(n), 1) for n in (10, 4_000_000))
    assert large.megabytes - small.megabytes > 4 * 4_000_000 / 2**20


@pytest.mark.parametrize(("seconds", "text"), [(30, "30 s"), (600, "10 min"), (3 * 3600, "3.0 h")])
def test_estimate_in_words(seconds, text):
    assert str(Estimate(seconds, 512)) == f"about {text}, 512 MB"


def test_threads_are_used_and_given_back():
    assert torch.get_num_threads() == 1
    seen = []

    def look(weight, step):
        seen.append(torch.get_num_threads())
        return weight

    train(Scalar(look), sets(), config(threads=2))
    assert set(seen) == {2}
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
