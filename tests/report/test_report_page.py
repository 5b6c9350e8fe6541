"""The page and the overview, on Gaussians and on digits."""

import base64
import dataclasses
import hashlib
import json
import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_fakes import FakeModel, GaussianModel, Listed, digit_sets, gaussian_sets, table

pytest.importorskip("matplotlib")
pytest.importorskip("jinja2")

import distembed as de
import distembed.report
from distembed.data.spaces import Counts, Images, Tokens, Vectors
from distembed.evaluation.result import Evaluation
from distembed.model.card import ModelCard
from distembed.model.embeddings import Fingerprints
from distembed.report import compare_groups, overview, write_report
from distembed.report.samples import interpolate, read_pairs
from distembed.report.text import pieces
from distembed.report.views import VIEWS, view_of
from distembed.report.views.vectors import VectorView
from distembed.sets.fingerprint import fingerprints

HOSTILE = '$\\o{$</script><img src="//x" onerror="f(1)">\'&{{ 7 * 7 }}'


class Page(HTMLParser):
    """Sections, pictures and tags; fails where a tag that must be closed is not."""

    VOID = ("meta", "img", "link", "br", "wbr")

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.attributes, self.words = [], [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"style", "script"} & set(self.open):
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def pages(gaussians, digits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    return {
        name: write_report(folder / f"{name}.html", model=model, test=sets, evaluation=evaluation)
        for name, (model, sets, evaluation) in (("gaussians", gaussians), ("digits", digits))
    }


@pytest.mark.parametrize("name", ["gaussians", "digits"])
def test_a_page_is_whole_small_and_alone(pages, name):
    text = pages[name].read_text()
    page = Page(text)
    assert len(text) < 1e6
    assert not {"link", "iframe", "object"} & set(page.tags)
    data, script = re.findall(r"<script([^>]*)>(.*?)</script>", text, flags=re.DOTALL)
    assert data[0] == ' type="application/json" id="map-data"'
    json.loads(data[1])
    assert script[0] == ""
    digest = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}';" in text
    for key, value in page.attributes:
        assert not key.startswith("on")
        if key in ("src", "href", "xlink:href"):
            assert value.startswith(("data:image/png;base64,", "#", "https://arxiv.org"))
    assert "url(http" not in text
    assert "@import" not in text
    ids = [value for key, value in page.attributes if key == "id"]
    assert len(ids) == len(set(ids))
    assert {"map", "samples", "path", "distances", "evaluation", "training", "card"} <= set(ids)
    pictured = page.tags.count("svg") + page.tags.count("img")
    names = [v for k, v in page.attributes if k in ("aria-label", "alt") and v]
    assert len(names) >= pictured > 6
    assert list(pages[name].parent.glob(".*")) == []


def test_every_kind_of_atoms_has_one_view():
    kinds = [Vectors(), Counts(), Images(), Tokens("ACGT")]
    views = [view_of(kind.name) for kind in kinds]
    assert [view.__name__ if view else None for view in views] == [
        *("VectorView", "VectorView", "ImageView", "SequenceView"),
    ]
    assert sorted(atoms for member in VIEWS.values() for atoms in member.atoms) == [
        *("counts", "images", "tokens", "vectors")
    ]


def test_a_kind_without_a_view_has_a_page_without_atoms(gaussians, tmp_path, monkeypatch):
    monkeypatch.delitem(VIEWS, "sequences")
    model, sets, evaluation = gaussians
    labels = dataclasses.replace(sets, atoms=Tokens("ACGT"))
    page = write_report(tmp_path / "a.html", model=model, test=labels, evaluation=evaluation)
    ids = {value for key, value in Page(page.read_text()).attributes if key == "id"}
    assert {"map", "distances", "evaluation"} <= ids
    assert not {"samples", "path", "contributions"} & ids
    assert "tokens" in page.read_text()
    assert overview(tmp_path / "a.png", model=model, test=labels).exists()


def test_pages_show_images_as_images_and_vectors_as_scatters(pages):
    # pairs, the path and its optimal transport, contributions
    assert Page(pages["digits"].read_text()).tags.count("img") == 2 * 4 + 2 + 2
    assert Page(pages["gaussians"].read_text()).tags.count("img") == 0


