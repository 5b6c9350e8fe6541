"""What the command line calls data, counts and folds, and what it refuses before long work."""

import re
from types import SimpleNamespace

import numpy as np
import pytest

from distembed.cli.console import counted
from distembed.cli.labelled import Training, default_folds
from distembed.cli.report import _data_name
from distembed.heads import event_times
from distembed.model.embeddings import Embeddings
from distembed.model.gde import GDE


@pytest.mark.parametrize(
    ("path", "by", "name"),
    [
        ("plate/{well}/*.png", ["well"], "plate by well"),
        ("study/day 1/*.fcs", None, "day 1"),
        ("*.png", None, "here"),
        ("{patient}.csv", "patient", "here by patient"),
        ("study/cells.csv", "patient", "cells.csv by patient"),
    ],
)
def test_a_page_is_named_after_a_file_or_the_folder_of_a_pattern(
    path, by, name, tmp_path, monkeypatch
):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    fitted = {"path": path} | ({"by": by} if by else {})
    assert _data_name(SimpleNamespace(notes={"data": fitted}), None) == name
    assert _data_name(SimpleNamespace(notes={}), path) == name.partition(" by ")[0]


def test_a_table_of_images_is_refused_before_the_sets_are_read(run, tmp_path, monkeypatch):
    images = SimpleNamespace(atoms=SimpleNamespace(name="images"), event_shape=(1, 8, 8))
    monkeypatch.setattr(GDE, "load", lambda folder: images)  # it has nothing to embed with
    outcome = run("sample", "model", "-o", tmp_path / "drawn.csv")
    assert outcome.code == 1
    assert "an atom of shape (1, 8, 8) is no row of one" in outcome.err
    assert "samples.npz" in outcome.err


def test_the_help_names_patterns_of_images(run):
    text = re.sub(r"[│\s]+", " ", run("embed", "--help").out)
    assert "wells/{well}/*.png" in text


def table(sets, trained, clinic=None):
    sizes = np.full(sets, 9)
    meta = {} if clinic is None else {"clinic": clinic}
    names = np.arange(sets).astype(str)
    return Embeddings(np.eye(sets), names, sizes, sizes, meta, trained=np.arange(sets) < trained)


@pytest.mark.parametrize(
    ("held_out", "folds"), [(5, 2), (11, 2), (12, 3), (19, 4), (20, 5), (99, 5)]
)
def test_a_fold_has_four_scored_sets_where_possible(held_out, folds, capsys):
    sets = table(held_out + 40, 40)
    assert default_folds(sets, np.arange(len(sets)), Training.fit, None) == folds
    assert ("split.test=0.5" in capsys.readouterr().err) == (held_out < 20)


def test_who_held_out_half_is_not_told_to_do_so(capsys):
    assert default_folds(table(24, 12), np.arange(24.0), Training.fit, None) == 3
    assert capsys.readouterr().err == ""


def test_folds_are_of_groups_and_of_all_sets_that_are_scored():
    clinic, y = np.arange(60) % 6, np.arange(60.0)
    assert default_folds(table(60, 0, clinic), y, Training.fit, "clinic") == 2
    assert default_folds(table(60, 50), y, Training.score, None) == 5
    pairs = np.arange(60) // 2
    assert default_folds(table(60, 29, pairs), y, Training.fit, "clinic") == 3  # 15 pairs are left


def test_every_fold_has_sets_of_the_rarest_class_that_is_scored():
    y = np.array(["ill"] * 3 + ["well"] * 57)
    assert default_folds(table(60, 0), y, Training.fit, None) == 3
    assert default_folds(table(60, 0), y[::-1], Training.fit, None) == 3
    assert default_folds(table(60, 0, np.arange(60) // 2), y, Training.fit, "clinic") == 2


@pytest.mark.parametrize(("events", "folds"), [(1, 2), (3, 3), (20, 4), (24, 5)])
def test_every_fold_has_events_and_sets_without_one(events, folds):
    y = event_times(np.ones(24), np.arange(24) < events)
    assert default_folds(table(24, 0), y, Training.fit, None) == folds


def test_counts_have_their_nouns():
    assert [counted(n, "set") for n in (0, 1, 2)] == ["0 sets", "1 set", "2 sets"]
