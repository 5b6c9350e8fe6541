"""Plots draw into the axes they are given, and SVG fits into a page."""

import re
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("matplotlib")

import matplotlib
from matplotlib.figure import Figure

from distembed.report import plots
from distembed.report.plane import Plane
from distembed.report.style import INK, drawing
from distembed.report.svg import draw


@pytest.fixture
def ax():
    return Figure().add_subplot()


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


# -- plots --------------------------------------------------------------------------------------


def test_a_map_has_a_point_a_set_and_a_name_a_category(ax):
    z, color = normal(40, 5), np.repeat(["a", "b"], 20)
    assert plots.embedding_map(ax, z, color) is ax
    offsets = np.asarray(ax.collections[0].get_offsets())
    assert offsets.shape == (40, 2)
    assert {text.get_text() for text in ax.texts} == {"a", "b"}
    np.testing.assert_allclose(ax.texts[0].get_position(), np.median(offsets[:20], axis=0))
    shades = ax.collections[0].get_facecolors()
    assert (shades[:20] == shades[0]).all()
    assert (shades[0] != shades[-1]).any()


def test_a_map_needs_no_colour(ax):
    plots.embedding_map(ax, normal(7, 1))
    assert not ax.texts


def test_real_and_generated_share_their_scales():
    axes = tuple(Figure().subplots(1, 2))
    assert plots.real_and_generated(axes, normal(50, 2), 3 + normal(400, 2), ("a", "b")) == axes
    assert axes[0].get_xlim() == axes[1].get_xlim()
    assert axes[0].get_ylim() == axes[1].get_ylim()
    assert len(axes[1].collections[0].get_offsets()) == 400
    assert (axes[0].get_xlabel(), axes[0].get_ylabel()) == ("a", "b")


def test_marginals_count_every_atom_and_stand_a_constant(ax):
    plots.marginal(ax, normal(100), normal(80, seed=1), "a" * 50)
    assert len(ax.get_title(loc="left")) == 28
    for patch in ax.patches:
        x, y = patch.get_xy().T
        assert abs(np.sum(y[:-1] * np.diff(x))) == pytest.approx(1)
    plots.marginal(ax, np.zeros(5), np.zeros(5))


def test_an_image_grid_fills_its_rows(ax):
    plots.image_grid(ax, normal(7, 8, 8), 3)
    height, width = ax.images[0].get_array().shape[:2]
    assert height == pytest.approx(width, rel=0.02)


def test_a_path_joins_the_means(ax):
    samples = normal(5, 30, 2) + np.arange(5)[:, None, None]
    plots.interpolation_path(ax, samples)
    np.testing.assert_allclose(ax.lines[0].get_xydata(), samples.mean(1))
    panels = [c.get_offsets() for c in ax.collections[:3]]
    np.testing.assert_allclose(np.stack(panels), samples[[0, 2, 4]])


def test_distances_stand_beside_the_calibration(ax):
    latent = np.abs(normal(30))
    plots.distance_scatter(ax, latent, 2 * latent, line=lambda d: 2 * d)
    x, y = ax.lines[0].get_xydata().T
    np.testing.assert_allclose(y, 2 * x)
    assert x.max() == latent.max()
    assert (ax.get_xlim()[0], ax.get_ylim()[0]) == (0, 0)


def test_a_band_without_an_upper_end_is_not_drawn(ax):
    latent = np.linspace(0, 4, 30)
    plots.distance_scatter(ax, latent, latent, band=lambda d: (d, np.where(d > 2, np.inf, 2 * d)))
    corners = ax.collections[1].get_paths()[0].vertices
    assert np.isfinite(corners).all()
    assert 1.9 < corners[:, 0].max() <= 2


def test_training_curves_mark_the_best_step_and_leave_the_start_out():
    ax, rate = Figure().subplots(2, 1)
    history = [
        {"step": k, "loss": 1 + 50 * (k < 3), "validation": (k - 60) ** 2 / 1e4, "lr": 0.1}
        for k in range(100)
    ]
    history[5] |= {"validation": None, "loss": float("nan")}
    plots.training_curves(ax, history, rate=rate)
    assert "best, step 60" in [t.get_text() for t in ax.get_legend().get_texts()]
    assert ax.get_ylim()[1] < 2
    assert len(ax.lines[0].get_xdata()) == 99
    assert rate.get_xlabel() == "step"


