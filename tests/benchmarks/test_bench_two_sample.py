"""The bench of tests in tiny form, and its rivals on cases that are known."""

import json

import numpy as np
import pytest
import torch

from distembed.benchmarks import two_sample as twosample
from distembed.benchmarks.rivals import c2st, energy, mmd, relabelled
from distembed.benchmarks.table import tabulate
from distembed.benchmarks.two_sample import TASKS, bench, discoveries

# a few steps teach a generator nothing, and training says so
pytestmark = pytest.mark.filterwarnings("ignore:The generator:UserWarning")


@pytest.fixture
def tiny(monkeypatch):
    few = {"steps": 2, "every": 2, "warmup": 1, "batch": 4, "target": 4, "context": (8, 16)}
    config = twosample.CONFIG.model_copy(update=few)
    monkeypatch.setattr(twosample, "CONFIG", config)
    for name, value in (("TRAIN_SETS", 40), ("LATENT", 8), ("SIZES", (20, 30)), ("FEW", 20)):
        monkeypatch.setattr(twosample, name, value)
    monkeypatch.setattr(twosample, "GROUPS", dict.fromkeys(twosample.GROUPS, 5))
    counts = dict.fromkeys(twosample.PERMUTATIONS, 19)
    monkeypatch.setattr(twosample, "PERMUTATIONS", counts)
    monkeypatch.setattr(twosample, "TIMED", 8)


def test_the_record(tiny, tmp_path):
    pytest.importorskip("matplotlib")
    said = []
    result = bench(seeds=1, tasks=["shape"], plots=tmp_path, log=said.append)
    cells = {(r["method"], r["metric"], r["task"]): r["value"] for r in result["rows"]}
    assert len(cells) == len(result["rows"])
    assert {m for m, _, _ in cells} == {*twosample.GROUPS, "gde_stored"}
    assert all(np.isfinite(v) for v in cells.values())
    shares = [v for (_, k, _), v in cells.items() if not k.startswith("seconds")]
    assert all(0 <= v <= 1 for v in shares)
    assert ("gde_permutation", "size", "shape_m20") in cells
    assert ("gde_permutation", "size", "shape_m30") not in cells  # asked up to FEW atoms
    stored, whole = (cells[m, "seconds_1000_pairs", "shape"] for m in ("gde_stored", "gde"))
    assert stored < whole
    assert (tmp_path / "tests_power.svg").exists()
    json.dumps(result, allow_nan=False)
    assert "| gde_permutation |" in tabulate([result])


def test_pairs_are_nulls_and_alternatives():
    pairs = twosample._pairs(2)
    side = pairs % twosample.BOTH // 3
    assert (side[:, 0, :, 0] == side[:, 0, :, 1]).all()
    assert (side[:, 1, :, 0] != side[:, 1, :, 1]).all()
    assert (pairs // twosample.BOTH == np.arange(2)[:, None, None, None]).all()
    assert all(len(np.unique(np.sort(p, 1), axis=0)) == 6 for group in pairs for p in group)


@pytest.mark.parametrize("name", list(TASKS))
def test_neighbours_differ_in_what_the_task_says(name):
    one, other = TASKS[name].pair(3, 0)
    index = torch.arange(3)
    draws = [
        d.draw(index, 40_000, torch.Generator().manual_seed(0)).double() for d in (one, other)
    ]
    means = [x.mean(1) for x in draws]
    covs = [torch.stack([torch.cov(part.T) for part in x]) for x in draws]
    # 40,000 atoms know a mean to 0.005 deviations and a covariance to 0.007; shapes that are
    # whitened have deviation one
    unit = covs[0].diagonal(dim1=1, dim2=2).mean().sqrt()
    moved = (means[0] - means[1]).abs().max() / unit
    turned = (covs[0] - covs[1]).abs().max() / unit**2
    assert bool(moved > 0.05) == (name == "location")
    assert bool(turned > 0.06) == (name == "covariance")


@pytest.mark.parametrize("kernel", [mmd, energy], ids=["mmd", "energy"])
def test_relabelling_is_uniform_under_the_null_and_sees_a_shift(kernel):
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(200, 20, 2, generator=rng)
    x[100:] += 3
    nulls = np.arange(100).reshape(50, 2)
    p = relabelled(kernel, 99, x, nulls, rng)
    assert p.mean() == pytest.approx(0.5, abs=4 * (1 / 12 / 50) ** 0.5)
    far = np.stack([np.arange(20), 100 + np.arange(20)], 1)
    assert (relabelled(kernel, 99, x, far, rng) == 0.01).all()


def test_neighbours_tell_apart_what_is_apart():
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(400, 40, 2, generator=rng)
    nulls = np.arange(400).reshape(200, 2)
    size = (c2st(x, nulls) <= 0.05).mean()
    assert size <= 0.05 + 3 * (0.05 * 0.95 / 200) ** 0.5  # a discrete p-value lies above
    x[1] += 5
    # 40 hits of 40
    assert c2st(x, np.array([[0, 1]]))[0] == pytest.approx(0.5**40, rel=1e-6)


def test_discoveries_are_counted():
    p = np.ones((5, 2, 6))
    p[:, 1, :3] = 0
    p[0, 0, 0] = 0
    false, found = discoveries(p)
    assert false == pytest.approx(1 / 16)
    assert found == 0.5
