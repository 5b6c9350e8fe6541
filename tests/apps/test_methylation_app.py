"""Methylation: layouts, donors, mixtures in known shares, and features by their closed form."""

import gzip
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from sequence_folders import atlas

from distembed.apps.methylation.app import APP
from distembed.apps.methylation.atlas import Blocks, read_atlas
from distembed.apps.methylation.data import DONORS, data, mixture_cohort, sample_cohort
from distembed.apps.methylation.features import beta, reads
from distembed.apps.methylation.layouts import read_molecules
from distembed.apps.methylation.molecules import PLACES, placed
from distembed.batch import SetBatch

pytest.importorskip("pyarrow")
SETTINGS = replace(APP.scales["tiny"], atoms=100)


def counts_folder(folder, rates=(0.9, 0.05), donors=24, seed=0):
    """Numbers of calls by read, of tumours and blood; donors have one or two samples."""
    rng = np.random.default_rng(seed)
    samples, rows = [], []
    for d in range(donors):
        for label in ("Ovarian_Cancer", "BuffyCoat")[d % 2 : 1 + (d % 3 > 0 or d % 2)]:
            name = f"S{len(samples):03d}"
            samples.append((name, f"D{d:02d}", "RRBS", label, 5))
            rate = rates[label != "Ovarian_Cancer"]
            for _ in range(12):
                n = int(rng.integers(2, 7))
                k = int(rng.binomial(n, rate))
                rows.append((name, "ZNF154", k, n - k, int(rng.integers(1, 4))))
    names = ["sample_id", "donor", "assay", "label", "n_reads"]
    pd.DataFrame(samples, columns=names).to_csv(folder / "samples.csv", index=False)
    names = ["sample_id", "locus", "n_meth", "n_unmeth", "count"]
    pd.DataFrame(rows, columns=names).to_parquet(folder / "reads.parquet")
    return folder


def test_a_molecule_has_the_target_of_the_block_that_it_overlaps(tmp_path):
    molecules = read_atlas(atlas(tmp_path), 10_000, 0)
    assert molecules.places == ("B", "Hepatocyte")
    assert set(molecules.label) == {"Liver-Hepatocyte", "Blood-B"}
    first = {text[0] for text in molecules.text}
    assert first == {"0", "1"}
    # a cell type is unmethylated at its own markers
    own = molecules.label[molecules.sample] == "Blood-B"
    for place, high in (("1", True), ("0", False)):
        text = [t for t in molecules.text[own] if t[0] == place]
        share = np.mean([t.count("C") / max(1, len(t) - 1 - t.count(".")) for t in text])
        assert (share > 0.5) == high


@pytest.mark.parametrize(
    ("first", "length", "target"), [(4, 1, -1), (4, 2, 1), (6, 1, 1), (7, 2, -1), (7, 3, 0)]
)
def test_the_ends_of_blocks(first, length, target):
    blocks = Blocks(np.array([5, 9]), np.array([7, 12]), np.array([1, 0]), ("a", "b"))
    assert blocks.place(np.array([first]), np.array([length])).tolist() == [target]


def test_the_draw_from_a_file_counts_molecules_and_not_lines(tmp_path):
    with gzip.open(tmp_path / "GSM1_Liver-Z1.hg38.pat.gz", "wt") as file:
        file.write("chr1\t1\tC\t900\nchr1\t2\tT\t100\n")
    molecules = read_atlas(tmp_path, 200, 0)
    # of a hypergeometric draw of 200 of 1,000: mean 180, deviation 3.8
    assert len(molecules.text) == 200
    assert abs((molecules.text == "C").sum() - 180) < 5 * 3.8
    # all 1,000 molecules where there is room
    assert len(read_atlas(tmp_path, 5000, 0).text) == 1000


