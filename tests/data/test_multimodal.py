"""MuData: an object and a file, one modality and several, annotation, and damage."""

import contextlib
import warnings

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

import distembed as de
from distembed.data.store import check_store

anndata = pytest.importorskip("anndata")
h5py = pytest.importorskip("h5py")
pandas = pytest.importorskip("pandas")

RNA, PROTEIN = 7, 6


def parts():
    """Return the modalities: the protein of one cell of the others is missing."""
    rng = np.random.default_rng(0)
    names = [f"c{i}" for i in range(RNA)]
    rna = anndata.AnnData(
        scipy.sparse.csr_matrix(rng.poisson(1.0, (RNA, 3)).astype(np.float32)),
        obs=pandas.DataFrame({"cluster": list("xxyyxyx")}, index=names),
        var=pandas.DataFrame({"hvg": [True, False, True]}, index=["CD3E", "MS4A1", "TBCE"]),
    )
    rna.layers["scaled"] = rng.normal(size=(RNA, 3))
    rna.obsm["X_pca"] = rng.normal(size=(RNA, 2))
    order = [3, 0, 6, 2, 5, 1]
    protein = anndata.AnnData(
        rng.normal(size=(PROTEIN, 2)).astype(np.float32),
        obs=pandas.DataFrame({"cluster": list("ababab")}, index=[names[i] for i in order]),
        var=pandas.DataFrame({"hvg": [True, True]}, index=["CD3", "CD19"]),
    )
    obs = pandas.DataFrame({"donor": ["07", "07", "8", "8", "07", "8", "07"]}, index=names)
    return rna, protein, obs


def write_by_hand(path):
    """Write the groups of an `.h5mu` file, as its specification lists them."""
    rna, protein, obs = parts()
    write = anndata.io.write_elem
    with h5py.File(path, "w") as file:
        file.attrs.update({"encoding-type": "MuData", "encoding-version": "0.1.0", "axis": 0})
        write(file, "obs", obs)
        write(file, "var", pandas.concat([rna.var, protein.var]))
        for name, part in (("rna", rna), ("protein", protein)):
            write(file.require_group("mod"), name, part)
    return path


def by_library(path=None):
    mudata = pytest.importorskip("mudata")
    rna, protein, obs = parts()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of a default that will change
        whole = mudata.MuData({"rna": rna, "protein": protein})
        whole.obs["donor"] = obs["donor"]
        if path is None:
            return whole
        whole.write(path)
    return path


@pytest.fixture(params=["hand", "library", "object"])
def source(request, tmp_path):
    if request.param == "hand":
        return write_by_hand(tmp_path / "cells.h5mu")
    if request.param == "library":
        return by_library(tmp_path / "cells.h5mu")
    return by_library()


def test_one_modality_is_read_as_anndata_is(source):
    rna, protein, obs = parts()
    sets = de.read(source, by="donor", modality="rna")
    assert (sets.ids.tolist(), sets.features) == (["07", "8"], ("CD3E", "MS4A1", "TBCE"))
    assert (sets.observations.sparse, sets.atoms.name) == (True, "counts")
    rows = np.flatnonzero(obs["donor"] == "8")
    np.testing.assert_array_equal(sets.batch([1]).x, rna.X[rows].toarray())
    layer = de.read(source, by="donor", modality="rna", layer="scaled", genes="hvg")
    assert layer.features == ("CD3E", "TBCE")
    np.testing.assert_allclose(
        layer.batch([1]).x, rna.layers["scaled"][rows][:, [0, 2]], rtol=1e-6
    )
    pca = de.read(source, by="donor", modality="rna", obsm="X_pca")
    np.testing.assert_allclose(pca.batch([1]).x, rna.obsm["X_pca"][rows], rtol=1e-6)
    clusters = de.read(source, by="cluster", modality="protein", min_size=1)
    np.testing.assert_array_equal(clusters.batch([1]).x, protein.X[1::2])


