"""A process that is killed again and again ends with the bits of one that never was."""

import random
import time

import numpy as np
import pytest
import torch
from process_fakes import SECONDS, start

import distembed as de

# a kernel reads gradients of ragged sets from every atom, which two threads share
PARTS = {"encoder": {"name": "kernel"}, "latent": 8}
FIT = {"every": 10, "batch": 12, "context": (100, 400), "metric_steps": 2, "device": "cpu"}


def life(result, checkpoint, threads, steps):
    """Fit a model, saving its state after every step, and write its weights when it is done."""
    torch.set_num_threads(threads)
    rng = np.random.default_rng(0)
    atoms = [rng.normal(size=(m, 2)).astype(np.float32) for m in rng.integers(50, 500, 30)]
    seconds = 60 if checkpoint is None else 1e-9
    model = de.GDE(**PARTS).fit(
        atoms, steps=steps, threads=threads, checkpoint=checkpoint, checkpoint_seconds=seconds,
        progress=False, **FIT,
    )  # fmt: skip
    records = [{**r, "seconds": 0} for r in model.history]
    weights = {k: v.numpy() for k, v in model._fitted.network.state_dict().items()}
    partial = result.with_suffix(".partial.npz")
    np.savez(partial, records=np.array(repr(records)), **weights)
    partial.rename(result)


def stamp(path):
    return path.stat().st_ino if path.exists() else None


def killed(path, *arguments, delay):
    """Kill a life a moment after it has written a checkpoint; return whether it was alive."""
    before, process = stamp(path), start(life, *arguments)
    deadline = time.monotonic() + SECONDS
    while stamp(path) in (before, None) and process.is_alive() and time.monotonic() < deadline:
        time.sleep(0.002)
    time.sleep(delay)
    alive = process.is_alive()
    process.kill()
    process.join()
    return alive


def finished(*arguments):
    process = start(life, *arguments)
    process.join(SECONDS)
    assert process.exitcode == 0


def assert_killed_run_is_the_unbroken_one(folder, threads, steps, kills):
    straight, resumed = folder / "straight.npz", folder / "resumed.npz"
    path = folder / "checkpoints" / "run.ckpt"
    finished(straight, None, threads, steps)
    delays = random.Random(threads)
    count = sum(
        killed(path, resumed, path, threads, steps, delay=delays.uniform(0, 0.05))
        for _ in range(kills)
    )
    assert count == kills, f"a life ended before it was killed, after {count} of {kills}"
    assert not resumed.exists()
    finished(resumed, path, threads, steps)
    assert sorted(file.name for file in path.parent.iterdir()) == ["run.ckpt", "run.jsonl"]
    one, other = np.load(straight), np.load(resumed)
    assert one.files == other.files
    for name in one.files:
        assert one[name].tobytes() == other[name].tobytes(), name


def test_five_kills_at_two_threads(tmp_path):
    assert_killed_run_is_the_unbroken_one(tmp_path, threads=2, steps=40, kills=5)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("threads", [1, 2])
def test_fifty_kills(tmp_path, threads):
    assert_killed_run_is_the_unbroken_one(tmp_path, threads=threads, steps=600, kills=50)
