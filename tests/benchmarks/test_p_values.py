"""Two-sample tests of others on cases that are known, and the pairs that the bench compares."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from distembed.benchmarks.neighbours import SETS, pairs_of_groups
from distembed.benchmarks.p_values import (
    classifier,
    energy_kernel,
    gaussian_kernel,
    label_permutation,
)
from distembed.benchmarks.two_sample import BENCH, TASKS, discoveries

FULL = BENCH.scales["full"]


@pytest.mark.slow
def test_the_rows(cells):
    pytest.importorskip("matplotlib")
    values = cells("tests")
    assert {m for _, m, _ in values} == {*FULL.groups, "gde_stored"}
    shares = [v for (_, _, k), v in values.items() if not k.startswith("seconds")]
    assert all(0 <= v <= 1 for v in shares)
    assert ("shape_m20", "gde_permutation", "size") in values
    assert ("shape_m30", "gde_permutation", "size") not in values  # permuted in small sets only
    stored, whole = (values["shape", m, "seconds_1000_pairs"] for m in ("gde_stored", "gde"))
    assert stored < whole


def test_pairs_are_nulls_and_alternatives():
    pairs = pairs_of_groups(2)
    side = pairs % SETS // 3
    assert (side[:, 0, :, 0] == side[:, 0, :, 1]).all()
    assert (side[:, 1, :, 0] != side[:, 1, :, 1]).all()
    assert (pairs // SETS == np.arange(2)[:, None, None, None]).all()
    assert all(len(np.unique(np.sort(p, 1), axis=0)) == 6 for group in pairs for p in group)


@pytest.mark.parametrize("name", list(TASKS))
def test_neighbours_differ_in_what_the_task_says(name):
    settings = replace(FULL, train_sets=2, groups={"gde": 3})
    _, (one, other) = TASKS[name].data(settings, 0)
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


@pytest.mark.parametrize("kernel", [gaussian_kernel, energy_kernel], ids=["mmd", "energy"])
def test_label_permutations_are_uniform_under_the_null_and_detect_a_shift(kernel):
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(200, 20, 2, generator=rng)
    x[100:] += 3
    nulls = np.arange(100).reshape(50, 2)
    p = label_permutation(kernel, 99, x, nulls, rng)
    assert p.mean() == pytest.approx(0.5, abs=4 * (1 / 12 / 50) ** 0.5)
    far = np.stack([np.arange(20), 100 + np.arange(20)], 1)
    assert (label_permutation(kernel, 99, x, far, rng) == 0.01).all()


def test_the_classifier_rejects_distributions_that_differ():
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(400, 40, 2, generator=rng)
    nulls = np.arange(400).reshape(200, 2)
    size = (classifier(x, nulls) <= 0.05).mean()
    assert size <= 0.05 + 3 * (0.05 * 0.95 / 200) ** 0.5  # a discrete p-value lies above
    x[1] += 5
    # 40 hits of 40
    assert classifier(x, np.array([[0, 1]]))[0] == pytest.approx(0.5**40, rel=1e-6)


def test_discoveries_are_counted():
    p = np.ones((5, 2, 6))
    p[:, 1, :3] = 0
    p[0, 0, 0] = 0
    false, share = discoveries(p)
    assert false == pytest.approx(1 / 16)
    assert share == 0.5
