"""Clones: both layouts, their quirks and errors, and what is shared with what null."""

import gzip
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from app_folders import clones
from scipy import io

from distembed.apps.application import Case
from distembed.apps.lineage.clones import Phases, atom_means, compositions, phases
from distembed.apps.lineage.data import data, fate, read_cells
from distembed.apps.lineage.information import neighbour_bits, permuted_within
from distembed.apps.lineage.judge import _generation
from distembed.apps.run import load
from distembed.sets.read import read

SETTINGS = replace(load("lineage").scales["tiny"], detected=3)


def rewrite(path, change):
    text = gzip.decompress(path.read_bytes()).decode()
    path.write_bytes(gzip.compress(change(text).encode()))


def test_both_layouts_give_the_same_sets(tmp_path):
    anndata = pytest.importorskip("anndata")
    (tmp_path / "parts").mkdir()
    (tmp_path / "h5ad").mkdir()
    cells = read_cells(clones(tmp_path / "parts"))
    obs = pd.DataFrame(
        {name: cells.columns[name] for name in ("clone", "day", "state")},
        index=np.arange(len(cells.columns["day"])).astype(str),
    )
    table = anndata.AnnData(cells.x, obs=obs, var=pd.DataFrame(index=list(cells.features)))
    table.write_h5ad(tmp_path / "h5ad" / "larry_invitro_781.h5ad")
    for own, other in zip(
        data(tmp_path / "parts", SETTINGS), data(tmp_path / "h5ad", SETTINGS), strict=True
    ):
        assert own.ids.tolist() == other.ids.tolist()
        assert own.features == other.features
        np.testing.assert_array_equal(own.batch([0, 3]).x, other.batch([0, 3]).x)
        assert own.meta.keys() == other.meta.keys()


def test_clones_are_whole_and_genes_are_those_of_training(tmp_path):
    train, test = data(clones(tmp_path), SETTINGS)
    assert not set(train.meta["clone"]) & set(test.meta["clone"])
    assert "clone0" in {*train.meta["clone"], *test.meta["clone"]}
    types, shares = compositions(test)
    assert len(types) == 5
    np.testing.assert_allclose(shares.sum(1), 1)
    early = test.meta["day"] < 6
    assert (shares[early, types.index("Undifferentiated")] == 1).all()
    x = train.batch(range(len(train))).x
    assert ((x > 0).sum(0) >= SETTINGS.detected).all()


def test_genes_are_chosen_by_training_cells(tmp_path):
    every = replace(SETTINGS, genes=40, detected=1)
    parts = data(clones(tmp_path), every)
    few = data(tmp_path, replace(every, genes=12))[0].features
    logs = [part.batch(range(len(part))).x.double().log1p() for part in parts]
    names = np.array(parts[0].features)

    def largest(x):
        return set(names[np.argsort(-x.var(0, correction=0).numpy())[:12]])

    assert set(few) == largest(logs[0])
    # all cells would choose others, so that the line above tells the two apart
    assert set(few) != largest(torch.cat(logs))


def test_cells_of_no_clone_or_of_two_are_left_out_and_counted(tmp_path, caplog):
    folder = clones(tmp_path)
    path = folder / "stateFate_inVitro_clone_matrix.mtx.gz"
    member = io.mmread(gzip.open(path)).tocsr()
    count = np.asarray(member.sum(1)).ravel()
    assert (count == 0).any()
    assert (count == 2).any()
    cells = read_cells(folder)
    assert cells.rows == (count == 1).sum()
    assert f"{(count == 0).sum()} of no clone, {(count == 2).sum()} of several" in caplog.text
    one = np.flatnonzero(count == 1)[0]
    assert cells.columns["clone"][0] == f"clone{member[one].indices[0]}"


@pytest.mark.parametrize(
    ("file", "change", "text"),
    [
        ("metadata", lambda t: t.replace("Time point", "Day"), "no column 'Time point'"),
        ("metadata", lambda t: t.rsplit("\n", 2)[0] + "\n", "do not belong together"),
        ("gene_names", lambda t: t + "Extra\n", "names 41 genes"),
    ],
)
def test_files_that_do_not_fit_are_refused(tmp_path, file, change, text):
    folder = clones(tmp_path)
    rewrite(folder / f"stateFate_inVitro_{file}.txt.gz", change)
    with pytest.raises(ValueError, match=text):
        read_cells(folder)


