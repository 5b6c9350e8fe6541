"""A killed run goes on as if it had not been, and no other run takes its place."""

import contextlib
import errno
import json
import os

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn
from training_fakes import Killed, Scalar, config, sets, train

from distembed.training.log import RunLog


class Noisy(nn.Module):
    """A small network whose loss reads the atoms, the index, the noise and a running mean."""

    def __init__(self, width=5, dies_at=None, offset=1.0):
        super().__init__()
        torch.manual_seed(3)
        self.net = nn.Sequential(nn.Linear(2, width), nn.SiLU(), nn.Linear(width, 2))
        self.offset = nn.Parameter(torch.full((2,), offset), requires_grad=False)
        self.register_buffer("running", torch.zeros(2))
        self.dies_at, self.trained = dies_at, []

    def forward(self, step):
        if torch.is_grad_enabled():
            self.trained.append(step.number)
            if step.number == self.dies_at:
                raise Killed
            self.running.lerp_(step.context.x.mean(0), 0.1)
        noise = torch.randn(2, generator=step.rng)
        out = self.net(step.context.mean(step.context.x) + 0.1 * noise)
        target = step.target.mean(step.target.x) + self.running + self.offset + step.index[:, None]
        return (out - target).square().mean(1)


def run(module, path=None, held_out=(0, 1), data=None, **settings):
    return train(
        module,
        data or sets(),
        config(**{"every": 3, "steps": 9, **settings}),
        held_out=held_out,
        checkpoint=path,
    )


def numbers(history):
    return [{k: v for k, v in record.items() if k != "seconds"} for record in history]


def assert_same(one, other):
    states = one.state_dict(), other.state_dict()
    assert states[0].keys() == states[1].keys()
    for name, value in states[0].items():
        assert value.equal(states[1][name]), name


def kill(path, at, **settings):
    """Begin a run whose process dies in the loss of a step."""
    with pytest.raises(Killed):
        run(Noisy(dies_at=at), path, **settings)


@pytest.mark.parametrize("at", [3, 4, 7, 8])
def test_a_killed_run_resumes_exactly(tmp_path, at):
    straight = Noisy()
    history = run(straight)
    path = tmp_path / "run.ckpt"
    kill(path, at)
    assert path.exists()
    resumed = Noisy()
    with torch.no_grad():  # a new process has other weights before it loads the checkpoint
        for p in resumed.net.parameters():
            p.fill_(9)
    assert numbers(run(resumed, path)) == numbers(history)
    assert_same(resumed, straight)
    assert resumed.trained == list(range(at - at % 3, 9)), "steps before the checkpoint are kept"


def test_killed_before_its_first_checkpoint_it_begins_again(tmp_path):
    path = tmp_path / "run.ckpt"
    kill(path, 2)
    assert not path.exists()
    straight, again = Noisy(), Noisy()
    assert numbers(run(again, path)) == numbers(run(straight))
    assert_same(again, straight)


def test_killed_while_it_saves_the_last_checkpoint_is_whole(tmp_path, monkeypatch):
    straight = Noisy()
    run(straight)
    path = tmp_path / "run.ckpt"
    replace, calls = os.replace, []

    def dies(source, target):
        calls.append(target)
        if len(calls) == 2:
            raise Killed
        replace(source, target)

    monkeypatch.setattr(os, "replace", dies)
    with pytest.raises(Killed):
        run(Noisy(), path)
    monkeypatch.undo()
    assert len(calls) == 2
    resumed = Noisy()
    run(resumed, path)
    assert resumed.trained == list(range(3, 9))
    assert_same(resumed, straight)
    assert [f.name for f in tmp_path.iterdir()] == ["run.ckpt"]


def test_a_finished_run_is_not_run_again(tmp_path):
    first, second = Noisy(), Noisy()
    history = run(first, tmp_path / "run.ckpt")
    assert run(second, tmp_path / "run.ckpt") == history
    assert second.trained == []
    assert_same(first, second)


def test_a_run_that_stopped_early_stays_stopped(tmp_path):
    def loss(weight, step):
        held = torch.isin(step.index, torch.tensor([0, 1]))
        return torch.where(held, (weight - 0.05) ** 2, -weight)

    settings = {"steps": 50, "every": 1, "lr": 0.01, "warmup": 0, "ema": 0, "patience": 3}
    first, second = Scalar(loss), Scalar(loss)
    history = run(first, tmp_path / "run.ckpt", **settings)
    assert history[-1]["step"] < 20
    assert numbers(run(second, tmp_path / "run.ckpt", **settings)) == numbers(history)
    assert_same(first, second)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("seed", 1),
        ("lr", 0.5),
        ("steps", 12),
        ("context", (2, 5)),
        ("target", 3),
        ("batch", 3),
        ("ema", 0.5),
        ("weight_decay", 0.3),
        ("clip", 2.0),
        ("every", 1),
    ],
)
def test_another_setting_is_refused_by_name(tmp_path, setting, value):
    path = tmp_path / "run.ckpt"
    run(Noisy(), path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=rf"another .*\b{setting}\b") as error:
        run(Noisy(), path, **{setting: value})
    assert str(path) in str(error.value)
    assert path.read_bytes() == before


def test_where_it_runs_may_change(tmp_path):
    path = tmp_path / "run.ckpt"
    kill(path, 4)
    run(Noisy(), path, device="cpu", threads=1)


def test_another_model_is_refused(tmp_path):
    run(Noisy(), tmp_path / "run.ckpt")
    with pytest.raises(ValueError, match="another model"):
        run(Noisy(width=6), tmp_path / "run.ckpt")


def test_other_frozen_weights_are_refused(tmp_path):
    run(Noisy(), tmp_path / "run.ckpt")
    with pytest.raises(ValueError, match="another frozen weights"):
        run(Noisy(offset=2.0), tmp_path / "run.ckpt")


