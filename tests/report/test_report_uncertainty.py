"""Uncertainty and contributions on the page: ellipses, findings, shares of atoms."""

import numpy as np
import pytest
import torch
from report_fakes import GaussianModel, digit_sets, fake_evaluation, gaussian_sets
from scipy.stats import chi2

from distembed.geometry.distance import Calibration
from distembed.geometry.relation import Relation
from distembed.inference.population.density import Population
from distembed.model.embeddings import Embeddings
from distembed.report import write_report
from distembed.report.colour import colouring
from distembed.report.contributions import change_between
from distembed.report.figures import interval_band, map_figure
from distembed.report.plane import Plane, ellipses, pca_plane
from distembed.report.text import findings


def embeddings(z, cov, sizes=None, p_unusual=None):
    z = np.asarray(z, dtype=np.float32)
    sizes = np.full(len(z), 200) if sizes is None else np.asarray(sizes)
    ids = np.array([f"s{i}" for i in range(len(z))])
    cov = np.asarray(cov, dtype=np.float32)
    return Embeddings(z, ids, sizes, sizes.astype(float), {}, cov, None, p_unusual)


def test_an_ellipse_holds_the_mass_it_is_made_for():
    rng = np.random.default_rng(0)
    half = rng.normal(size=(4, 4))
    cov = half @ half.T
    plane = pca_plane(rng.normal(size=(9, 4)) @ np.diag([4, 3, 1, 1]))
    result = ellipses(plane, np.repeat(cov[None], 9, 0))
    samples = rng.multivariate_normal(np.zeros(4), cov, 40_000) @ plane.directions.T
    angle = np.radians(result.angle[3])
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    inside = np.square(samples @ turn / result.semi[3]).sum(1) <= 1
    assert inside.mean() == pytest.approx(0.95, abs=5 * (0.95 * 0.05 / 40_000) ** 0.5)


def test_ellipses_of_few_degrees_of_freedom_are_wider():
    plane = pca_plane(np.random.default_rng(0).normal(size=(4, 2)))
    cov = np.repeat(np.eye(2)[None], 4, 0)
    wide = ellipses(plane, cov, np.array([7.0, 19.0, np.inf, 1.0]))
    assert wide.rows.tolist() == [0, 1, 2]  # one degree of freedom bounds nothing
    assert (np.diff(wide.semi[:, 0]) < 0).all()
    np.testing.assert_allclose(wide.semi[2], chi2.ppf(0.95, 2) ** 0.5)


def test_a_map_that_is_not_linear_has_none():
    assert ellipses(Plane(np.zeros((2, 2)), ("a", "b"), "UMAP"), np.zeros((2, 3, 3))) is None


def test_the_band_needs_ratios():
    assert interval_band(Calibration()) is None
    assert interval_band(Calibration(pairs=50, ratios=(1.0,) * 38)) is None
    relation, ratios = Relation.linear(1.0, largest=3.0), tuple(np.linspace(0.8, 1.2, 199))
    band = interval_band(Calibration(relation, relation, relation, pairs=200, ratios=ratios))
    low, high = band(np.array([1.0, 2.0]))
    assert 0.8 < low[0] < 0.82
    assert 1.18 < high[0] < 1.2
    np.testing.assert_allclose([low[1], high[1]], [2 * low[0], 2 * high[0]])


def test_findings_are_true():
    z = np.random.default_rng(0).normal(size=(250, 2))
    population = Population.from_embeddings(z)
    cov = np.repeat(0.01 * np.eye(2)[None], 250, 0)
    p = np.linspace(0.02, 1, 250)
    p[:12] = np.linspace(0.004, 0.01, 12)
    sizes = np.full(250, 200)
    sizes[:3] = 20
    cov[4] = np.nan
    by_title = {f.title: f for f in findings(embeddings(z, cov, sizes, p), population, ["s0"])}
    unusual = by_title["Unlike the training"]
    assert unusual.ids[0] == "s1"  # s0 was trained on
    assert (len(unusual.ids), unusual.more) == (10, 1)
    assert "11 of 249 sets" in unusual.text
    assert "2.5" in unusual.text  # expected by chance
    assert "3 of 250 sets have fewer than 100" in by_title["Few atoms"].text
    assert "1 has none" in by_title["Few atoms"].text
    small = Population.from_embeddings(z[:50])
    by_title = {f.title: f for f in findings(embeddings(z, cov, sizes, p), small)}
    assert "no set can be called unusual at 1%" in by_title["Unlike the training"].text


def test_the_shares_of_a_change_are_those_of_a_mean():
    sets, model = gaussian_sets(12), GaussianModel()
    change = change_between(model, sets, model.embed(sets), ("patient 1", "patient 2"))
    sizes = [len(side.atoms) for side in change.sides]
    assert all(n <= 256 for n in sizes)
    share = np.concatenate([side.share for side in change.sides])
    assert share.sum() == pytest.approx(1, abs=1e-5)
    assert change.gap < 1e-5
    first, second = (side.atoms for side in change.sides)
    step = second.mean(0) - first.mean(0)
    middle = (second.mean(0) + first.mean(0)) / 2
    expected = -((first - middle) @ step) / len(first) / (step @ step)
    np.testing.assert_allclose(change.sides[0].share, expected, atol=1e-6)


def test_without_a_derivative_nothing_is_shared_out():
    class Counted:
        smooth = False

        def __call__(self, batch):
            return torch.stack([x.median(0).values for x in batch.x.split(batch.sizes.tolist())])

    sets, model = gaussian_sets(6), GaussianModel()
    model.embedder = Counted()
    assert change_between(model, sets, model.embed(sets), None) is None


def test_the_page_shows_them(tmp_path):
    sets, model = gaussian_sets(), GaussianModel()
    evaluation = fake_evaluation(model.embed(sets, covariance=False).z)
    page = write_report(tmp_path / "a.html", model=model, test=sets, evaluation=evaluation)
    text = page.read_text()
    for phrase in (
        "The ellipse of a set",
        'id="contributions"',
        "The band",
        'id="uncertainty"',
        "100 eff",
    ):
        assert phrase in text, phrase
    plain = model.embed(sets, covariance=False)
    page = write_report(tmp_path / "b.html", model=model, test=sets, embeddings=plain)
    text = page.read_text()
    for phrase in ("The ellipse of a set", "The band", 'id="uncertainty"'):
        assert phrase not in text, phrase


def test_images_that_make_the_change_are_shown(tmp_path):
    model, sets = digit_sets(20)
    page = write_report(tmp_path / "a.html", model=model, test=sets)
    text = page.read_text()
    assert "with the largest contributions" in text
    assert "of 64 images" not in text  # of at least 64, 12 are shown
    assert "these 12 of " in text


def test_sets_of_a_few_atoms_have_no_ellipse():
    table = embeddings(np.eye(3)[:, :2], np.repeat(np.eye(2)[None], 3, 0), sizes=[4, 9, 10])
    plane, colours = pca_plane(table.z), colouring("site", ["a", "b", "c"])
    one = str(map_figure(plane, colours, table))
    table.cov[:2] = np.nan
    assert str(map_figure(plane, colours, table, ellipse_atoms=0)) == one
    table.cov[2] = np.nan
    assert str(map_figure(plane, colours, table)) != one
