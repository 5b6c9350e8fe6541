"""`distembed.plot` draws into the axes that it is given, with the numbers of the report."""

import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("matplotlib")

import matplotlib

matplotlib.use("agg")

import hypothesis.strategies as st
import torch
from hypothesis import given
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.text import Text
from report_fakes import GaussianModel, Listed, SequenceModel, calibration, sequence_sets, table

from distembed import plot
from distembed.data.spaces import Tokens
from distembed.geometry.distance import Calibration
from distembed.heads.calibration import reliability
from distembed.model.embeddings import Embeddings
from distembed.report.colour import colouring
from distembed.report.contributions import change_between
from distembed.report.plane import pca_plane


@pytest.fixture
def ax():
    return Figure().add_subplot()


@pytest.fixture
def axes():
    return tuple(Figure().subplots(1, 2))


@pytest.fixture(scope="module")
def cohort(gaussians):
    model, sets, evaluation = gaussians
    return model, sets, model.embed(sets), evaluation


def euclidean(points):
    return np.linalg.norm(points[:, None] - points, axis=-1)


# -- map ----------------------------------------------------------------------------------------


def test_a_map_shows_principal_components_in_the_colours_of_the_report(ax, cohort):
    _, _, table, _ = cohort
    assert plot.map(table, "site", ax=ax) is ax
    points = ax.collections[-1]
    np.testing.assert_allclose(points.get_offsets(), pca_plane(table.z).points)
    shades = colouring("site", table.meta["site"]).colors
    np.testing.assert_allclose(points.get_facecolors()[:, :3], shades)
    assert ax.get_title(loc="left") == "site"


def test_a_map_has_ellipses_of_sets_of_ten_atoms_unless_they_are_left_out(cohort):
    _, _, table, _ = cohort
    counts = []
    for ellipses in (True, False):
        ax = Figure().add_subplot()
        plot.map(table, "site", ellipses=ellipses, ax=ax)
        counts.append([len(c.get_offsets()) for c in ax.collections])
    large = (table.effective_sizes >= 10) & np.isfinite(table.cov).all((1, 2))
    assert counts == [[int(large.sum()), len(table)], [len(table)]]


def test_numbers_have_a_colour_bar_from_their_low_to_their_high_percentile(ax, cohort):
    _, _, table, _ = cohort
    plot.map(table, "age", ax=ax)
    (bar,) = [other for other in ax.figure.axes if other is not ax]
    assert bar.get_ylabel() == "age"
    low, high = np.percentile(table.meta["age"], [2, 98])
    np.testing.assert_allclose(bar.get_ylim(), (low, high))


def test_categories_without_labels_have_a_legend_with_their_counts(ax):
    plot.map(np.eye(4), ["a", "b", "a", "a"], labels=False, ax=ax)
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["a (3)", "b (1)"]
    assert not ax.texts


def test_more_than_ten_levels_have_a_legend_even_where_labels_are_asked_for(ax):
    plot.map(np.eye(24), [f"c{i % 12}" for i in range(23)] + [""], ax=ax)
    texts = [t.get_text() for t in ax.get_legend().get_texts()]
    assert len(texts) == 11
    assert texts[-2:] == ["other (5)", "missing (1)"]


def test_a_map_without_values_has_one_colour_and_no_legend(ax):
    plot.map(np.eye(4), ax=ax)
    assert len(ax.collections[0].get_facecolors()) == 1
    assert ax.get_legend() is None
    assert len(ax.figure.axes) == 1


@pytest.mark.parametrize("color", [["a"] * 3, "site"])
def test_values_of_other_sets_are_refused(ax, color):
    with pytest.raises(ValueError, match="4 sets"):
        plot.map(np.eye(4), color, ax=ax)


def test_an_unknown_column_is_refused(ax, cohort):
    with pytest.raises(ValueError, match="site, age, size"):
        plot.map(cohort[2], "hospital", ax=ax)


# -- distances ----------------------------------------------------------------------------------


