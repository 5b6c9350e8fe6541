"""Each arm of the ablation differs in one part from the default or another arm."""

import operator

import numpy as np
import pytest

from distembed.benchmarks.ablation import BENCH, TASKS
from distembed.data.synthetic.gaussians import Gaussians
from distembed.registry import split_member

FULL = BENCH.scales["full"]
TRAIN = Gaussians.prior(3, 2, 10)


def parts(arm):
    """The parts of an arm as plain members."""
    spec = arm.model(FULL.latent).spec.resolved(TRAIN)
    members = (spec.encoder, spec.generator, spec.conditioning)
    return [split_member(member, "member") for member in members]


def test_an_arm_differs_in_one_part_from_an_arm_before_it():
    members = [parts(arm) for arm in FULL.arms]
    assert FULL.arms[0].label == "gde"
    for k, arm in enumerate(FULL.arms[1:], 1):
        differ = [sum(map(operator.ne, members[k], before)) for before in members[:k]]
        assert min(differ) == 1, arm.label


def test_parts_that_are_removed_are_absent():
    networks = {
        arm.label: arm.model(FULL.latent).spec.resolved(TRAIN).build((2,), 0) for arm in FULL.arms
    }
    size = {
        label: sum(p.numel() for p in network.parameters()) for label, network in networks.items()
    }
    assert size["no_learned_part"] < size["gde"]
    assert size["gde"] < size["base_network"]
    assert size["shrinkage_linear"] < size["gde"]
    assert not list(networks["no_learned_part"].encoder.parameters())
    assert not list(networks["conditioning_none"].conditioning.parameters())
    assert networks["conditioning_none"].conditioning.outputs == FULL.latent
    assert networks["conditioning_size"].conditioning.outputs == FULL.latent + 1


def test_the_truth_of_ladder_b_is_a_matrix_of_distances():
    data = TASKS["ladder_b"].data(BENCH.scales["tiny"], 0)
    assert (len(data.train), len(data.test)) == (24, 8)
    assert (data.w2 == data.w2.T).all()
    assert not data.w2.diagonal().any()
    assert (data.w2[~np.eye(8, dtype=bool)] > 0).all()


def test_no_scan_is_in_training_and_held_out_sets():
    pytest.importorskip("sklearn")
    data = TASKS["digits"].data(BENCH.scales["tiny"], 0)
    train, test = (
        {image.tobytes() for image in sets.batch(range(len(sets))).x.numpy()}
        for sets in (data.train, data.test)
    )
    assert train
    assert not train & test


@pytest.mark.slow
def test_the_rows(cells):
    values = {(m, k) for _, m, k in cells("ablation")}
    arms = {arm.label for arm in BENCH.scales["tiny"].arms}
    assert {k for _, k in values} == {"spearman_w2", "energy_unbiased", "w2_debiased"}
    references = {"untrained", "mean_cov", "pooled", "floor"}
    assert {m for m, k in values if k == "energy_unbiased"} == arms | references
    assert {m for m, k in values if k == "spearman_w2"} >= arms | {"untrained"}


def test_patients_are_held_out_whole(data_dir, monkeypatch):
    monkeypatch.setenv("DISTEMBED_DATA", str(data_dir))
    assert TASKS["kidney"].missing() is None
    data = TASKS["kidney"].data(FULL, 0)
    assert not set(data.train.ids) & set(data.test.ids)
    assert min(data.test.sizes) > 1
