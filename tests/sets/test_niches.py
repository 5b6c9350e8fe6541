"""Niches: the nearest cells of one section, named by their centre."""

import numpy as np
import pytest

from distembed.sets.kernel import Kernel
from distembed.sets.niches import niches
from distembed.sets.region import split_by_region

anndata = pytest.importorskip("anndata")
pandas = pytest.importorskip("pandas")


@pytest.fixture
def cells():
    rng = np.random.default_rng(0)
    obs = pandas.DataFrame(
        {"section": np.repeat(["s1", "s2"], 60), "type": rng.choice(["T", "B"], 120)},
        index=[f"cell{i}" for i in range(120)],
    )
    made = anndata.AnnData(np.arange(240.0).reshape(120, 2), obs=obs)
    made.obsm["spatial"] = rng.uniform(size=(120, 2))
    return made


def test_a_niche_is_the_nearest_cells_of_the_section(cells):
    sets = niches(cells, Kernel("nearest", 7), section="section", meta="type")
    assert sets.ids.tolist() == cells.obs_names.tolist()
    places, section = cells.obsm["spatial"], cells.obs["section"].to_numpy()
    for s in range(0, 120, 13):
        d = np.linalg.norm(places - places[s], axis=1) + np.where(section == section[s], 0, 9)
        rows = sets.rows[sets.offsets[s] : sets.offsets[s + 1]]
        assert sorted(rows.tolist()) == sorted(np.argsort(d)[:7].tolist())
    assert sets.meta["type"].tolist() == cells.obs["type"].tolist()
    assert sets.meta["section"].tolist() == section.tolist()


def test_drawn_centres_keep_their_own_metadata(cells):
    sets = niches(cells, Kernel("gaussian", 0.1), meta=["type"], anchors=30, min_size=1)
    assert len(sets) == 30
    assert sets.meta["type"].tolist() == cells.obs.loc[sets.ids, "type"].tolist()
    axes = np.stack([sets.meta["spatial0"], sets.meta["spatial1"]], 1)
    np.testing.assert_array_equal(
        axes, cells.obsm["spatial"][cells.obs_names.get_indexer(sets.ids)]
    )


def test_niches_are_divided_by_regions(cells):
    sets = niches(cells, Kernel("box", 0.05), min_size=1)
    with pytest.raises(ValueError, match="sets of the test part share atoms"):
        niches(cells).split(0.3)
    train, test = split_by_region(sets, ["spatial0", "spatial1"], 0.3, buffer=0.1)
    assert not len(np.intersect1d(train.rows, test.rows))


def test_what_is_missing_is_named(cells):
    with pytest.raises(ValueError, match="obsm has no 'places'; there is 'spatial'"):
        niches(cells, spatial="places")
    with pytest.raises(ValueError, match="no column of obs 'slide'"):
        niches(cells, section="slide")
