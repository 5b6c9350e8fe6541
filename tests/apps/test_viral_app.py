"""Viral proteins: headers of GISAID and their quirks, splits in time, columns, clades."""

import gzip
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from sequence_folders import gisaid

from distembed.apps.application import Case
from distembed.apps.viral_proteins.app import APP
from distembed.apps.viral_proteins.clades import clade_distance, nearest_sets
from distembed.apps.viral_proteins.data import (
    data,
    date_cohort,
    forward_in_time,
    region_cohort,
)
from distembed.apps.viral_proteins.judge import _clades
from distembed.apps.viral_proteins.proteins import read_proteins
from distembed.data.tokens import Tokens
from distembed.sets.read import read

SETTINGS = replace(APP.scales["tiny"], fewest=2, sets=1000)


def table_folder(folder, years=12, seed=0):
    """An alignment with its table, of two countries: column t changes in year t."""
    rng = np.random.default_rng(seed)
    records, rows = [], []
    for year in range(years):
        for country, region in (("Peru", "South America"), ("Kenya", "Africa")):
            for k in range(4):
                letters = list("A" * 30)
                letters[: year + 1] = "C" * (year + 1)
                letters[20 + k] = "-" if country == "Peru" else "A"
                name = f"{country}{year}.{k}"
                records.append(f">{name}\n{''.join(letters)}\n")
                rows.append((name, country, 2000 + year, 2000 + year + rng.random(), region,
                             f"clade{year // 4}"))  # fmt: skip
    columns = ["accession", "country", "year", "num_date", "region", "clade"]
    table = pd.DataFrame(rows, columns=columns)
    table.loc[0, "country"] = None
    table.to_csv(folder / "metadata.tsv.gz", sep="\t", index=False)
    with gzip.open(folder / "g_aligned.fasta.gz", "wt") as file:
        file.writelines(records)
    return folder


def test_headers_of_gisaid(tmp_path, caplog):
    proteins = read_proteins(gisaid(tmp_path), 16)
    assert len(proteins.sequence) == 12 * 2 * 7
    assert not any("*" in s for s in proteins.sequence)
    assert "1 proteins whose header has not 11 fields, and 2 without a month" in caplog.text
    assert set(proteins.country) == {"France", "China"}
    assert len(np.unique(proteins.group)) == 24
    assert np.unique(np.floor(proteins.date)).tolist() == [2020]
    assert not proteins.aligned
    # neither a month nor the day 00 is another month
    months = np.floor((proteins.date - 2020) * 12) + 1
    assert (months == [int(g[5:7]) for g in proteins.group]).all()
    # a name that is no UTF-8 is still one laboratory
    assert len({g.split("|")[1] for g in proteins.group}) == 2


def test_the_first_proteins_of_a_set_are_kept(tmp_path):
    gisaid(tmp_path)
    every, few = read_proteins(tmp_path, 16), read_proteins(tmp_path, 3)
    for group in np.unique(every.group):
        first = every.sequence[every.group == group][:3]
        assert few.sequence[few.group == group].tolist() == first.tolist()


def test_errors_of_the_folder(tmp_path):
    with pytest.raises(ValueError, match="has 0 FASTA files.*spikeprot0430"):
        read_proteins(tmp_path, 5)
    (tmp_path / "a.fasta").write_text(">x\nACD\n")
    with pytest.raises(ValueError, match="no header of GISAID.*'x'"):
        read_proteins(tmp_path, 5)
    table = pd.DataFrame({"accession": ["y"], "country": ["Peru"], "year": [2000]})
    table.to_csv(tmp_path / "metadata.tsv.gz", sep="\t", index=False)
    with pytest.raises(ValueError, match="no row of 'x'"):
        read_proteins(tmp_path, 5)
    table.rename(columns={"country": "countries"}).to_csv(
        tmp_path / "metadata.tsv.gz", sep="\t", index=False
    )
    with pytest.raises(ValueError, match="no column 'country'; close names are 'countries'"):
        read_proteins(tmp_path, 5)


def test_sets_of_the_table_keep_their_date_region_and_clade(tmp_path, caplog):
    train, test = data(table_folder(tmp_path), SETTINGS)
    assert "left out 1 proteins without country or year" in caplog.text
    assert len(train) + len(test) == 24
    assert len(test) == 6
    for sets in (train, test):
        year = np.array([int(name.split("|")[1]) for name in sets.ids])
        assert (np.floor(sets.meta["date"]) == year).all()
        assert (sets.meta["clade"] == [f"clade{(y - 2000) // 4}" for y in year]).all()
        assert set(sets.meta["region"]) <= {"South America", "Africa"}


