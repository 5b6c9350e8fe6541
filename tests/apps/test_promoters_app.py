"""Promoters: layout and quirks of the deposit, held-out bins, motifs, and the scale of hits."""

import gzip
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sequence_folders import FLANKS, expression

from distembed.apps.promoters.app import APP
from distembed.apps.promoters.data import data, divide, expression_cohort
from distembed.apps.promoters.drawing import _line, _neighbours, halved
from distembed.apps.promoters.hits import HitScale, hit_correlation, hit_error
from distembed.apps.promoters.motifs import MOTIFS, motif_hits, reverse_complement
from distembed.apps.promoters.oracle import Oracle
from distembed.apps.promoters.sequences import read_promoters

pytest.importorskip("pyarrow")
SETTINGS = replace(APP.scales["tiny"], atoms=10, sets=40, parts=2)


def texts(sets, s):
    return sets.atoms.restore(sets.batch([s]).x.numpy())


def test_the_deposit_is_read_without_its_constant_ends(tmp_path, caplog):
    promoters = read_promoters(expression(tmp_path))
    assert set(np.unique(promoters.medium)) == {"3p1E7_Gal", "3p1E7_Gly"}
    # of 500 a medium, one holds N and one is of another plasmid
    assert len(promoters.level) == 2 * 498
    assert {len(s) for s in promoters.sequence} == {80}
    assert "left out 1 of 500 sequences that lack the constant ends" in caplog.text
    assert FLANKS[0] in caplog.text
    high = promoters.level > 12
    hits = motif_hits(promoters.sequence.tolist(), {"Reb1": "TTACCCG"})[:, 0]
    assert hits[high].mean() > 0.6 > 0.4 > hits[promoters.level < 4].mean()


def test_a_line_of_another_form_is_named(tmp_path):
    path = tmp_path / "GSE104878_average_promoter_ELs_per_seq_3p1E7_Gal_ALL.shuffled.txt.gz"
    with gzip.open(path, "wt") as file:
        file.write("ACGT\t3.5\nACGT 4\n")
    with pytest.raises(ValueError, match="Line 2 of .*'ACGT 4'.*divided by a tab"):
        read_promoters(tmp_path)
    with gzip.open(path, "wt") as file:
        file.write(f"{'ACGT' * 10}\t3.5\n" * 3)
    with pytest.raises(ValueError, match="leave nothing"):
        read_promoters(tmp_path)


def test_a_folder_of_something_else_states_both_layouts(tmp_path):
    with pytest.raises(ValueError, match=r"native_random_glucose\.parquet.*GSE104878"):
        read_promoters(tmp_path)
    table = pd.DataFrame({"sequence": ["ACGT"], "el": [1.0]})
    table.to_parquet(tmp_path / "native_random_glucose.parquet")
    with pytest.raises(ValueError, match="no column 'seq'"):
        read_promoters(tmp_path)


def test_promoters_of_held_out_bins_are_in_no_training_set(tmp_path):
    expression(tmp_path)
    train, test = data(tmp_path, SETTINGS)
    division = divide(tmp_path, SETTINGS)
    held_out = {s for b in np.flatnonzero(division.held_out)
                for s in division.promoters.sequence[division.rows(b)]}  # fmt: skip
    oracle = set(division.promoters.sequence[division.bin < 0])
    training = {s for k in range(len(train)) for s in texts(train, k)}
    tested = {s for k in range(len(test)) for s in texts(test, k)}
    assert not training & (held_out | oracle)
    assert tested <= held_out
    # bins 2 and 7 of ten, and the last three
    assert np.flatnonzero(division.held_out).tolist() == [2, 7, 8, 9, 12, 17, 18, 19]
    assert np.flatnonzero(division.beyond).tolist() == [7, 8, 9, 17, 18, 19]
    assert set(test.meta["bin"]) == set(np.flatnonzero(division.held_out))
    assert (np.diff(division.level[:10]) > 0).all()


def test_a_training_set_is_of_a_bin_and_its_neighbours_in_one_medium(tmp_path):
    expression(tmp_path)
    train, _ = data(tmp_path, SETTINGS)
    division = divide(tmp_path, SETTINGS)
    place = dict(zip(division.promoters.sequence, division.bin, strict=True))
    for k in range(len(train)):
        bins = {int(place[s]) for s in texts(train, k)}
        centre = int(train.meta["bin"][k])
        assert max(abs(b - centre) for b in bins) <= 1
        assert {division.medium[b] for b in bins} == {train.meta["medium"][k]}


def test_the_cohort_of_the_bench_keeps_bins_together(tmp_path):
    cohort = expression_cohort(expression(tmp_path), SETTINGS)
    assert len(cohort.sets) == 40
    assert len(np.unique(cohort.groups)) == 20


def test_halves_of_a_bin_share_no_promoter(tmp_path):
    expression(tmp_path)
    train, _ = data(tmp_path, SETTINGS)
    halves = halved(divide(tmp_path, SETTINGS), [2, 9], train, 8, 0)
    assert halves.context.event_shape == train.event_shape
    for k in range(2):
        context = texts(halves.context, k)
        assert len(context) == len(halves.target[k]) == 8
        assert not set(context) & set(halves.target[k])