def test_a_missing_file_and_a_lone_phase_are_named(tmp_path):
    folder = clones(tmp_path)
    with pytest.raises(ValueError, match=r"0 clones with cells both before day 2"):
        data(folder, replace(SETTINGS, late=2.0))
    (folder / "stateFate_inVitro_metadata.txt.gz").unlink()
    with pytest.raises(ValueError, match=r"lacks stateFate_inVitro_metadata\.txt\.gz.*Weinreb"):
        data(folder, SETTINGS)


def test_genes_of_one_name_are_told_apart(tmp_path):
    folder = clones(tmp_path)
    rewrite(
        folder / "stateFate_inVitro_gene_names.txt.gz", lambda t: t.replace("Gene7\n", "Gene3\n")
    )
    features = read_cells(folder).features
    assert features[3] == "Gene3"
    assert features[7] == "Gene3.7"


@pytest.mark.parametrize(("heredity", "shared"), [(0.0, False), (0.3, True)])
def test_what_clones_inherit_is_above_the_null_and_nothing_else_is(tmp_path, heredity, shared):
    folder = clones(tmp_path, clones=150, early_bias=0.0, heredity=heredity)
    _, test = data(folder, replace(SETTINGS, test=0.9))
    vectors = phases(atom_means(test, lambda x: x.log1p()), test, 6.0)
    types = phases(compositions(test)[1], test, 6.0)
    strata = types.late.argmax(1)
    rng = np.random.default_rng(0)
    # the first components, since a neighbour estimate of 40 dimensions is mostly bias
    axes = np.linalg.svd(vectors.late - vectors.late.mean(0), full_matrices=False)[2][:4].T
    x, y = vectors.early @ axes, vectors.late @ axes
    null = np.array([neighbour_bits(x, y[permuted_within(strata, rng)]) for _ in range(99)])
    p = (1 + (null >= neighbour_bits(x, y)).sum()) / 100
    assert p == 0.01 if shared else p > 0.01


def test_the_label_of_the_bench_is_the_fate_of_early_cells(tmp_path):
    cohort = fate(clones(tmp_path, concentration=0.1), SETTINGS)
    assert set(cohort.target) == {"monocyte", "other"}
    assert (cohort.sets.sizes >= 2).all()
    cells = read_cells(tmp_path)
    late = cells.columns["day"] == 6
    for name, label in zip(cohort.sets.ids[:10], cohort.target, strict=False):
        own = cells.columns["state"][late & (cells.columns["clone"] == name)]
        assert ((own == "Monocyte").mean() > 0.5) == (label == "monocyte")


class Normal:
    """A model whose embedding is the mean of unit normal cells."""

    def atom_transform(self, x):
        return x

    def sample(self, z, n, rng, ground):
        noise = torch.randn(len(z), n, z.shape[1], generator=torch.Generator().manual_seed(rng))
        return torch.as_tensor(z)[:, None] + noise


def test_drawn_late_cells_stand_beside_all_clones_and_halves():
    rng = np.random.default_rng(0)
    size = np.tile([2, 3, 40], 40)
    mean = rng.normal(0, 3, (120, 2))
    # of each clone one early cell, far from all late ones
    cells = [m[None] + 50 for m in mean] + [
        m + rng.normal(size=(k, 2)) for m, k in zip(mean, size, strict=True)
    ]
    sets = read(cells, min_size=1).with_meta(
        {"clone": np.tile(np.arange(120).astype(str), 2), "day": np.repeat([2.0, 6.0], 120)}
    )
    held_out = sets.meta["clone"].astype(int) >= 60
    train, test = sets.select(~held_out), sets.select(held_out)
    case = Case(None, SETTINGS, train, test, Normal(), print)
    vectors = Phases(np.arange(60, 120).astype(str), -mean[60:], mean[60:])
    forecast = SimpleNamespace(predict=lambda early: -early, train=SimpleNamespace(late=mean[:60]))
    scores = {s.method: s for s in _generation(case, forecast, vectors)}
    assert set(scores) == {"gde", "unconditional", "persistence", "pooled", "floor"}
    # the true law and another half of the clone have a distance of zero
    for name in ("gde", "floor"):
        assert scores[name].low < 0 < scores[name].high
    # N(0, 9 + 1) of all clones against N(m, 1): the spread of the cells is nearer than one mean,
    # and far nearer than N(-m, 1)
    assert 1 < scores["pooled"].value < scores["unconditional"].value
    assert scores["unconditional"].value < scores["persistence"].value
    assert scores["gde"].p < 0.01
    few = replace(case, test=test.select(test.sizes < 4))
    assert "floor" not in {s.method for s in _generation(few, forecast, vectors)}