@given(
    st.lists(st.floats(-100, 100, width=16), min_size=2, max_size=12, unique=True),
    st.randoms(use_true_random=False),
)
def test_sets_on_a_line_are_ordered_along_it_within_every_cluster(values, random):
    """Where one gap is wider than all others together, its two sides are the first two groups."""
    left = sorted(values)
    right = [v + 10_000 for v in left]
    points = [*left, *right]
    random.shuffle(points)
    order = plot.cluster_order(euclidean(np.array(points, float)[:, None]))
    assert sorted(order.tolist()) == list(range(len(points)))
    sides = [points[i] > 5_000 for i in order]
    assert sides == sorted(sides) or sides == sorted(sides, reverse=True)


def test_neighbours_of_the_order_are_nearest_on_a_line():
    points = np.array([3.0, 0.0, 1.0, 2.0])[:, None] ** 2
    order = plot.cluster_order(euclidean(points)).tolist()
    assert order in ([1, 2, 3, 0], [0, 3, 2, 1])


def test_a_heat_map_shows_every_distance_at_its_place(ax, cohort):
    _, _, table, _ = cohort
    part = table.select(np.arange(12))
    d = euclidean(part.z.astype(float))
    assert plot.distances(d, part, title="W2", ax=ax) is ax
    order = plot.cluster_order(d)
    np.testing.assert_allclose(ax.images[0].get_array(), d[np.ix_(order, order)])
    names = [t.get_text() for t in ax.get_yticklabels()]
    assert names == [str(part.ids[i]) for i in order]
    bars = [other for other in ax.figure.axes if other is not ax]
    assert [bar.get_ylabel() for bar in bars] == ["W2"]


def test_the_tree_joins_leaves_above_their_columns_at_the_average_distance(ax):
    plot.distances([[0, 5, 1], [5, 0, 7], [1, 7, 0]], ax=ax)
    (tree,) = ax.child_axes
    branches = sorted((sorted(line.get_xdata()), max(line.get_ydata())) for line in tree.lines)
    assert [height for _, height in branches] == [6.0, 1.0]  # the mean of 5 and 7, and 1
    assert branches[1][0] == [1.0, 1.0, 2.0, 2.0]
    assert branches[0][0] == [0.0, 0.0, 1.5, 1.5]
    assert tree.get_xlim() == ax.get_xlim()


def test_names_are_left_out_of_a_large_heat_map(ax):
    plot.distances(euclidean(np.arange(5.0)[:, None]), names=4, ax=ax)
    assert not ax.get_yticklabels()


def test_a_strip_has_the_colours_of_the_sets_in_their_order(ax, cohort):
    _, _, table, _ = cohort
    d = euclidean(table.z.astype(float))
    plot.distances(d, table, color="site", ax=ax)
    strip = ax.child_axes[0].images[0].get_array()[0]
    shades = colouring("site", table.meta["site"]).colors[plot.cluster_order(d)]
    np.testing.assert_allclose(strip, shades)
    assert {t.get_text() for t in ax.get_legend().get_texts()} == {"north", "south", "missing"}