def test_modalities_are_joined_by_the_names_of_cells(source, caplog):
    rna, protein, obs = parts()
    sets = de.read(source, by="donor", modality=["rna", "protein"])
    assert sets.features == (
        "rna:CD3E", "rna:MS4A1", "rna:TBCE", "protein:CD3", "protein:CD19",
    )  # fmt: skip
    assert "1 of 7 cells of" in caplog.text
    assert "do not have all of the modalities rna, protein" in caplog.text
    kept = [name for name in rna.obs_names if name in protein.obs_names]
    expected = np.hstack([rna[kept].X.toarray(), protein[kept].X])
    donors = obs.loc[kept, "donor"]
    for i, donor in enumerate(["07", "8"]):
        np.testing.assert_array_equal(sets.batch([i]).x, expected[donors == donor])
    atoms = de.read_atoms(source, modality=["protein", "rna"], labels="donor")
    assert atoms.columns["protein:cluster"].tolist() == list("ababab")
    assert atoms.columns["donor"].tolist() == obs.loc[protein.obs_names, "donor"].tolist()
    some = de.read(source, by="donor", modality=["rna", "protein"], genes="hvg")
    assert some.features == ("rna:CD3E", "rna:TBCE", "protein:CD3", "protein:CD19")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, "has the modalities '.*', '.*'. Choose one, or several to join, by `modality`"),
        ({"modality": "rnaa"}, "no modality in .* 'rnaa'; close names are: 'rna'"),
        ({"modality": "rna", "layer": "scale"}, "no layer.* 'scale'"),
        ({"modality": "rna", "obsm": "X_umap"}, "no embedding in obsm.* 'X_umap'"),
        ({"modality": "rna", "obsm": "X_pca", "genes": "hvg"}, "do not go with it"),
        ({"modality": ["rna", "protein"], "genes": ["CD3E"]}, "features of one modality, and 2"),
        ({"modality": "rna", "genes": ["CD9"]}, "no gene 'CD9'"),
        ({"modality": "rna", "by": "patient"}, "no column of obs 'patient'|no column 'patient'"),
        ({"modality": "rna", "by": None}, "needs `by`"),
        ({"modality": "rna", "columns": "CD3E"}, "'columns' is no option"),
    ],
)
def test_what_does_not_fit_is_refused(source, options, text):
    with pytest.raises(ValueError, match=text):
        de.read(source, **{"by": "donor", **options})


def test_cells_of_one_name_and_no_common_cell_are_refused(tmp_path):
    path = write_by_hand(tmp_path / "a.h5mu")
    with h5py.File(path, "r+") as file:
        index = file["mod/protein/obs/_index"]
        old = index[()]
        index[...] = [b"c0"] * PROTEIN
    with pytest.raises(ValueError, match="Two cells of the modality 'protein' of a.h5mu"):
        de.read(path, by="donor", modality=["rna", "protein"])
    with h5py.File(path, "r+") as file:
        file["mod/protein/obs/_index"][...] = [b"k" + name for name in old]
    with pytest.raises(ValueError, match="No cell of a.h5mu has all of the modalities"):
        de.read(path, by="donor", modality=["rna", "protein"])


def test_what_is_no_mudata_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError):
        de.read(tmp_path / "no.h5mu", by="donor")
    (tmp_path / "bad.h5mu").write_bytes(b"not HDF5")
    with pytest.raises(ValueError, match=r"bad.h5mu is damaged or is not HDF5"):
        de.read(tmp_path / "bad.h5mu", by="donor")
    parts()[0].write_h5ad(tmp_path / "plain.h5mu")
    with pytest.raises(ValueError, match=r"plain.h5mu is HDF5 and no MuData: it has no mod"):
        de.read(tmp_path / "plain.h5mu", by="donor")


@pytest.fixture(scope="module")
def whole_file(tmp_path_factory):
    path = write_by_hand(tmp_path_factory.mktemp("d") / "a.h5mu")
    return path, path.read_bytes()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.binary(min_size=1, max_size=8), st.booleans())
def test_damage_anywhere_ends_in_a_message(whole_file, where, what, cut):
    path, content = whole_file[0], bytearray(whole_file[1])
    place = where % len(content)
    content[place : place + len(what)] = what
    path.write_bytes(bytes(content[:place] if cut else content))
    with contextlib.suppress(ValueError):  # an error of another type would be no message
        sets = de.read(path, by="donor", modality=["rna", "protein"], min_size=1)
        assert len(sets.features) == 5


@pytest.mark.parametrize(
    "options",
    [
        {"modality": "rna"},
        {"modality": ["rna", "protein"]},
        {"modality": ["protein", "rna"], "genes": "hvg", "meta": "donor"},
        {"modality": "rna", "layer": "scaled", "genes": ["TBCE"]},
    ],
    ids=str,
)
def test_a_store_reads_modalities_in_parts(tmp_path, options, largest_part):
    path = write_by_hand(tmp_path / "a.h5mu")
    sets = de.build_store(path, tmp_path / "store", by="donor", memory=9, **options)
    whole = de.read(path, by="donor", **options)
    assert (sets.ids.tolist(), sets.features) == (whole.ids.tolist(), whole.features)
    assert (sets.atoms, list(sets.meta)) == (whole.atoms, list(whole.meta))
    np.testing.assert_array_equal(sets.batch([0, 1]).x, whole.batch([0, 1]).x)
    assert largest_part() == 1
    check_store(tmp_path / "store")


def test_a_model_reads_its_features_again(tmp_path):
    """New data are read by the names of the model's features, where one modality has them."""
    from distembed.data.readers.base import choose_reader

    path = write_by_hand(tmp_path / "a.h5mu")
    for modality in ("rna", ["rna"], ["rna", "protein"]):
        reader = choose_reader(path, values={"modality": modality})
        features = de.read(path, by="donor", modality=modality).features
        again = {} if reader.selection is None else {reader.selection: list(features)}
        sets = de.read(path, by="donor", modality=modality, **again)
        assert sets.features == features
