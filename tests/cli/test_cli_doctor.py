"""`distembed doctor` names what is installed, and its self-test fails where something is wrong."""

import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distembed.cli.extras import Requirement, parse_requirements
from distembed.divergences.exact import ExactW2
from distembed.model.gde import GDE
from distembed.testing.self_test import self_test

NUMBERS = st.lists(st.integers(0, 30), min_size=1, max_size=4)


def text(numbers):
    return ".".join(map(str, numbers))


def test_it_prints_versions_devices_threads_and_extras(run, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    outcome = run("doctor", "--device", "cpu")
    assert outcome.code == 0, outcome.err
    for words in ("distembed ", "Python ", "cuda", "(OMP_NUM_THREADS=1", "self-test"):
        assert words in outcome.out
    assert f"{os.cpu_count()} in all" in outcome.out


@pytest.mark.parametrize("law", ["load", "permute", "seed", "transport", "embed"])
def test_the_self_test_names_what_is_broken(monkeypatch, law):
    """Each part is damaged in turn, as a bad build of a library would."""
    embed, sample, load = GDE.embed, GDE.sample, GDE.load
    if law == "load":

        def damaged(path, **options):
            model = load(path, **options)
            next(model.network.encoder.parameters()).data.mul_(2)
            return model

        monkeypatch.setattr(GDE, "load", damaged)
    elif law == "permute":

        def ordered(self, sets, covariance=True):
            table = embed(self, sets, covariance)
            batch = sets.batch(range(len(sets))) if hasattr(sets, "batch") else sets
            table.z[:] += batch.x[batch.offsets[:-1], :1].numpy()
            return table

        monkeypatch.setattr(GDE, "embed", ordered)
    elif law == "seed":
        counter = iter(range(100))
        monkeypatch.setattr(
            GDE, "sample", lambda self, z, n, rng: sample(self, z, n, next(counter))
        )
    elif law == "transport":
        monkeypatch.setattr(ExactW2, "__call__", lambda self, a, b: a.x.new_full((1,), 5.1))
    else:

        def missing(self, sets, covariance=True):
            table = embed(self, sets, covariance)
            table.z[0] = np.nan
            return table

        monkeypatch.setattr(GDE, "embed", missing)
        monkeypatch.setattr(GDE, "sample", lambda self, z, n, rng: np.zeros((len(z), n, 2)))
    assert law in {check.law for check in self_test("cpu") if not check.ok}


def test_a_failed_self_test_is_an_error_with_its_reason(run, monkeypatch):
    monkeypatch.setattr(ExactW2, "__call__", lambda self, a, b: a.x.new_full((1,), 5.1))
    outcome = run("doctor", "--device", "cpu")
    assert outcome.code == 1
    assert "breaks: transport" in outcome.err
    assert "self-test" not in outcome.out


def test_a_device_that_is_not_there_is_an_error_with_its_reason(run):
    outcome = run("doctor", "--device", "tpu")
    assert outcome.code == 1
    assert "device is 'tpu'" in outcome.err
    assert "threads: torch uses" in outcome.out  # what is there is printed first


def test_a_required_package_that_is_too_old_is_an_error(run, monkeypatch):
    needs = [Requirement("", "numpy", "2.0", "1.26.4"), Requirement("", "torch", "2.6", "2.13")]
    monkeypatch.setattr("distembed.cli.doctor.declared_requirements", lambda: needs)
    outcome = run("doctor")
    assert outcome.code == 1
    assert "numpy 1.26.4 is below 2.0" in outcome.err


def test_an_absent_extra_has_its_line_of_installation(run, monkeypatch):
    needs = [Requirement("umap", "umap-learn", "0.5", ""), Requirement("lint", "ruff", "", "")]
    monkeypatch.setattr("distembed.cli.doctor.declared_requirements", lambda: needs)
    outcome = run("doctor", "--device", "cpu")
    assert outcome.code == 0
    assert "extra umap: no, umap-learn is missing; pip install 'distembed[umap]'" in outcome.out
    assert "ruff" not in outcome.out


def test_an_extra_of_extras_has_their_packages_once():
    lines = [
        "none-a>=1; extra == 'plot'",
        "none-b[fast]>=2,<3 ; extra == 'sklearn'",
        "distembed[plot]; extra == 'report'",
        "distembed[plot,report,sklearn]; extra == 'all'",
        "numpy>=1.0",
    ]
    rows = [(r.extra, r.package, r.least) for r in parse_requirements(lines)]
    assert rows == [
        ("plot", "none-a", "1"),
        ("sklearn", "none-b", "2"),
        ("report", "none-a", "1"),
        ("all", "none-a", "1"),
        ("all", "none-b", "2"),
        ("", "numpy", "1.0"),
    ]


@given(NUMBERS, NUMBERS)
def test_a_version_is_met_where_its_numbers_are_not_lower(installed, least):
    width = max(len(installed), len(least))
    padded = [v + [0] * (width - len(v)) for v in (installed, least)]
    met = Requirement("", "x", text(least), text(installed)).met
    assert met == (padded[0] >= padded[1])


@given(NUMBERS, st.sampled_from(["+cpu", ".post1", "rc1", ""]))
def test_a_suffix_of_a_version_is_ignored(numbers, suffix):
    assert Requirement("", "x", text(numbers), text(numbers) + suffix).met


def test_a_package_without_a_bound_is_met_in_any_version():
    assert Requirement("", "x", "", "0.0.1").met
    assert not Requirement("", "x", "", "").met
