"""Colours, planes and mosaics: what is computed before anything is drawn."""

import base64
import importlib.machinery
import io
import sys
import types

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distembed.report.colour import colouring, hex_rgb
from distembed.report.column import choose_column, skill
from distembed.report.levels import kind_of
from distembed.report.mosaic import as_images, data_uri, mosaic, tone_of
from distembed.report.plane import pca_plane, principal_frame, spread_along, umap_plane
from distembed.report.style import OKABE_ITO, PETROFF, SEQUENTIAL


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


# -- colour -------------------------------------------------------------------------------------


@given(st.lists(st.sampled_from(["a", "b", "c", "", None, float("nan")]), min_size=1))
def test_equal_values_have_equal_colours_and_others_do_not(values):
    result = colouring("column", np.array(values, dtype=object))
    shades = {}
    for value, code, color in zip(values, result.codes, result.colors, strict=True):
        missing = value in ("", None) or value != value
        shades.setdefault("missing" if missing else value, set()).add((code, tuple(color)))
        assert result.levels[code].label == ("missing" if missing else value)
    assert all(len(v) == 1 for v in shades.values())
    assert len({next(iter(v)) for v in shades.values()}) == len(shades)
    assert sum(level.count for level in result.levels) == len(values)


def test_beyond_ten_categories_the_rare_ones_share_a_colour():
    names = np.repeat([f"k{i:02d}" for i in range(14)], np.arange(14, 0, -1))
    result = colouring("column", names)
    assert [level.label for level in result.levels] == [f"k{i:02d}" for i in range(9)] + ["other"]
    assert result.levels[-1].count == sum(range(1, 6))


def test_palettes_have_no_colour_twice():
    for palette in (OKABE_ITO, PETROFF, SEQUENTIAL):
        shades = np.array([hex_rgb(c) for c in palette])
        gaps = np.linalg.norm(shades[:, None] - shades, axis=-1) + np.eye(len(shades))
        assert gaps.min() > 0.1


def test_numbers_are_a_scale_and_few_whole_numbers_are_groups():
    assert colouring("age", normal(40)).range is not None
    assert colouring("arm", np.arange(40) % 3).range is None
    assert [lv.label for lv in colouring("day", np.array([10, 9, 9, 2])).levels] == [
        "2",
        "9",
        "10",
    ]


def test_a_missing_number_is_grey_and_in_the_legend():
    values = normal(50)
    values[3] = np.nan
    result = colouring("age", values)
    assert [level.label for level in result.levels] == ["missing"]
    assert np.ptp(result.colors[3]) < 0.1
    assert result.range == tuple(np.percentile(np.delete(values, 3), [2, 98]))


def test_skill_is_one_for_what_neighbours_share_and_zero_for_noise():
    z = normal(200, 3)
    z[:100] += 20
    side = np.repeat(["left", "right"], 100)
    assert skill(z, side) == pytest.approx(1)
    assert skill(z, z[:, 0] + 0.0) > 0.9
    shuffled = np.random.default_rng(1).permutation(side)
    # Agreement of 2000 neighbours: standard error 0.5 / sqrt(2000) over 1 - chance = 0.5, times 4.
    assert abs(skill(z, shuffled)) < 4 * 0.5 / np.sqrt(2000) / 0.5


def test_skill_does_not_depend_on_the_order_of_sets_nor_on_the_scale():
    z, values = normal(60, 2), normal(60, seed=3)
    order = np.random.default_rng(4).permutation(60)
    assert skill(z[order], values[order]) == pytest.approx(skill(z, values))
    assert skill(7 * z, np.exp(values)) == pytest.approx(skill(z, values))


@pytest.mark.parametrize("values", [["x"] * 40, [f"id{i}" for i in range(40)], [""] * 40])
def test_columns_that_say_nothing_have_no_skill(values):
    assert skill(normal(40, 2), np.array(values)) == 0


def test_the_most_informative_column_is_chosen():
    z = normal(90, 2)
    z[:45] += 10
    meta = {"noise": normal(90, seed=5), "site": np.repeat(["a", "b"], 45)}
    sizes = np.arange(90)
    assert choose_column(z, meta, sizes).name == "site"
    assert choose_column(z, {"noise": meta["noise"]}, sizes).name == "number of atoms"
    assert choose_column(z, {}, sizes).name == "number of atoms"
    assert choose_column(z, meta, sizes, "noise").values is meta["noise"]
    with pytest.raises(ValueError, match="'sex' to colour by; there are: noise, site, size"):
        choose_column(z, meta, sizes, "sex")


def test_mixtures_are_coloured_by_their_largest_component():
    weights = np.array([[0.7, 0.3, 0.0], [0.2, 0.2, 0.6], [0.1, 0.9, 0.0]])
    meta = {f"weight_{name}": weights[:, k] for k, name in enumerate("abc")}
    result = choose_column(normal(3, 2), meta, np.ones(3))
    assert result.values.tolist() == ["a", "c", "b"]
    # components are names, even where these are numerals, as the digits of the demo
    digits = {f"weight_{name}": weights[:, k] for k, name in enumerate("012")}
    named = choose_column(normal(3, 2), digits, np.ones(3))
    assert (named.kind, kind_of(named.values)) == ("categorical", "ordered")
    colours = [level.color for level in colouring("", named.values, named.kind).levels]
    assert set(colours) <= set(OKABE_ITO)
    meta["weight_a"] = meta["weight_a"] + 0.5
    assert choose_column(normal(3, 2), meta, np.ones(3)).name == "number of atoms"