def test_genome_builds_are_not_mixed(tmp_path):
    atlas(tmp_path)
    name = next(tmp_path.glob("*Hepatocyte*")).name
    (tmp_path / name).rename(tmp_path / name.replace("hg38", "hg19"))
    with pytest.raises(ValueError, match="hg19.*one genome build"):
        read_molecules(tmp_path, 100, 0)
    (tmp_path / name.replace("hg38", "hg19")).unlink()
    (tmp_path / "markers.tsv").rename(tmp_path / "markers.hg19.tsv")
    with pytest.raises(ValueError, match=r"markers\.hg19\.tsv of hg19"):
        read_molecules(tmp_path, 100, 0)


def test_errors_of_the_atlas_state_what_is_expected(tmp_path):
    atlas(tmp_path)
    (tmp_path / "markers.tsv").write_text("startCpG\tend\ttarget\n1\t2\tx\n")
    with pytest.raises(ValueError, match="no column 'endCpG'"):
        read_molecules(tmp_path, 100, 0)
    (tmp_path / "markers.tsv").write_text("startCpG\tendCpG\ttarget\n1\t5\tx\n4\t8\ty\n")
    with pytest.raises(ValueError, match="1 to 5 and 4 to 8, which overlap"):
        read_molecules(tmp_path, 100, 0)
    (tmp_path / "markers.tsv").write_text("startCpG\tendCpG\ttarget\n9000\t9005\tx\n")
    with pytest.raises(ValueError, match="0 molecules that overlap.*genome build"):
        read_molecules(tmp_path, 100, 0)
    (tmp_path / "blood.pat.gz").touch()
    with pytest.raises(ValueError, match="TISSUE-SAMPLE"):
        read_molecules(tmp_path, 100, 0)


def test_the_donors_of_a_table_are_kept_together(tmp_path):
    atlas(tmp_path)
    names = [p.name.split("-")[-1].split(".")[0] for p in sorted(tmp_path.glob("*.pat.gz"))]
    table = pd.DataFrame({"sample": names, "donor": [f"D{i // 2}" for i in range(len(names))]})
    table.to_csv(tmp_path / "samples.csv", index=False)
    train, test = data(tmp_path, SETTINGS)
    assert len(train) + len(test) == 16
    assert not set(train.meta["donor"]) & set(test.meta["donor"])
    table.iloc[1:].to_csv(tmp_path / "samples.csv", index=False)
    with pytest.raises(ValueError, match="no donor of the sample"):
        data(tmp_path, SETTINGS)


def test_counts_become_calls(tmp_path):
    molecules = read_molecules(counts_folder(tmp_path), 0, 0)
    table = pd.read_parquet(tmp_path / "reads.parquet")
    assert len(molecules.text) == table["count"].sum()
    assert "".join(molecules.text).count("C") == (table["n_meth"] * table["count"]).sum()
    assert "".join(molecules.text).count("T") == (table["n_unmeth"] * table["count"]).sum()
    table.rename(columns={"n_meth": "meth"}).to_parquet(tmp_path / "reads.parquet")
    with pytest.raises(ValueError, match="no column 'n_meth'; close names are .*'meth'"):
        read_molecules(tmp_path, 0, 0)


def test_an_empty_folder_states_the_layouts(tmp_path):
    with pytest.raises(ValueError, match=r"reads\.parquet.*GSM5652176"):
        read_molecules(tmp_path, 0, 0)


def test_mixtures_have_their_shares_and_share_no_donor(tmp_path):
    settings = replace(SETTINGS, mixtures=40, atoms=400, shares=(0.0, 0.2, 1.0))
    train, test = data(counts_folder(tmp_path, (1, 0)), settings)
    assert not set(train.meta["donor"]) & set(test.meta["donor"])
    mixed = test.select(test.meta["kind"] == "mixture")
    assert sorted(set(mixed.meta["share"])) == [0, 0.2, 1]
    assert (mixed.sizes == 400).all()
    # every molecule of a tumour is methylated, and none of blood
    share = reads(mixed.batch(range(len(mixed))), 3)[:, 0]
    for f in (0.0, 0.2, 1.0):
        error = np.abs(share[mixed.meta["share"] == f] - f)
        assert (error <= 5 * np.sqrt(f * (1 - f) / 400)).all()
    training = train.meta["share"][train.meta["kind"] == "mixture"]
    assert (training == 0).sum() == 5
    assert training[training > 0].min() >= 0.003
    assert train.event_shape == test.event_shape