@pytest.mark.parametrize(
    ("matrix", "words"),
    [
        (np.zeros((2, 3)), "shape (2, 3)"),
        (np.zeros((1, 1)), "two sets or more"),
        ([[0, 1], [2, 0]], "not symmetric"),
        ([[0, np.nan], [np.nan, 0]], "NaN"),
        ([[0, -1], [-1, 0]], "negative"),
    ],
)
def test_a_matrix_that_is_none_of_distances_is_refused(ax, matrix, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        plot.distances(matrix, ax=ax)


def test_a_table_of_other_sets_is_refused(ax, cohort):
    with pytest.raises(ValueError, match="3 sets, and a table of 80"):
        plot.distances(euclidean(np.eye(3)), cohort[2], ax=ax)


# -- atoms --------------------------------------------------------------------------------------


def test_samples_are_the_atoms_of_the_set_and_draws_from_its_embedding(axes, cohort):
    model, sets, table, _ = cohort
    assert plot.samples(model, sets, "patient 7", axes=axes) == axes
    real, generated = (np.asarray(ax.collections[0].get_offsets()) for ax in axes)
    rows = {tuple(row) for row in sets.arrays[7]}
    assert len(real) == len(sets.arrays[7])
    assert all(tuple(row) in rows for row in real.astype("float32"))
    np.testing.assert_allclose(generated, model.sample(table.z[7], len(real), rng=0))
    assert axes[0].get_title(loc="left") == "patient 7, real"


def test_the_number_of_atoms_can_be_bounded(axes, cohort):
    model, sets, table, _ = cohort
    plot.samples(model, sets, "patient 7", n=10, table=table, axes=axes)
    assert [len(ax.collections[0].get_offsets()) for ax in axes] == [10, 10]


def test_contributions_are_those_of_the_report(axes, cohort):
    model, sets, table, _ = cohort
    assert plot.contributions(model, sets, ("patient 3", "patient 5"), axes=axes) == axes
    change = change_between(model, sets, table, ("patient 3", "patient 5"))
    for ax, side in zip(axes, change.sides, strict=True):
        shown = {tuple(row) for row in np.asarray(ax.collections[0].get_offsets())}
        assert shown == {tuple(row) for row in side.atoms.astype(float)}
        assert ax.get_title(loc="left") == side.id


def test_equal_embeddings_have_no_contributions(axes, cohort):
    model, sets, _, _ = cohort
    with pytest.raises(ValueError, match="equal"):
        plot.contributions(model, sets, ("patient 3", "patient 3"), axes=axes)


def test_a_path_joins_the_means_of_its_steps(ax, cohort):
    model, sets, table, _ = cohort
    assert plot.path(model, sets, ("patient 3", "patient 5"), steps=4, n=20, ax=ax) is ax
    line = model.interpolate(table.z[3], table.z[5], steps=4)
    means = [model.sample(z, 20, rng=0).mean(0) for z in line]
    np.testing.assert_allclose(ax.lines[0].get_xydata(), means)
    assert ax.get_title(loc="left") == "patient 3 to patient 5"


def test_a_path_of_one_step_is_refused(ax, cohort):
    with pytest.raises(ValueError, match="steps is 1"):
        plot.path(*cohort[:2], steps=1, ax=ax)


@pytest.mark.parametrize("draw", [plot.samples, plot.path, plot.contributions])
def test_a_table_in_another_order_is_refused(draw, cohort):
    model, sets, table, _ = cohort
    with pytest.raises(ValueError, match="another order"):
        draw(model, sets, table=table.select(np.arange(len(table))[::-1]))


@pytest.mark.parametrize("name", ["patient 700", "7"])
def test_an_unknown_set_is_refused(axes, cohort, name):
    with pytest.raises(ValueError, match="There is no set"):
        plot.samples(*cohort[:2], name, axes=axes)


def test_one_axes_where_two_are_needed_is_refused(ax, cohort):
    with pytest.raises(ValueError, match="two axes"):
        plot.samples(*cohort[:2], axes=ax)


def test_images_are_mosaics(axes, ax, digits):
    model, sets, _ = digits
    left, right = plot.samples(model, sets, "mixture 3", axes=axes)
    assert left.images
    assert right.get_title(loc="left") == "generated"
    plot.path(model, sets, steps=5, n=2, ax=ax)
    height, width = ax.images[0].get_array().shape[:2]
    assert width / height == pytest.approx(5 / 2, rel=0.05)


@pytest.mark.parametrize("aligned", [True, False])
def test_sequences_are_spectra_and_texts(axes, ax, aligned):
    space = Tokens("ACGT", aligned=aligned)
    model, sets = SequenceModel(24, space), sequence_sets(space, 24)
    _, right = plot.samples(model, sets, "sample 3", axes=axes)
    assert (right.get_xlabel() or right.get_title(loc="left")) == (
        "position" if aligned else "length"
    )
    plot.path(model, sets, steps=3, n=2, ax=ax)
    lines = [t.get_text() for t in ax.texts]
    assert [line.split()[0] for line in lines] == ["0%", "0%", "50%", "50%", "100%", "100%"]
    assert all(set(line.split()[1]) <= set("ACGT") for line in lines)


def test_information_of_sequences_is_that_of_their_positions(axes):
    space = Tokens("ACGT", aligned=True)
    model, sets = SequenceModel(24, space), sequence_sets(space, 24)
    _, right = plot.samples(model, sets, "sample 3", axes=axes)
    heights = [bar.get_height() for bar in right.patches]
    constant = [len(np.unique(column)) == 1 for column in sets.arrays[3].T]
    correction = 3 / (2 * 80 * np.log(2))
    np.testing.assert_allclose(np.array(heights)[constant], 2 - correction)
    assert max(np.array(heights)[~np.array(constant)]) < 1.5


# -- calibration --------------------------------------------------------------------------------


def test_a_calibration_ends_at_the_largest_fitted_distance(ax, cohort):
    model, _, _, _ = cohort
    assert plot.calibration(model, ax=ax) is ax
    x, y = ax.lines[0].get_xydata().T
    assert x.max() == pytest.approx(100)
    np.testing.assert_allclose(y, 1.1 * x)
    assert ax.collections  # the interval


def test_held_out_pairs_stand_beside_the_calibration(ax, cohort):
    model, _, _, evaluation = cohort
    plot.calibration(model, evaluation, ax=ax)
    pairs = evaluation.pairs
    np.testing.assert_allclose(
        ax.collections[0].get_offsets(), np.stack([pairs.latent, pairs.w2], 1)
    )


def test_a_model_without_calibration_states_why(ax):
    class Uncalibrated:
        calibration = Calibration()

        def attachment(self, name):
            raise ValueError(f"no {name}: 3 pairs are too few.")

    with pytest.raises(ValueError, match="3 pairs are too few"):
        plot.calibration(Uncalibrated(), ax=ax)


def test_a_calibration_of_few_pairs_has_no_interval(ax):
    class Bare:
        calibration = calibration(2.0)  # no ratios

    plot.calibration(Bare(), ax=ax)
    assert not ax.collections


def test_reliability_shows_shares_at_predicted_probabilities(ax):
    p = np.linspace(0.05, 0.95, 40)
    code = (np.arange(40) % 3 == 0).astype(int)
    result = reliability(np.stack([1 - p, p], 1), code)
    assert plot.reliability(result, "cases", ax=ax) is ax
    np.testing.assert_allclose(ax.lines[1].get_ydata(), result.observed)
    assert "cases" in ax.get_xlabel()


# -- the package --------------------------------------------------------------------------------


def test_new_axes_are_made_where_none_are_given(cohort):
    _, _, table, _ = cohort
    before = set(plt.get_fignums())
    ax = plot.map(table)
    left, right = plot.samples(*cohort[:2], table=table)
    assert len(set(plt.get_fignums()) - before) == 2
    assert left.figure is right.figure
    assert ax.figure is not left.figure
    plt.close("all")


def test_plots_touch_no_other_axes_and_no_settings(cohort):
    _, _, table, _ = cohort
    before = dict(matplotlib.rcParams)
    left, right = Figure().subplots(1, 2)
    plot.map(table, "age", ax=left)
    assert not right.has_data()
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize("name", plot.__all__)
def test_every_plot_is_listed_and_documented(name):
    assert name in dir(plot)
    assert getattr(plot, name).__doc__.partition(".")[0]


NO_FORMULA = "a$\\no_{$"


def drawn(ax):
    """Draw, and return the texts that are not empty."""
    ax.figure.draw_without_rendering()
    return [text for text in ax.figure.findobj(Text) if text.get_text()]


def test_dollar_signs_of_names_are_no_formulas(cohort):
    rng = np.random.default_rng(0)
    z, names = rng.normal(size=(8, 3)), [f"{NO_FORMULA}{i % 3}" for i in range(8)]
    for labels in (True, False):
        texts = drawn(plot.map(z, names, labels=labels, ax=Figure().add_subplot()))
        assert sum(NO_FORMULA in text.get_text() for text in texts) == 3
    sizes = np.full(8, 20)
    own = Embeddings(z.astype("f4"), np.array([f"{n}{i}" for i, n in enumerate(names)]), sizes,
                     sizes.astype(float), {f"$\\no{i}$": z[:, i] for i in range(2)})  # fmt: skip
    bar = plot.map(own, "$\\no1$", ax=Figure().add_subplot()).figure.axes[1]
    assert bar.get_ylabel() == "$\\no1$"
    drawn(bar)
    matrix = np.linalg.norm(z[:, None] - z, axis=-1)
    ax = plot.distances(matrix, own, color="$\\no0$", ax=Figure().add_subplot())
    shown = {text.get_text() for text in drawn(ax)}
    assert {name for name in shown if name.startswith(NO_FORMULA)} == set(own.ids.tolist())
    model, sets, _, _ = cohort
    renamed = Listed(sets.arrays, np.array([NO_FORMULA, *sets.ids[1:]]), sets.meta)
    ends = NO_FORMULA, str(sets.ids[1])
    pair = tuple(Figure().subplots(1, 2))
    plot.samples(model, renamed, NO_FORMULA, axes=pair)
    assert any(NO_FORMULA in text.get_text() for text in drawn(pair[0]))
    plot.contributions(model, renamed, ends, axes=pair)
    drawn(pair[0])
    ax = plot.path(model, renamed, ends, ax=pair[0])
    assert any(NO_FORMULA in text.get_text() for text in drawn(ax))


def test_an_unknown_plot():
    with pytest.raises(AttributeError, match="no attribute 'pie'"):
        plot.pie  # noqa: B018


def test_plots_can_be_named_without_matplotlib_and_torch():
    code = (
        "import sys, distembed; distembed.plot.__all__; "
        "assert not {'matplotlib', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_extra_is_named_where_matplotlib_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r"distembed\[plot\]"):
        plot.map(np.eye(3))


class FirstFeature(GaussianModel):
    """The vector is the mean and the deviation of one feature."""

    def __init__(self):
        super().__init__()
        self.features = None

    def embed(self, sets, covariance=True):
        z = np.array([[a.mean(), a.std()] for a in sets.arrays], dtype="float32")
        return table(z, sets)

    def sample(self, z, n, rng=0, effective_sizes=None):
        noise = torch.randn(n, 1, generator=torch.Generator().manual_seed(0)).numpy()
        return z[0] + z[1] * noise


def test_single_numbers_have_histograms_quantiles_and_contributions(cohort):
    sets = cohort[1]
    one = replace(sets, arrays=[a[:, :1] for a in sets.arrays], features=None)
    first = FirstFeature()
    left, right = plot.samples(first, one, "patient 3", axes=Figure().subplots(1, 2))
    for ax in (left, right):
        widths = [p.get_width() for p in ax.patches]
        heights = [p.get_height() for p in ax.patches]
        assert np.dot(widths, heights) == pytest.approx(1)
    assert left.get_ylim() == right.get_ylim()
    ax = plot.path(
        first, one, ("patient 3", "patient 5"), steps=3, n=50, ax=Figure().add_subplot()
    )
    z = first.embed(one).z
    path = first.interpolate(z[3], z[5], steps=3)
    medians = [np.median(first.sample(v, 50)) for v in path]
    np.testing.assert_allclose(ax.lines[0].get_ydata(), medians, rtol=1e-6)
    left, _ = plot.contributions(first, one, axes=Figure().subplots(1, 2))
    assert left.get_ylabel() == "contribution in %"
