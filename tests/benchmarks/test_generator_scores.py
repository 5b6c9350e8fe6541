"""Scores of the bench of generators: who takes part, and modes that are counted by hand."""

import math

import pytest
import torch

from distembed.batch import SetBatch
from distembed.benchmarks.generators import BENCH, TASKS, mode_scores
from distembed.data.synthetic.families import RING_WIDTH, rings
from distembed.generators import DEFAULT_GENERATORS, GENERATORS
from distembed.registry import applicable, split_member
from distembed.rng import stream

FULL = BENCH.scales["full"]


@pytest.mark.slow
def test_the_rows(cells):
    values = cells("generators")
    assert {m for t, m, _ in values if t == "counts_10d"} == {
        "gde", "explicit_gaussian", "explicit_nb", "untrained", "floor", "mean_cov"
    }  # fmt: skip
    gaussian = "gaussian_5d_scale01"
    assert {m for t, m, k in values if (t, k) == (gaussian, "w2")} == {
        "gde", "explicit_gaussian", "wormhole", "untrained", "floor", "floor_10", "mean_cov"
    }  # fmt: skip
    assert ("blobs", "explicit_gaussian", "w2_equal_seconds") in values
    assert ("blobs", "gde", "draw_seconds") in values
    assert not any("equal_seconds" in k for t, _, k in values if t != "blobs")
    assert values[gaussian, "gde", "paper_w2"] > 0


def test_every_generator_takes_part():
    members = {split_member(arm.generator, "generator")[0] for arm in FULL.arms}
    # images and sequences have benches of their own
    others = set(applicable(GENERATORS, "vectors")) - {DEFAULT_GENERATORS["vectors"]}
    assert members - {"auto"} == others
    for task in TASKS:
        assert [arm.label for arm in FULL.arms if arm.enters(task)][0] == "gde"


def test_modes_count_what_is_near_them():
    truth = rings(2, 1000, seed=5)
    floor = {s.metric: s.value for s in mode_scores("floor", truth.batch([0, 1]), truth)}
    # three deviations in the plane hold all but exp(-9 / 2) = 1.1 %, known to 1 / sqrt(2000)
    assert floor["bad_modes"] == 0
    share = math.exp(-9 / 2)
    assert floor["off_modes"] == pytest.approx(share, abs=5 * (share / 2000) ** 0.5)
    # a mode that is missing
    centres = truth.mean[:, :7].float()[:, torch.arange(1000) % 7]
    noise = RING_WIDTH * torch.randn(centres.shape, generator=stream("modes"))
    lost = SetBatch.from_dense(centres + noise)
    assert {s.metric: s.value for s in mode_scores("lost", lost, truth)}["bad_modes"] == 1
    # a disc covers the ring and none of its modes
    disc = SetBatch.from_dense(4 * torch.randn(2, 1000, 2, generator=stream("disc")))
    blurred = {s.metric: s.value for s in mode_scores("disc", disc, truth)}
    assert blurred["off_modes"] > 0.8
    assert blurred["bad_modes"] > 4
