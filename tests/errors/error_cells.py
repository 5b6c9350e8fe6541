"""Count matrices of 10x, MuData, hierarchies and shared atoms."""

import gzip
from pathlib import Path

import h5py
import numpy as np

import distembed as de
from distembed.heads.cross_validation import cross_validated
from distembed.inference.tests.two_sample import two_sample_test


def matrix_without_lists():
    """A folder of 10x without its list of barcodes."""
    Path("s1").mkdir()
    Path("s1/matrix.mtx.gz").write_bytes(gzip.compress(b""))
    de.read("s1")


def matrix_of_another_layout():
    """HDF5 of another layout."""
    with h5py.File("cells.h5", "w") as file:
        file["counts"] = np.zeros((3, 2))
    de.read("cells.h5")


def matrix_that_is_transposed():
    """A matrix of cells by genes, and not of genes by cells."""
    Path("s1").mkdir()
    head = "%%MatrixMarket matrix coordinate integer general"
    Path("s1/matrix.mtx").write_text(f"{head}\n3 2 1\n1 1 5\n")
    Path("s1/barcodes.tsv").write_text("AAAC-1\nAAAG-1\nAAAT-1\n")
    Path("s1/genes.tsv").write_text("ENSG1\tCD3E\nENSG2\tMS4A1\n")
    de.read("s1")


def cells_of_no_row():
    """Barcodes that are written in another way in the annotation."""
    Path("s1").mkdir()
    head = "%%MatrixMarket matrix coordinate integer general"
    Path("s1/matrix.mtx").write_text(f"{head}\n1 2 1\n1 1 5\n")
    Path("s1/barcodes.tsv").write_text("AAAC-1\nAAAG-1\n")
    Path("s1/genes.tsv").write_text("ENSG1\tCD3E\n")
    de.read("s1", by="type", annotation={"barcode": ["AAAC", "AAAG"], "type": ["T", "B"]})


def modality_that_is_not_named():
    """MuData of several modalities."""
    with h5py.File("cells.h5mu", "w") as file:
        for name in ("mod/rna", "mod/protein", "obs", "var"):
            file.create_group(name)
    de.read("cells.h5mu", by="donor")


def mudata_that_is_anndata():
    """A file of another layout under the name of MuData."""
    with h5py.File("cells.h5mu", "w") as file:
        file["X"] = np.zeros((3, 2))
    de.read("cells.h5mu", by="donor")


def hierarchy_of_one_level():
    """A hierarchy of one level."""
    atoms = de.read_atoms("cells.csv", columns="height", labels="patient")
    de.hierarchy(atoms, ["patient"])


def metadata_that_vary_at_every_level():
    """Metadata that vary within the sets of every level."""
    atoms = de.read_atoms("cells.csv", columns="height", labels=["group", "patient"])
    de.hierarchy(atoms, ["group", "patient"], meta="mass")


def folds_that_share_atoms():
    """Folds that share atoms."""
    atoms = de.read_atoms({"day": np.arange(60.0), "score": np.arange(60.0) % 7}, columns="score")
    weeks = de.by_window(atoms, "day", width=7, stride=2)
    cross_validated(weeks, weeks.meta["day_from"])


def rows_that_are_not_of_the_atoms():
    """Rows that are not those of the atoms that two sets share."""
    x = np.arange(6.0)[:, None]
    two_sample_test(lambda sets: sets.mean(sets.x), x[:3], x[3:], rows=[[0, 1, 2], [2, 4, 5]])


def samples_before_they_are_embedded():
    """Distances of samples that were not embedded yet."""
    de.SampleMethod("donor").calculate_distance_matrix()


def samples_of_no_column():
    """Samples in a column that there is not."""
    import anndata

    adata = anndata.AnnData(np.zeros((4, 2), "float32"), obs={"donor": ["a", "a", "b", "b"]})
    de.SampleMethod("patient", layer=None).prepare_anndata(adata)
