"""`distembed app`: its list, its folder, and its errors."""

import pytest

from distembed.apps import APPS


def test_the_list_names_every_application(run):
    lines = run("app", "--list").out.splitlines()
    assert [line.split()[0] for line in lines] == list(APPS)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("app",), "Name an application, one of: lineage"),
        (("app", "lineages"), "There is no application 'lineages'"),
        (("app", "lineage", "--data", "nowhere"), "There is no folder nowhere"),
        (("app", "lineage", "--data", "x", "--simulated"), "Leave one out"),
        (("app", "perturbseq", "--simulated"), "has no simulated data; lineage has"),
    ],
)
def test_errors_state_what_is_expected(run, tmp_path, monkeypatch, words, text):
    monkeypatch.chdir(tmp_path)
    outcome = run(*words)
    assert outcome.code == 1
    assert text in outcome.err


def test_a_folder_with_other_files_is_left_alone(run, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    assert "has files in it" in run("app", "lineage", "--out", tmp_path).err