def test_neighbours_are_the_nearest_training_bins_on_both_sides(tmp_path):
    division = divide(expression(tmp_path), SETTINGS)
    training = np.flatnonzero(~division.held_out)
    near = [_neighbours(division, training, b) for b in (2, 3, 9, 12)]
    assert near == [[1, 3], [3], [6], [11, 13]]


def test_the_line_of_expression_extrapolates():
    level = np.array([1.0, 2, 3])
    z = np.column_stack([2 * level + 1, -level]).astype(np.float32)
    np.testing.assert_allclose(_line(z, level)(np.array([10.0])), [[21, -10]], rtol=1e-5)


def test_motifs_count_both_strands_and_places_that_overlap():
    assert motif_hits(["AAAAAAAA", "TTTTTTT"], {"A": "AAAAAAA"}).ravel().tolist() == [2, 1]
    # a palindrome reads alike on both strands, and is one place
    assert motif_hits(["CACGTG"], {"Cbf1": "CACGTG"}).item() == 1
    # R is A or G, N is any base
    assert motif_hits(["ACG", "GCG", "CCG"], {"x": "RNG"}).ravel().tolist() == [1, 1, 0]
    with pytest.raises(ValueError, match="'Z'; the letters are"):
        motif_hits(["A"], {"x": "AZ"})


@pytest.mark.parametrize("name", MOTIFS)
def test_the_other_strand_of_the_other_strand_is_the_motif(name):
    assert reverse_complement(reverse_complement(MOTIFS[name])) == MOTIFS[name]
    rng = np.random.default_rng(0)
    sequences = ["".join(rng.choice(list("ACGT"), 300)) for _ in range(4)]
    other = [reverse_complement(s) for s in sequences]
    assert (motif_hits(sequences, {name: MOTIFS[name]}) == motif_hits(
        other, {name: MOTIFS[name]}
    )).all()  # fmt: skip


def test_the_correlation_is_that_of_all_bins_and_motifs():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 5, 7))
    counts = np.ones((1, 7))
    estimate = hit_correlation(a, b, counts)
    assert estimate.value == pytest.approx(np.corrcoef(a.ravel(), b.ravel())[0, 1], abs=1e-9)
    assert estimate.draws[0] == pytest.approx(estimate.value, abs=1e-9)
    # a resample that drops a motif is the correlation of the others
    counts[0, 3] = 0
    rest = np.delete(np.arange(7), 3)
    one = hit_correlation(a, b, counts).draws[0]
    assert one == pytest.approx(np.corrcoef(a[:, rest].ravel(), b[:, rest].ravel())[0, 1])


def test_a_law_that_is_the_same_in_all_bins_has_no_correlation():
    hits = np.array([[0.0, 4, 1], [2, 8, 1], [4, 12, 1]])
    scale = HitScale.of(hits)
    assert (scale(hits)[:, 2] == 0).all()
    np.testing.assert_allclose(scale(hits)[:, 0], scale(hits)[:, 1])
    same = np.tile(hits.mean(0), (3, 1))
    counts = np.ones((2, 3))
    assert hit_correlation(scale(same), scale(hits), counts).value == 0
    assert hit_error(scale(hits), scale(hits), counts).value == 0


def test_the_oracle_learns_a_motif_and_states_its_error_on_others():
    rng = np.random.default_rng(0)
    letters = rng.choice(list("ACGT"), (600, 30))
    letters[::2, 5:10] = list("GGGGG")
    level = np.where(np.arange(600) % 2, 1.0, 5.0)
    oracle = Oracle.fit(["".join(row) for row in letters], level, rng)
    assert oracle.promoters == 420
    assert oracle.r2 > 0.7
    # 3 is between the two levels
    with_motif, without = oracle.predict(["ACTACTACTACTAAGGGGGATTATACATAC", "ACT" * 10])
    assert with_motif > 3 > without
    shuffled = Oracle.fit(["".join(row) for row in letters], rng.permutation(level), rng)
    assert shuffled.r2 < 0.2


def test_the_real_folder_is_read(data_dir):
    train, test = data(data_dir / "promoters_gpra", replace(SETTINGS, bins=40))
    assert train.event_shape == (80,)
    assert len(np.unique(test.meta["bin"])) == 10


def test_a_promoter_that_two_media_measured_is_in_one_part(tmp_path, caplog):
    expression(tmp_path)
    gal, gly = sorted(tmp_path.glob("*.txt.gz"))
    with gzip.open(gal, "rt") as file:
        lines = file.read().splitlines()
    with gzip.open(gly, "at") as file:
        file.writelines(f"{line.split()[0]}\t{k % 16}\n" for k, line in enumerate(lines[100:300]))
    division = divide(tmp_path, SETTINGS)
    assert "left out 200 rows of promoters that are measured more than once" in caplog.text
    assert len(set(division.promoters.sequence.tolist())) == len(division.promoters.sequence)
    # both media keep some of those that they share
    shared = {line.split()[0][17:97] for line in lines[100:300]}
    media = division.promoters.medium[[s in shared for s in division.promoters.sequence.tolist()]]
    assert min((media == name).sum() for name in ("3p1E7_Gal", "3p1E7_Gly")) > 50
