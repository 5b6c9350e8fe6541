"""Outcomes of applications whose sets are thinned to fewer atoms."""

import numpy as np
import pytest

pytest.importorskip("sklearn")

from distembed.benchmarks.applications import _fewer
from distembed.data.observations import Observations
from distembed.evaluation.cohort import Cohort
from distembed.sets.collection import Sets


def cohort(w):
    x = Observations(np.arange(9.0)[:, None])
    rows, offsets = np.array([8, 7, 6, 5, 4, 3, 2, 1, 0]), np.array([0, 2, 9])
    sets = Sets(x, rows, offsets, np.array(["a", "b"]), w, {"y": np.arange(2)}, group="y")
    return Cohort(sets, np.array([1.0, 2.0]), np.array(["g", "h"]), 2)


@pytest.mark.parametrize("weighted", [False, True])
def test_atoms_that_stay_keep_the_proportions_of_their_weights(weighted):
    mass = np.arange(1.0, 10.0)
    w = np.concatenate([mass[:2] / mass[:2].sum(), mass[2:] / mass[2:].sum()])
    thinned = _fewer(cohort(w if weighted else None), 4, 0)
    assert thinned.sets.sizes.tolist() == [2, 4]
    assert (thinned.groups.tolist(), thinned.folds, thinned.sets.group) == (["g", "h"], 2, "y")
    batch = thinned.sets.batch([0, 1])
    # row r has the mass 9 - r
    own = 9 - batch.x[2:, 0].numpy() if weighted else np.ones(4)
    np.testing.assert_allclose(batch.w[2:], own / own.sum(), rtol=1e-6)
    assert set(batch.x[2:, 0].tolist()) < set(range(7))