def test_columns_that_are_constant_in_training_are_left_out(tmp_path):
    train, test = forward_in_time(table_folder(tmp_path), replace(SETTINGS, test=0.25))
    # columns 0 to 11 change with the years, of which column 0 is never anything else, and the
    # last three years are held out; gaps are in columns 20 to 23
    x = train.batch(range(len(train))).x
    assert train.event_shape == test.event_shape == (8 + 4,)
    assert all(len(column.unique()) > 1 for column in x.T)


def test_forward_in_time_holds_out_whole_years(tmp_path):
    train, test = forward_in_time(table_folder(tmp_path), replace(SETTINGS, test=0.25))
    assert len(test) == 6
    assert np.floor(train.meta["date"]).max() < np.floor(test.meta["date"]).min() == 2009


def test_forward_in_time_holds_out_whole_months(tmp_path):
    train, test = forward_in_time(gisaid(tmp_path), replace(SETTINGS, test=0.25))
    assert len(test) == 6
    assert max(i[:7] for i in train.ids) < min(i[:7] for i in test.ids) == "2020-10"


def test_cohorts_of_the_bench(tmp_path):
    table_folder(tmp_path)
    date, region = date_cohort(tmp_path, SETTINGS), region_cohort(tmp_path, SETTINGS)
    assert set(date.groups) == {"Peru", "Kenya"}
    assert len(date.target) == 24
    assert set(region.target) == {"South America", "Africa"}


def test_a_drawn_protein_has_the_set_of_its_nearest_one():
    space = Tokens("protein", aligned=True)
    sets = read([["ACDE", "ACDF"], ["WWWW", "WWWY"]], atoms=space)
    x = torch.from_numpy(space.encode(["WWWA", "ACDE", "WWDE", "CCDF"]))
    assert nearest_sets(x, sets.batch([0, 1]), space, rows=3).tolist() == [1, 0, 0, 0]


def test_shares_of_clades():
    assert clade_distance(["A", "B"], ["B", "A"]) == 0
    assert clade_distance(["A"], ["B"]) == 1
    assert clade_distance(["A", "B", "C", "C"], ["A"]) == pytest.approx(0.75)


class Repeats:
    """A model that draws the proteins that it embeds, and wrong ones after them."""

    def embed(self, sets, covariance):
        self.sets = sets
        return sets

    def sample(self, table, n, rng):
        wrong = torch.ones(n, *self.sets.event_shape, dtype=torch.int64)
        rows = [torch.cat([self.sets[b].x, wrong])[:n] for b in range(len(self.sets))]
        return torch.stack(rows).numpy()


def test_drawn_proteins_are_as_many_as_the_half_that_is_the_floor():
    rng = np.random.default_rng(0)
    founders = ["".join(rng.choice(list("CDEFGHIK"), 12)) for _ in range(3)]
    sizes = [4, 6, 10, 20, 4, 8]
    space = Tokens("protein", aligned=True)
    sets = read([[founders[k] for k in rng.integers(3, size=n)] for n in sizes], atoms=space)
    test = sets.with_meta({"country": ["Peru", "Kenya", "Fiji", "Chad", "Peru", "Fiji"]})
    # the clade of a protein that is like none of them is the last one
    train = read([[f] * 2 for f in founders] + [["A" * 12] * 2], atoms=space)
    train = train.with_meta({"clade": ["x", "y", "z", "none"], "region": [""] * 4})
    settings = replace(SETTINGS, atoms=100)
    case = Case(None, settings, train, test, Repeats(), print)
    scores, values = _clades(case)
    scores = {(s.task, s.method): s for s in scores}
    for task in ("clades_of_drawn", "columns_of_drawn"):
        own, floor = scores[task, "gde"], scores[task, "floor"]
        assert (own.value, own.low, own.high) == (floor.value, floor.low, floor.high)
        assert own.value < scores[task, "unconditional"].value
        assert own.p is not None
    assert set(values["frequencies"]) == {"gde", "unconditional", "floor", "real"}
    # proteins of three countries are too few units for an interval
    countries = {"country": ["Peru", "Kenya", "Fiji"] * 2}
    scores, _ = _clades(replace(case, test=sets.with_meta(countries)))
    assert {s.interval for s in scores} == {None}


def test_real_folders_are_read(data_dir):
    settings = APP.scales["full"]
    for name in ("virus_rsva_G", "virus_denv2_E", "virus_sarscov2_S"):
        train, test = data(data_dir / name, settings)
        assert train.atoms.aligned
        assert not set(train.ids) & set(test.ids)
        early, late = forward_in_time(data_dir / name, settings)
        assert early.meta["date"].max() < late.meta["date"].min()