def test_every_donor_is_mixed_equally_often(tmp_path):
    settings = replace(SETTINGS, mixtures=40, held_out_mixtures=30, shares=(0.0, 0.5, 1.0))
    for sets in data(counts_folder(tmp_path), settings):
        mixed = sets.select(sets.meta["kind"] == "mixture")
        share = mixed.meta["share"]
        samples = sets.select(sets.meta["kind"] == "sample")
        # no molecule is of a donor that has no share
        for kind, none, label in zip(DONORS, (0, 1), ("Ovarian_Cancer", "BuffyCoat"), strict=True):
            donor = mixed.meta[kind]
            assert ((donor == "") == (share == none)).all()
            assert set(donor) - {""} == set(samples.meta["donor"][samples.meta["label"] == label])
        _, count = np.unique(mixed.meta["name"], return_counts=True)
        assert count.max() - count.min() <= 1
        assert (samples.meta[DONORS[0]] == "").all()


def test_a_side_without_a_tumour_is_refused(tmp_path):
    table = pd.read_csv(counts_folder(tmp_path) / "samples.csv")
    table.loc[table["label"].eq("Ovarian_Cancer").cumsum() > 1, "label"] = "BuffyCoat"
    table.to_csv(tmp_path / "samples.csv", index=False)
    with pytest.raises(ValueError, match="none is 'Ovarian_Cancer', and mixtures need one"):
        data(tmp_path, SETTINGS)


def test_cohorts_of_the_bench_keep_donors_together(tmp_path):
    counts_folder(tmp_path)
    samples = sample_cohort(tmp_path, SETTINGS, assay="RRBS")
    assert set(samples.target) == {"Ovarian_Cancer", "BuffyCoat"}
    assert len(samples.groups) == len(samples.sets)
    mixtures = mixture_cohort(tmp_path, replace(SETTINGS, mixtures=20))
    assert len(np.unique(mixtures.groups)) == 5
    for donor in np.unique(mixtures.sets.meta["donor"]):
        assert len(np.unique(mixtures.groups[mixtures.sets.meta["donor"] == donor])) == 1


def test_reads_tell_what_beta_values_cannot():
    # half of the molecules methylated, against every molecule half methylated
    whole = torch.tensor([[1, 1], [2, 2]] * 4)
    half = torch.tensor([[1, 2], [2, 1]] * 4)
    batch = SetBatch.from_list([whole, half])
    assert beta(batch, 3).ravel().tolist() == [0.5, 0.5]
    both = reads(batch, 3, bins=3)
    assert both.tolist() == [[0.5, 0.5, 0, 0.5], [0.5, 0, 1, 0]]


def test_a_place_without_a_molecule_is_not_a_number():
    batch = SetBatch.from_list([torch.tensor([[4, 1], [4, 2]]), torch.tensor([[5, 1], [4, 3]])])
    assert np.isnan(beta(batch, 5)).tolist() == [[False, True], [True, False]]
    assert np.isnan(reads(batch, 5, bins=1)[:, ::2]).tolist() == [[False, True], [True, False]]


def test_more_places_than_symbols_are_refused():
    with pytest.raises(ValueError, match="61 places, and 60 symbols"):
        placed(np.array(["C"]), np.array([0]), len(PLACES) + 1)


def test_real_folders_are_read(data_dir):
    for name in ("methylation_epiclass", "methylation_dlbcl_reads"):
        train, test = data(data_dir / name, SETTINGS)
        assert not set(train.meta["donor"]) & set(test.meta["donor"])
        assert {"sample", "mixture"} == set(test.meta["kind"])