# -- plane --------------------------------------------------------------------------------------


def test_a_plane_keeps_the_distances_of_points_that_lie_in_one():
    flat = normal(30, 2)
    basis, _ = np.linalg.qr(normal(6, 2, seed=1))
    points = pca_plane(flat @ basis.T + 5).points
    gaps = np.linalg.norm(flat[:, None] - flat, axis=-1)
    np.testing.assert_allclose(np.linalg.norm(points[:, None] - points, axis=-1), gaps, atol=1e-9)


def test_the_first_axis_has_the_largest_variance_and_its_share_is_printed():
    z = normal(500, 4) * [1, 5, 1, 1]
    plane = pca_plane(z)
    assert plane.points[:, 0].var() == pytest.approx(
        np.linalg.eigvalsh(np.cov(z.T, bias=True)).max()
    )
    share = np.linalg.eigvalsh(np.cov(z.T)).max() / np.trace(np.cov(z.T))
    assert plane.axes[0] == f"PC 1 ({share:.0%})"


@pytest.mark.parametrize("shape", [(1, 3), (5, 1), (2, 7)])
def test_few_sets_and_one_dimension_have_a_plane_too(shape):
    points = pca_plane(normal(*shape)).points
    assert points.shape == (shape[0], 2)
    assert np.isfinite(points).all()


def test_constant_embeddings_lie_in_one_point():
    assert not principal_frame(np.ones((4, 3))).project(np.ones((4, 3))).any()


def test_shown_sets_are_spread_over_the_first_axis():
    plane = pca_plane(normal(101, 3))
    first = plane.points[spread_along(plane.points, 5), 0]
    ranks = np.searchsorted(np.sort(plane.points[:, 0]), first)
    assert ranks.tolist() == [5, 27, 50, 72, 95]
    assert len(spread_along(pca_plane(normal(2, 3)).points, 4)) == 2


def test_umap_is_used_where_it_is_installed(monkeypatch):
    assert umap_plane(normal(3, 2)) is None
    fake = types.ModuleType("umap")
    fake.__spec__ = importlib.machinery.ModuleSpec("umap", None)
    fake.UMAP = lambda **_: types.SimpleNamespace(fit_transform=lambda z: z[:, :2])
    monkeypatch.setitem(sys.modules, "umap", fake)
    z = normal(20, 3)
    assert umap_plane(z).method == "UMAP"
    np.testing.assert_array_equal(umap_plane(z).points, z[:, :2])


# -- images -------------------------------------------------------------------------------------


def test_channels_move_to_the_end_and_a_single_one_goes():
    assert as_images(normal(2, 3, 8, 9)).shape == (2, 8, 9, 3)
    assert as_images(normal(2, 8, 9, 1)).shape == (2, 8, 9)
    x = normal(1, 3, 8, 9)
    np.testing.assert_array_equal(as_images(x)[0, :, :, 1], x[0, 1])
    np.testing.assert_allclose(as_images(normal(2, 5, 8, 9)), normal(2, 5, 8, 9).mean(1))
    with pytest.raises(ValueError, match=r"shape \(64,\).*channels x height x width"):
        as_images(normal(2, 64))


def test_large_images_are_reduced_and_keep_their_mean():
    x = normal(2, 192, 384)
    small = as_images(x)
    assert small.shape == (2, 48, 96)
    assert small.mean() == pytest.approx(x.mean())


def test_a_mosaic_holds_every_pixel_in_its_place():
    images = np.random.default_rng(0).uniform(size=(5, 4, 6))
    images[0, 0, :2] = 0, 1
    tone = tone_of(images)
    page = mosaic(images, 3, tone, width=21)
    assert page.shape == (4 + 1 + 4, 3 * 7 - 1, 4)
    grey = np.clip((images - tone.low) / (tone.high - tone.low), 0, 1) * 255
    np.testing.assert_allclose(page[5:, 7:13, 0], grey[4], atol=0.5)
    assert (page[:4, 14:, 3] == 255).all()
    assert not page[5:, 14:].any()  # the place of the sixth
    assert not page[4].any()  # the gap


def test_blank_paper_is_transparent_whichever_end_it_is():
    ink = np.zeros((20, 8, 8))
    ink[:, 3:5, 3:5] = 1
    dark, light = tone_of(ink), tone_of(1 - ink)
    assert (dark.paper, light.paper) == ("low", "high")
    np.testing.assert_array_equal(mosaic(ink, 4, dark), mosaic(1 - ink, 4, light))
    assert tone_of(normal(20, 8, 8)).paper == ""
    assert tone_of(np.full((2, 8, 8), 3.0)).high > 3


def test_a_data_uri_is_the_picture():
    image = pytest.importorskip("PIL.Image")
    page = np.random.default_rng(0).integers(0, 256, (7, 5, 4), dtype=np.uint8)
    head, code = data_uri(page).split(",")
    assert head == "data:image/png;base64"
    np.testing.assert_array_equal(np.asarray(image.open(io.BytesIO(base64.b64decode(code)))), page)


def test_labels_that_begin_with_a_number_are_in_the_order_of_numbers():
    values = [">60", "30-60", "<30", "10 nM", "2 nM", "dmso", "60"]
    labels = [level.label for level in colouring("dose", values).levels]
    assert labels == ["2 nM", "10 nM", "<30", "30-60", "60", ">60", "dmso"]
