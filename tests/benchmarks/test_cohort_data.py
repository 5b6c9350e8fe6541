"""Cohorts of the bench: labels, groups and thinning; the simulated one by its moments."""

import os

import numpy as np
import pytest

from distembed.benchmarks.cohort_data import COHORTS

pytest.importorskip("sklearn")


def cohort(name):
    folder = COHORTS[name].folder
    if folder is not None and "DISTEMBED_DATA" not in os.environ:
        pytest.skip("DISTEMBED_DATA is unset")
    return COHORTS[name].read(20, 0)


@pytest.mark.parametrize("name", COHORTS)
def test_a_cohort_has_a_label_and_a_group_for_every_set(name):
    data = cohort(name)
    assert data.target.shape == data.sets.ids.shape
    assert data.classes or np.isfinite(data.target.astype(float)).all()
    if data.groups is not None:
        assert data.groups.shape == data.target.shape
        assert len(np.unique(data.groups)) >= (data.folds or 5)
    # no label is a function of the number of atoms alone
    assert data.sets.sizes.max() > 1


def test_the_classes_of_third_moment_differ_in_the_third_moment_alone():
    data = COHORTS["third_moment"].read(20, 0)
    x = data.sets.batch(range(len(data.sets))).x.numpy().reshape(-1, 20, 5)
    right = data.target == "right"
    centred = x - x.mean(1, keepdims=True)
    skewness = (centred**3).mean(1) / (centred**2).mean(1) ** 1.5
    # the standard error of a mean over 100 sets of 5 coordinates is at most 0.55 / sqrt(500)
    assert skewness[right].mean() > 0.4
    assert skewness[~right].mean() < -0.4
    for moment in (x.mean(1), np.log(x.var(1))):
        gap = moment[right].mean(0) - moment[~right].mean(0)
        error = np.sqrt(
            moment[right].var(0) / right.sum() + moment[~right].var(0) / (~right).sum()
        )
        assert (np.abs(gap) < 4 * error).all()


def test_thinning_keeps_classes_even_and_labels_with_their_sets():
    data = COHORTS["third_moment"].read(20, 0)
    thin = data.thinned(31, np.random.default_rng(0))
    assert len(thin.sets) == 31
    counts = np.unique(thin.target, return_counts=True)[1]
    assert abs(counts[0] - counts[1]) == 1
    label = dict(zip(data.sets.ids, data.target, strict=True))
    assert [label[i] for i in thin.sets.ids] == thin.target.tolist()


def test_mixtures_share_no_drawer_between_folds():
    data = cohort("omniglot_mixture")
    images = data.sets.batch(range(len(data.sets)))
    owner = np.repeat(data.groups, data.sets.sizes)
    flat = images.x.flatten(1).numpy()
    keys = {}
    for image, group in zip(flat, owner, strict=True):
        keys.setdefault(image.tobytes(), set()).add(group)
    shared = sum(len(groups) > 1 for groups in keys.values())
    assert shared == 0
