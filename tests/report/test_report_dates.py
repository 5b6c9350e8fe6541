"""Dates of the metadata are a scale or levels in order, and are written as dates."""

import numpy as np
import pytest

import distembed as de
from distembed.model.embeddings import Embeddings
from distembed.report.colour import colouring
from distembed.report.column import skill
from distembed.report.content import read_map
from distembed.report.groups import compare_groups
from distembed.report.interactive import map_data
from distembed.report.levels import kind_of, labels_of, quantities

DAYS = np.datetime64("2024-02-20", "ns") + np.arange(16) * np.timedelta64(1, "D")


def table(dates):
    z = np.arange(len(dates), dtype=float)[:, None] * [[1.0, 0.1]]
    names, sizes = np.arange(len(dates)).astype(str), np.full(len(dates), 5)
    return Embeddings(z, names, sizes, sizes, {"day": dates})


@pytest.mark.parametrize("unit", ["D", "s", "ms", "us", "ns"])
def test_many_dates_are_a_scale_in_days_whatever_their_unit(unit):
    dates = DAYS.astype(f"datetime64[{unit}]")
    assert kind_of(dates) == "continuous"
    assert np.diff(quantities(dates)).tolist() == [1.0] * 15
    assert quantities(dates)[0] == 19773  # days from 1970-01-01 to 2024-02-20
    colours = colouring("day", dates)
    assert colours.ends == ("2024-02-20", "2024-03-05")  # 2nd and 98th percentile


def test_few_dates_are_levels_in_order_and_two_are_none():
    few = DAYS[[3, 0, 3, 9]]
    assert kind_of(few) == "ordered"
    assert labels_of(few)[1] == ["2024-02-20", "2024-02-23", "2024-02-29"]
    assert quantities(few).tolist() == [1, 0, 1, 2]
    assert kind_of(few[:2]) == "categorical"
    assert [level.label for level in colouring("day", few).levels] == labels_of(few)[1]


def test_a_time_of_day_is_written_where_some_set_has_one():
    times = DAYS[:3] + np.array([0, 90, 0]) * np.timedelta64(1, "m")
    assert labels_of(times)[1][1] == "2024-02-21 01:30"
    assert labels_of(times)[1][0] == "2024-02-20 00:00"
    times = DAYS[:2] + np.array([5, 6]) * np.timedelta64(1, "s")
    assert labels_of(times)[1] == ["2024-02-20 00:00:05", "2024-02-21 00:00:06"]


def test_a_missing_date_is_missing():
    dates = DAYS.copy()
    dates[4] = np.datetime64("NaT")
    assert np.isnan(quantities(dates)).nonzero()[0].tolist() == [4]
    assert labels_of(dates)[0][4] == -1
    assert [level.label for level in colouring("day", dates).levels] == ["missing"]


def test_neighbours_in_time_have_skill():
    z = np.arange(16.0)[:, None]
    assert skill(z, DAYS) > 0.9
    assert abs(skill(z, DAYS) - skill(z, np.arange(16.0))) < 1e-12


def test_the_page_shows_dates_in_its_legend_and_tooltips():
    embeddings = table(DAYS)
    content = read_map(embeddings, "day")
    column = map_data([content.plane], embeddings, content.column)["columns"][0]
    assert column["text"][:2] == ["2024-02-20", "2024-02-21"]
    assert column["range"] == ["2024-02-20", "2024-03-05"]
    assert column["places"][0] == 0
    assert column["places"][-1] == 100


def test_groups_along_dates_are_named_by_dates():
    x = np.random.default_rng(0).normal(np.arange(16)[:, None], 1, (16, 8))

    sets = de.read([row[:, None] for row in x]).with_meta({"day": DAYS})
    embeddings = table(DAYS)
    embeddings = Embeddings(embeddings.z, sets.ids, sets.sizes, sets.sizes, {"day": DAYS})
    result = compare_groups(embeddings, sets, "day", permutations=99)
    assert result.kind == "continuous"
    assert result.differences[0].low[0] == "up to 2024-02-25"
    assert result.differences[0].high[0] == "from 2024-03-01"


def test_a_colour_bar_has_dates():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")

    ax = de.plot.map(table(DAYS), "day")
    bar = ax.figure.axes[-1]
    ax.figure.draw_without_rendering()
    texts = [label.get_text() for label in bar.get_yticklabels()]
    assert texts[0] == "2024-02-20"
    assert texts[-1] == "2024-03-05"