def test_a_page_says_where_the_model_is_beaten(pages):
    text = Page(pages["gaussians"].read_text()).text.replace("\u00a0", " ")
    assert "W2 of samples" in text
    assert "true W2" not in text
    verdict = text[text.index("Rank correlation with W2.") :].partition("Squared")[0]
    for fact in ("2 of 5 baselines", "better", "(0.957)", "exact OT", "(0.983), p = 0.004."):
        assert fact in verdict, fact
    assert "untrained" in text
    assert "median error 7.0 %" in text
    assert "deepsets and flow" in text


def test_a_page_is_reproducible(gaussians, pages, tmp_path):
    model, sets, evaluation = gaussians
    again = write_report(tmp_path / "a.html", model=model, test=sets, evaluation=evaluation)
    assert again.read_bytes() == pages["gaussians"].read_bytes()


@given(st.text(alphabet="ab_-./: ", max_size=80))
def test_the_pieces_of_a_name_are_the_name(name):
    parts = pieces(name, longest=8)
    assert "".join(parts) == name.rstrip()
    signs = max(map(len, re.findall(r"[_./:-]+", name)), default=0)
    assert all(len(word) <= 8 + signs for part in parts for word in part.split())


def test_text_of_the_user_is_escaped_in_captions_of_images(tmp_path):
    model, sets = digit_sets(12)
    sets.ids = np.array([f"{HOSTILE}{k}" for k in range(12)])
    page = Page(write_report(tmp_path / "a.html", model=model, test=sets).read_text())
    assert page.tags.count("img") == 2 * 4 + 2 + 2
    assert not [key for key, _ in page.attributes if key.startswith("on")]
    assert page.text.count(HOSTILE) > 4


def test_nothing_the_user_wrote_is_run(tmp_path):
    model, sets = GaussianModel(), gaussian_sets(24)
    sets.ids = np.array([f"{HOSTILE}{k}" for k in range(24)])
    sets.meta = {HOSTILE: np.array([HOSTILE + str(a[:, 1].mean() > 2) for a in sets.arrays])}
    model.features = sets.features = (HOSTILE, "b")
    model.card = lambda: ModelCard(
        HOSTILE, dict.fromkeys(("encoder", "generator", HOSTILE), HOSTILE), HOSTILE, (HOSTILE,)
    )
    path = write_report(tmp_path / "a.html", model=model, test=sets, color=HOSTILE, title=HOSTILE)
    page = Page(path.read_text())
    assert "img" not in page.tags
    assert not [key for key, _ in page.attributes if key.startswith("on")]
    assert page.text.count(HOSTILE) > 6


def test_a_model_that_is_not_calibrated_has_a_report_with_latent_distances(tmp_path):
    rng = np.random.default_rng(0)
    small = de.read([rng.normal(i, 1, (12, 2)) for i in range(6)])
    model = de.GDE(latent=2).fit(small, steps=1, progress=False)
    assert model.calibration.pairs == 0
    page = write_report(tmp_path / "a.html", model=model, test=small)
    assert "latent distance" in page.read_text()


@pytest.mark.parametrize("history", [[], [{"step": 0, "validation": 1.0, "seconds": 0.1}]])
def test_a_page_without_evaluation_training_or_metadata(history, tmp_path):
    model, sets = GaussianModel(), gaussian_sets(3)
    model.history, sets.meta = history, {}
    page = Page(write_report(tmp_path / "new" / "a.html", model=model, test=sets).read_text())
    ids = {value for key, value in page.attributes if key == "id"}
    assert {"map", "samples", "path", "card"} <= ids
    assert not {"distances", "evaluation", "training"} & ids
    assert "number of atoms" in page.text


class Identity(FakeModel):
    """Samples are standard normal around z."""

    def __init__(self, event_shape):
        super().__init__(event_shape, int(np.prod(event_shape)))

    def embed(self, sets, covariance=True):
        z = np.stack([a.reshape(len(a), -1).mean(0) for a in sets.arrays]).astype("float32")
        return table(z, sets)

    def sample(self, z, n, rng=0, effective_sizes=None):
        noise = np.random.default_rng(rng).normal(size=(n, self.latent))
        return (z + noise).reshape(n, *self.event_shape).astype("float32")


def sets_of(event_shape, count=5, seed=0, **options):
    rng = np.random.default_rng(seed)
    atoms = [rng.normal(k, 1, (20 + k, *event_shape)).astype("float32") for k in range(count)]
    return Listed(atoms, np.array([f"s{k}" for k in range(count)]), **options)