def test_training_curves_stand_a_history_without_validation(ax):
    plots.training_curves(ax, [{"step": 1, "loss": 2.0}])
    assert len(ax.lines) == 1


# -- SVG ----------------------------------------------------------------------------------------


def paint(figure):
    ax = figure.add_subplot()
    ax.scatter(*normal(2, 400), rasterized=True)
    ax.plot([0, 1], [0, 1], color=INK)
    ax.set_title('<script>alert("x")</script> & more')
    plots.embedding_map(ax, normal(20, 2), np.arange(20) % 2)


def test_svg_has_the_ink_of_the_page_and_no_other_baggage():
    svg = draw(paint, (300, 200), name="one", alt='a "map" <b>')
    assert svg.startswith("<svg ")
    assert "currentColor" in svg
    assert 'aria-label="a &quot;map&quot; &lt;b&gt;"' in svg
    assert "&lt;script&gt;" in svg
    assert 'class="halo"' in svg
    for baggage in (INK, "<script", "<style", "metadata", "DejaVu", "<!--", "<?xml", "DOCTYPE"):
        assert baggage not in svg


def test_identifiers_of_two_figures_do_not_clash_and_every_reference_is_met():
    both = [draw(paint, (300, 200), name=name, alt="") for name in ("one", "two")]
    ids = [set(re.findall(r'\bid="([^"]+)"', svg)) for svg in both]
    assert ids[0]
    assert not ids[0] & ids[1]
    for svg, identifiers in zip(both, ids, strict=True):
        assert set(re.findall(r'(?:url\(|href=")#([^)"]+)', svg)) == identifiers


def test_characters_that_the_measured_font_lacks_are_the_browsers():
    """matplotlib warns of them, which is an error in these tests."""
    text = draw(lambda figure: figure.suptitle("患者 😀"), (200, 100), name="cjk", alt="a title")
    assert "患者 😀" in text


def test_the_same_drawing_is_the_same_text_whatever_the_users_style():
    plain = draw(paint, (300, 200), name="one", alt="")
    theirs = {"font.size": 30, "axes.grid": True, "svg.fonttype": "path", "lines.marker": "o"}
    with matplotlib.rc_context(theirs):
        before = dict(matplotlib.rcParams)
        assert draw(paint, (300, 200), name="one", alt="") == plain
        assert dict(matplotlib.rcParams) == before


def test_settings_are_restored_after_an_error():
    before = dict(matplotlib.rcParams)

    def fail():
        with drawing():
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert dict(matplotlib.rcParams) == before


def test_drawing_leaves_pyplot_alone_and_importing_the_report_is_cheap():
    code = (
        "import sys, distembed.report as r\n"
        "assert not {'matplotlib', 'jinja2', 'torch'} & set(sys.modules)\n"
        "from distembed.report.svg import draw\n"
        "draw(lambda figure: figure.add_subplot(), (100, 100), name='a', alt='')\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_points_of_a_map_are_whole_within_its_frame():
    figure = Figure(figsize=(5, 3))
    ax = figure.add_subplot()
    corners = np.array([[0.0, 0], [10, 0], [0, 5], [10, 5], [4, 2]])
    plots.embedding_map(ax, Plane(corners, ("PC 1", "PC 2"), "PCA"))
    figure.draw_without_rendering()
    frame, points = ax.get_window_extent(), ax.transData.transform(corners)
    radius = np.sqrt(ax.collections[0].get_sizes()[0] / np.pi) * figure.dpi / 72
    assert (points - radius >= frame.min).all()
    assert (points + radius <= frame.max).all()


def test_a_label_does_not_hide_the_only_point_of_its_class():
    figure = Figure(figsize=(5, 3))
    ax = figure.add_subplot()
    points = np.concatenate([normal(9, 2), [[4.0, 4.0]]])
    plots.embedding_map(ax, Plane(points, ("x", "y"), "PCA"), ["many"] * 9 + ["one"])
    figure.draw_without_rendering()
    label = next(text for text in ax.texts if text.get_text() == "one")
    at = ax.transData.transform(points[-1])
    radius = np.sqrt(ax.collections[0].get_sizes()[0] / np.pi) * figure.dpi / 72
    assert label.get_window_extent().y0 > at[1] + radius
