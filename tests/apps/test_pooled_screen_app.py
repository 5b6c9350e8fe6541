"""Images of screens: masks, crops of tiles, held-out conditions, and interpolation."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from app_folders import tiles
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from distembed.apps.application import Case
from distembed.apps.pooled_screen.between import by_dose, by_vector
from distembed.apps.pooled_screen.data import data, read_screen
from distembed.apps.pooled_screen.judge import _axes, _conditions, _ratio_scores
from distembed.apps.pooled_screen.masks import nuclear_ratio, otsu
from distembed.apps.pooled_screen.tiles import read_tiles, tile_name
from distembed.apps.run import load
from distembed.sets.read import read

SETTINGS = replace(load("pooled_screen").scales["tiny"], side=16, fewest=2, test=0.4)


def cell(inside, outside, side=32, at=(16, 16), radius=6):
    y, x = np.ogrid[:side, :side]
    disc = (y - at[0]) ** 2 + (x - at[1]) ** 2 <= radius**2
    return np.stack([np.where(disc, 100.0, 5.0), np.where(disc, inside, outside)])


@given(st.floats(0, 200), st.floats(0, 200), st.integers(-3, 3))
def test_the_ratio_is_that_of_the_two_regions_wherever_the_nucleus_is(inside, outside, shift):
    image = cell(inside, outside, at=(16 + shift, 16 - shift))
    assert nuclear_ratio(image[None])[0] == pytest.approx((inside + 1) / (outside + 1))


def test_the_nucleus_in_the_middle_is_measured_and_not_its_neighbour():
    image = cell(50.0, 10.0)
    other = cell(200.0, 10.0, at=(3, 28), radius=3)
    image[:, :9, 22:] = other[:, :9, 22:]
    assert nuclear_ratio(image[None])[0] == pytest.approx(51 / 11)


def test_pixels_next_to_the_nucleus_are_of_neither_region():
    image = cell(50.0, 10.0)
    disc = image[1] == 50
    edge = ndimage.binary_dilation(disc) & ~disc
    image[1, edge] = 200
    assert nuclear_ratio(image[None])[0] == pytest.approx(51 / 11)


def test_an_image_without_a_nucleus_has_no_ratio():
    assert np.isnan(nuclear_ratio(np.zeros((1, 2, 16, 16)))).all()


def test_the_threshold_separates_two_levels():
    rng = np.random.default_rng(0)
    low, high = rng.normal(10, 1, 500), rng.normal(50, 1, 300)
    threshold = otsu(np.concatenate([low, high]))
    assert low.max() < threshold + 1
    assert threshold < high.min()


def test_crops_are_the_pixels_around_the_box_and_none_is_padded(tmp_path, caplog):
    pandas = pytest.importorskip("pandas")
    image = pytest.importorskip("PIL.Image")
    pixels = np.random.default_rng(0).integers(0, 60000, (4, 40, 50)).astype(np.uint16)
    frames = [image.fromarray(page) for page in pixels]
    frames[0].save(tmp_path / tile_name("A1", 7), save_all=True, append_images=frames[1:])
    boxes = np.array([[10, 12, 20, 22], [0, 0, 6, 6], [34, 40, 42, 48], [24, 30, 32, 42]])
    table = pandas.DataFrame(boxes, columns=[f"bounds_{i}" for i in range(4)])
    table = table.assign(plate="P", well="A1", tile=7, gene="g")
    x, rows = read_tiles(tmp_path, table, 8)
    assert rows.tolist() == [0, 3]
    np.testing.assert_array_equal(x[0], pixels[:2, 11:19, 13:21])
    np.testing.assert_array_equal(x[1], pixels[:2, 24:32, 32:40])
    assert "2 cells whose crop leaves its tile" in caplog.text
    with pytest.raises(ValueError, match=r"none of the 1 tiles.*Site-8\.tif"):
        read_tiles(tmp_path, table.assign(tile=8), 8)
    frames[0].save(tmp_path / tile_name("A1", 9))
    with pytest.raises(ValueError, match="has 1 pages, and 2 channels"):
        read_tiles(tmp_path, table.assign(tile=9), 8)


def test_a_pool_is_read_by_gene_and_well_and_whole_genes_are_held_out(tmp_path):
    train, test = data(tiles(tmp_path), SETTINGS)
    assert not set(train.meta["condition"]) & set(test.meta["condition"])
    assert "non-targeting" in train.meta["condition"]
    for sets in (train, test):
        x = sets.batch(range(len(sets))).x
        assert x.shape[1:] == (2, 16, 16)
        assert (sets.meta["control"] == (sets.meta["condition"] == "non-targeting")).all()
        assert "feature_cell_area" in sets.meta


def test_a_column_or_file_that_is_absent_is_named(tmp_path):
    pandas = pytest.importorskip("pandas")
    folder = tiles(tmp_path)
    path = folder / "interphase-reclassified_cp_phenotype_normalized.parquet"
    table = pandas.read_parquet(path)
    table.rename(columns={"bounds_2": "bound_2"}).to_parquet(path)
    with pytest.raises(ValueError, match=r"no column 'bounds_2'; close names are.*Funk et al"):
        read_screen(folder, SETTINGS)
    (folder / "gene_vectors.npz").unlink()
    with pytest.raises(ValueError, match=r"lacks gene_vectors\.npz"):
        read_screen(folder, SETTINGS)


def wells(doses, groups=None):
    sets = read([[[0.0], [1.0]]] * len(doses))
    return sets.with_meta({"dose": np.array(doses, float), "group": groups or ["a"] * len(doses)})


def test_interpolation_is_exact_for_vectors_that_are_linear_in_the_dose():
    sets = wells([0, 0, 2, 6, 6, 9, 4], ["a"] * 6 + ["b"])
    slope = np.array([2.0, -1.0])
    values = sets.meta["dose"][:, None] * slope
    side = by_dose(sets, 3.0, "a")
    assert [rows.tolist() for rows in side.wells] == [[2], [3, 4]]
    assert side.shares == (0.75, 0.25)
    np.testing.assert_allclose(side.between(values), 3 * slope)
    assert side.nearest.tolist() == [2]


@pytest.mark.parametrize("dose", [0.0, 9.0, 12.0])
def test_a_dose_at_an_end_is_refused(dose):
    with pytest.raises(ValueError, match="not between two training doses"):
        by_dose(wells([0, 2, 6, 9]), dose, "a")


def test_neighbours_of_a_gene_are_those_of_the_largest_cosine():
    vectors = {
        "A": np.array([1.0, 0.0]), "B": np.array([0.0, 3.0]), "C": np.array([9.0, 1.0]),
        "new": np.array([2.0, 0.1]),
    }  # fmt: skip
    sets = wells([0, 0, 0, 0]).with_meta({"condition": ["A", "B", "C", "control"]})
    values = np.array([[1.0], [2.0], [3.0], [0.0]])
    forecast, (side,) = by_vector(vectors, sets, values, np.array(["new"]))
    assert [rows.tolist() for rows in side.wells] == [[0], [2]]
    assert np.isfinite(forecast).all()


def test_more_wells_of_the_same_genes_choose_no_other_penalty():
    rng = np.random.default_rng(0)
    names = np.array([f"G{i}" for i in range(12)])
    vectors = {name: rng.normal(size=3) for name in [*names, "new"]}
    values = rng.normal(size=(12, 4))
    once, thrice = (
        by_vector(
            vectors, wells([0] * 12 * k).with_meta({"condition": np.tile(names, k)}),
            np.tile(values, (k, 1)), np.array(["new"]),
        )[0]
        for k in (1, 3)
    )  # fmt: skip
    np.testing.assert_allclose(once, thrice, atol=1e-9)


class Recorder:
    """A model that keeps what it embeds."""

    def __init__(self):
        self.embedded = []

    def embed(self, sets, covariance):
        self.embedded.append(sets)
        return SimpleNamespace(z=np.zeros((len(sets), 2)))

    def sample(self, z, n, seed):
        return np.ones((n, 2, 16, 16), np.float32)


def plate(sizes=(6, 9, 7, 12, 5, 8), doses=(0, 2, 3, 3, 4, 6)):
    """Wells whose cells differ in every pixel."""
    count = np.cumsum([0, *sizes])
    images = np.arange(count[-1], dtype=np.float32)[:, None, None, None] + np.zeros((2, 16, 16))
    sets = read([images[a:b] for a, b in zip(count[:-1], count[1:], strict=True)])
    doses = np.array(doses, float)
    sets = sets.with_meta({
        "dose": doses, "group": ["a"] * len(doses), "condition": [f"a {d:g}" for d in doses],
        "control": doses == 0,
    })  # fmt: skip
    return sets.select(doses != 3), sets.select(doses == 3)


def test_cells_that_are_encoded_do_not_judge():
    train, test = plate()
    model = Recorder()
    settings = replace(SETTINGS, draws=11)
    case = Case(None, settings, train, test, model, print)
    (condition,) = _conditions(case, np.zeros((len(train), 2)))
    (encoded,) = model.embedded
    first, second = (set(x[:, 0, 0, 0].tolist()) for x in (encoded.x.numpy(), condition.real))
    assert not first & second
    every = set(test.batch(range(len(test))).x[:, 0, 0, 0].tolist())
    assert first | second == every
    # half of each of the two wells of 7 and 12 cells
    assert sorted(encoded.sizes.tolist()) == [3, 6]
    assert set(condition.cells["floor"][:, 0, 0, 0].tolist()) == first
    sizes = {name: len(condition.equal(name)[0]) for name in condition.cells}
    assert set(sizes.values()) == {9}
    assert {len(condition.equal(name)[1]) for name in condition.cells} == {9}


def test_a_mixture_that_is_cut_short_keeps_its_proportions():
    train, test = plate(sizes=(6, 20, 7, 12, 20, 8))
    case = Case(None, replace(SETTINGS, draws=20), train, test, Recorder(), print)
    (condition,) = _conditions(case, np.zeros((len(train), 2)))
    cells, _ = condition.equal("mixture")
    assert len(cells) == 9  # half of the wells of 7 and 12 cells, fewer than are drawn
    # dose 3 is half-way between those of the wells of the cells 6 to 25, and 45 to 64
    lower = int((cells[:, 0, 0, 0] < 26).sum())
    assert lower in (4, 5)


def test_the_axes_of_images_do_not_depend_on_the_global_seed():
    train, test = plate()
    model = SimpleNamespace(atom_transform=lambda x: x)
    case = Case(None, SETTINGS, train, test, model, print)
    axes = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        axes.append(_axes(case, 2))
    assert torch.equal(*axes)


def test_the_ratio_of_a_condition_is_the_geometric_mean_over_its_cells():
    images = np.stack([cell(inside, 10.0) for inside in (10.0, 43.0, 175.0, 43.0)])
    condition = SimpleNamespace(
        name="drug 3", real=images, wells={"real": np.arange(4)},
        cells={"gde": images[:2], "none": np.zeros((3, 2, 32, 32))},
    )  # fmt: skip
    real, own = _ratio_scores(condition, 0)
    assert (real.method, real.task) == ("real", "ratio_drug_3")
    # ratios of 1, 4, 16 and 4
    assert real.value == pytest.approx(4)
    assert real.low < real.value < real.high
    assert own.value == pytest.approx(2)
    assert own.interval is None  # one forecast, however many cells are drawn of it


def test_cells_of_a_well_are_resampled_together():
    images = np.stack([cell(inside, 10.0) for inside in (10.0, 43.0, 175.0, 43.0)])
    copies = SimpleNamespace(
        name="drug 3", real=np.repeat(images, 5, 0), wells={"real": np.repeat(np.arange(4), 5)},
        cells={},
    )  # fmt: skip
    single = SimpleNamespace(name="drug 3", real=images, wells={"real": np.arange(4)}, cells={})
    assert next(_ratio_scores(copies, 0)).interval == pytest.approx(
        next(_ratio_scores(single, 0)).interval
    )


def test_the_well_of_a_cell_is_the_one_that_it_came_from():
    train, test = plate()
    case = Case(None, replace(SETTINGS, draws=11), train, test, Recorder(), print)
    (condition,) = _conditions(case, np.zeros((len(train), 2)))
    wells = [set(test.batch([s]).x[:, 0, 0, 0].tolist()) for s in range(2)]
    for method, images in (("real", condition.real), ("floor", condition.cells["floor"])):
        owner = condition.wells[method]
        assert len(owner) == len(images)
        for image, well in zip(images, owner, strict=True):
            assert image[0, 0, 0] in wells[well]