@pytest.mark.parametrize(
    ("shape", "kind"),
    [
        *[((1,), Vectors()), ((), Vectors()), ((12,), Counts()), ((3, 3), Vectors())],
        *[((3, 8, 8), Images()), ((2, 4, 9), Images()), ((1, 120, 100), Images())],
    ],
)
def test_every_event_shape_has_a_page_and_a_picture(shape, kind, tmp_path):
    model, sets = Identity(shape), sets_of(shape, atoms=kind)
    model.history = []
    page = write_report(tmp_path / "a.html", model=model, test=sets, between=("s0", "s4"))
    assert page.stat().st_size < 5e6
    Page(page.read_text())
    assert overview(tmp_path / "a.png", model=model, test=sets).exists()


def test_sets_that_the_model_was_trained_on_are_owned_up_to(gaussians, pages, tmp_path):
    model, sets = GaussianModel(), gaussian_sets(6)
    model.fingerprints = Fingerprints("salt", frozenset(fingerprints(sets, "salt")[:2]))
    text = Page(write_report(tmp_path / "a.html", model=model, test=sets).read_text()).text
    assert "trained on 2 of these sets" in text
    assert "trained on none" not in text
    assert "trained on none of these sets" in Page(pages["gaussians"].read_text()).text


def test_a_page_of_a_cohort_compares_its_groups(tmp_path):
    model, sets = GaussianModel(), gaussian_sets(24)
    held_out = dataclasses.replace(
        sets,
        arrays=sets.arrays[16:],
        ids=sets.ids[16:],
        meta={k: v[16:] for k, v in sets.meta.items()},
    )
    path = write_report(
        tmp_path / "a.html", model=model, test=held_out, cohort=sets, color="site",
        title="A cohort", data="cells.csv", date="2026-11-28",
    )  # fmt: skip
    text = Page(path.read_text()).text.replace("\u00a0", " ")
    ids = [value for key, value in Page(path.read_text()).attributes if key == "id"]
    assert {"groups", "contributions", "similar", "model"} <= set(ids)
    assert len(ids) == len(set(ids))
    for fact in ("24, 8 of them held out", "cells.csv", "2026-11-28", "CD3, CD19"):
        assert fact in text, fact
    result = compare_groups(model.embed(sets), sets, "site")
    share = f"{100 * result.embeddings.total:.1f} % of the variance of the embeddings"
    assert f"it explains {share} of {result.sets} sets" in text
    row = result.differences[0]
    assert f"{row.feature} {row.moment} {row.low[1]:.4g} {row.low[0]}" in text
    assert "judged on 8 held-out sets" in text
    strange = dataclasses.replace(held_out, ids=np.array([f"x{k}" for k in range(8)]))
    with pytest.raises(ValueError, match="8 of the 8 held-out sets are not in the cohort"):
        write_report(tmp_path / "b.html", model=model, test=strange, cohort=sets)


def test_two_sets_of_different_sizes_have_a_path_and_one_has_none(tmp_path):
    model, sets = GaussianModel(), gaussian_sets(2)
    model.history = []
    assert len(set(sets.sizes.tolist())) == 2
    path = interpolate(model, sets, model.embed(sets), None, steps=3, n=4)
    assert set(path.names) == {"patient 0", "patient 1"}
    one = gaussian_sets(1)
    ids = {
        v
        for k, v in Page(
            write_report(tmp_path / "a.html", model=model, test=one).read_text()
        ).attributes
        if k == "id"
    }
    assert "samples" in ids
    assert not {"path", "contributions", "similar"} & ids


# -- samples ------------------------------------------------------------------------------------


def test_features_are_matched_by_name_and_negative_counts_are_shown():
    model, sets = Identity((3,)), sets_of((3,), features=("a", "b", "c"))
    sets.arrays = [np.abs(a) for a in sets.arrays]
    model.features = ("c", "a", "b")
    (pair,) = read_pairs(model, sets, model.embed(sets), np.array([1]), 1000)
    view = VectorView(model, [pair])
    assert {tuple(row) for row in pair.real} == {
        tuple(row) for row in sets.arrays[1][:, [2, 0, 1]]
    }
    assert view.labels == ("c", "a", "b")
    below, above = (view.project(sign * np.ones((2, 3))) for sign in (-1, 1))
    assert not np.allclose(below, above)