@pytest.mark.parametrize(
    "other", [sets(count=11), sets(size=21), sets(seed=1)], ids=["sets", "atoms", "values"]
)
def test_other_data_are_refused(tmp_path, other):
    run(Noisy(), tmp_path / "run.ckpt")
    with pytest.raises(ValueError, match="another .*(data|number of)"):
        run(Noisy(), tmp_path / "run.ckpt", data=other)


def test_another_choice_of_sets_is_refused(tmp_path):
    run(Noisy(), tmp_path / "run.ckpt", held_out=(0, 1))
    with pytest.raises(ValueError, match="belongs to a run with another"):
        run(Noisy(), tmp_path / "run.ckpt", held_out=(8, 9))


@pytest.mark.parametrize("keep", [0, 5, 100, -1])
def test_a_damaged_file_is_refused(tmp_path, keep):
    path = tmp_path / "run.ckpt"
    run(Noisy(), path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"run\.ckpt is damaged .*delete it"):
        run(Noisy(), path)


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path):
    path = tmp_path / "model.safetensors"
    save_file({"weights.net.0.weight": torch.zeros(5, 2)}, path)
    with pytest.raises(ValueError, match=r"model\.safetensors"):
        run(Noisy(), path)


def test_the_folder_is_made(tmp_path):
    run(Noisy(), tmp_path / "deep" / "er" / "run.ckpt")
    assert (tmp_path / "deep" / "er" / "run.ckpt").is_file()


def edited(path, **texts):
    """Write a checkpoint whose header has other texts."""
    with safe_open(path, framework="pt") as file:
        header = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}
    save_file(tensors, path, metadata={**header, **texts})


@pytest.mark.parametrize("key", ["state", "config"])
@pytest.mark.parametrize(
    "text", ["", "{", "null", "[1]", "[" * 100_000, '{"step": "x"}', '{"history": [1]}']
)
def test_a_damaged_header_is_refused(tmp_path, key, text):
    path = tmp_path / "run.ckpt"
    run(Noisy(), path)
    edited(path, **{key: text})
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"run\.ckpt (is damaged|belongs to a run)"):
        run(Noisy(), path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("defect", ["missing", "shape"])
def test_damaged_tensors_are_refused(tmp_path, defect):
    path = tmp_path / "run.ckpt"
    run(Noisy(), path)
    with safe_open(path, framework="pt") as file:
        header = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}
    name = "average.net.0.weight"
    tensors[name] = tensors[name][:1]
    if defect == "missing":
        del tensors[name]
    save_file(tensors, path, metadata=header)
    with pytest.raises(ValueError, match=r"run\.ckpt is damaged .*average\.net\.0\.weight"):
        run(Noisy(), path)


def test_a_full_disk_leaves_the_checkpoint_before(tmp_path, monkeypatch):
    straight = Noisy()
    run(straight)
    path, fsync, calls = tmp_path / "run.ckpt", os.fsync, []

    def full(descriptor):
        calls.append(descriptor)
        if len(calls) > 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left on device.*Free space.*run\.ckpt"):
        run(Noisy(), path)
    monkeypatch.undo()
    assert [f.name for f in tmp_path.iterdir()] == ["run.ckpt"]
    resumed = Noisy()
    run(resumed, path)
    assert resumed.trained == list(range(3, 9))
    assert_same(resumed, straight)


def test_a_folder_that_disappears_is_an_error_and_no_new_folder(tmp_path):
    drive = tmp_path / "drive"

    class Unplugged(Noisy):
        def forward(self, step):
            if torch.is_grad_enabled() and step.number == 4:
                drive.rename(tmp_path / "elsewhere")
            return super().forward(step)

    with pytest.raises(FileNotFoundError, match="restore the folder"):
        run(Unplugged(), drive / "run.ckpt")
    assert not drive.exists()
    (tmp_path / "elsewhere").rename(drive)
    resumed, straight = Noisy(), Noisy()
    run(resumed, drive / "run.ckpt")
    run(straight)
    assert resumed.trained == list(range(3, 9))
    assert_same(resumed, straight)


def test_every_frozen_weight_counts(tmp_path):
    class Pretrained(Noisy):
        def __init__(self, last):
            super().__init__()
            self.frozen = nn.Linear(50, 50).requires_grad_(False)
            self.frozen.register_buffer("table", torch.zeros(30))
            with torch.no_grad():
                self.frozen.weight.fill_(1).view(-1)[-1] = last
                self.frozen.table[-1] = last

    path = tmp_path / "run.ckpt"
    run(Pretrained(1.0), path)
    run(Pretrained(1.0), path)
    with pytest.raises(ValueError, match="another frozen weights"):
        run(Pretrained(2.0), path)
    with safe_open(path, framework="pt") as file:
        assert not [name for name in file.keys() if "frozen" in name]


def test_records_after_the_checkpoint_are_written_once(tmp_path):
    path, file = tmp_path / "run.ckpt", tmp_path / "run.jsonl"
    file.write_text('{"step": 99, "of": 1}\n')  # of another run
    log = RunLog(9, progress=False, file=file)
    for module in (Noisy(dies_at=4), Noisy()):
        with contextlib.suppress(Killed):
            train(
                module, sets(), config(every=3, steps=9), held_out=(0, 1), checkpoint=path, log=log
            )
        if module.dies_at:  # what a process leaves that is killed between record and checkpoint
            with file.open("a") as out:
                out.write('{"step": 6, "loss": 7}\n{"step": 9, "lo')
    records = [json.loads(line) for line in file.read_text().splitlines()]
    assert [r["step"] for r in records] == [99, 0, 3, 6, 9]
    assert records[3].get("loss") != 7