def test_unequal_weights_become_frequencies():
    weights = [np.eye(20 + k)[0] + 1e-12 for k in range(5)]
    model, sets = Identity((2,)), sets_of((2,), weights=weights)
    (pair,) = read_pairs(model, sets, model.embed(sets), np.array([2]), 50)
    np.testing.assert_array_equal(pair.real, np.repeat(sets.arrays[2][:1], 50, axis=0))


def test_a_path_goes_between_the_farthest_sets_or_between_those_named():
    model, sets = Identity((2,)), sets_of((2,))
    table = model.embed(sets)
    # of 20 to 24 atoms: s0 is the farthest from s4, but of the smaller half
    assert set(interpolate(model, sets, table, None, steps=3, n=4).names) == {"s2", "s4"}
    ends = {"here": np.zeros(2), "there": np.ones(2)}
    path = interpolate(model, sets, table, ends, steps=3, n=4)
    assert (path.names, path.real) == (("here", "there"), None)
    np.testing.assert_allclose(path.samples[2] - path.samples[0], 1, atol=1e-6)
    assert path.displaced is None
    moved = interpolate(model, sets, table, ends, steps=3, n=4, coupled=9).displaced
    # the samples of this model are shifted alike, and a shift is its own optimal transport
    np.testing.assert_allclose(moved[1] - moved[0], 0.5, atol=1e-6)
    np.testing.assert_allclose(moved[2] - moved[1], 0.5, atol=1e-6)
    assert moved.shape == (3, 4, 2)
    with pytest.raises(ValueError, match="no set 'nobody'"):
        interpolate(model, sets, table, ("s0", "nobody"), steps=3, n=4)
    with pytest.raises(ValueError, match="1 ends, .* two"):
        interpolate(model, sets, table, {"here": np.zeros(2)}, steps=3, n=4)


# -- errors -------------------------------------------------------------------------------------


@pytest.mark.parametrize("write", [write_report, overview])
def test_a_path_that_cannot_be_written_is_refused_before_the_work(write, gaussians, tmp_path):
    model, sets, _ = gaussians
    lazy = dataclasses.replace(sets)
    lazy.batch = None  # whoever reads fails
    (tmp_path / "file").write_text("")
    for path in (tmp_path, tmp_path / "file" / "a.html"):
        with pytest.raises(OSError, match="a folder"):
            write(path, model=model, test=lazy)


@pytest.mark.parametrize("write", [write_report, overview])
def test_an_error_leaves_the_old_file(write, gaussians, tmp_path):
    model, sets, _ = gaussians
    old = tmp_path / "a.html"
    old.write_text("old")
    with pytest.raises(ValueError, match="no metadata column 'height'"):
        write(old, model=model, test=sets, color="height")
    assert old.read_text() == "old"
    assert list(tmp_path.iterdir()) == [old]


@pytest.mark.parametrize("missing", ["matplotlib", "jinja2"])
def test_a_missing_package_is_named_with_its_extra(missing, gaussians, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, missing, None)
    model, sets, _ = gaussians
    with pytest.raises(ImportError, match=rf"{missing}.*distembed\[report\]"):
        write_report(tmp_path / "a.html", model=model, test=sets)
    assert not list(tmp_path.iterdir())


# -- overview -----------------------------------------------------------------------------------


def test_the_overview_is_a_wide_picture_and_reproducible(digits, tmp_path):
    image = pytest.importorskip("PIL.Image")
    model, sets, evaluation = digits
    ends = {"threes": np.eye(10)[3], "eights": np.eye(10)[8]}
    paths = [
        overview(tmp_path / name, model=model, test=sets, evaluation=evaluation, between=ends)
        for name in ("a.png", "b.png")
    ]
    with image.open(paths[0]) as picture:
        assert picture.size == (1600, 520)
        assert not set(picture.info) - {"dpi"}
    assert paths[0].read_bytes() == paths[1].read_bytes()
    none = Evaluation((), {}, dataclasses.replace(evaluation.pairs, w2=np.empty(0)))
    short = overview(tmp_path / "c.png", model=model, test=sets, evaluation=none)
    with image.open(short) as picture:
        assert picture.size == (1200, 520)


def test_public_names():
    for name in distembed.report.__all__:
        assert callable(getattr(distembed.report, name))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        distembed.report.nothing  # noqa: B018


def test_the_template_names_no_colour_that_the_style_sheet_has_not():
    css = (Path(distembed.report.__path__[0]) / "template" / "report.css").read_text()
    assert set(re.findall(r"var\((--\w+)\)", css)) <= set(re.findall(r"(--\w+):", css))
