"""Reading tables and AnnData."""

from pathlib import Path

import numpy as np

import distembed as de


def file_not_there():
    """A file that is not there."""
    de.read("cell.csv", by="patient")


def unknown_format():
    """A file of another format.

    Save the table as CSV or Parquet.
    """
    de.read("cells.xlsx", by="patient")


def not_a_source():
    """A source that holds no sets."""
    de.read(42, by="patient")


def no_by():
    """A table without the column of sets."""
    de.read("cells.csv")


def missing_column():
    """A column that is not there."""
    de.read("cells.csv", by="patients")


def pattern_without_match():
    """A pattern that matches no column."""
    de.read("cells.csv", by="patient", columns="PC*")


def option_of_another_reader():
    """An option of another reader."""
    de.read("cells.csv", by="patient", layer="counts")


def text_column():
    """A column of text as a feature."""
    de.read("cells.csv", by="patient", columns=["height", "group"])


def no_feature():
    """No column that could be a feature.

    A column with one value a set is metadata, so sets of one row leave no feature to recognise.
    """
    table = {"patient": ["a", "a", "b", "b"], "age": [50, 50, 61, 61]}
    de.read(table, by="patient")


def text_among_numbers():
    """Text among numbers."""
    Path("odd.csv").write_text("patient,height\na,1.5\na,tall\nb,2\nb,3\n")
    de.read("odd.csv", by="patient", columns="height")


def missing_number():
    """A missing value in a feature."""
    Path("odd.csv").write_text("patient,height,mass\na,1.5,70\na,,72\nb,2,81\nb,3,80\n")
    de.read("odd.csv", by="patient").checked()


def twice_the_same_column():
    """Two columns of one name."""
    Path("odd.csv").write_text("patient,height,height\na,1,2\na,3,4\n")
    de.read("odd.csv", by="patient")


def row_of_another_length():
    """A row with too many cells."""
    Path("odd.csv").write_text("patient,height\na,1\na,2,5\nb,2\nb,3\n")
    de.read("odd.csv", by="patient")


def header_alone():
    """A table without rows."""
    Path("odd.csv").write_text("patient,height\n")
    de.read("odd.csv", by="patient")


def damaged_parquet():
    """A damaged Parquet file.

    Copy the file again, or write it again from its source.
    """
    Path("odd.parquet").write_bytes(b"PAR1 and no more")
    de.read("odd.parquet", by="patient")


def row_without_label():
    """A row that belongs to no set."""
    Path("odd.csv").write_text("patient,height\na,1\na,2\n,2\nb,3\n")
    de.read("odd.csv", by="patient", columns="height")


def metadata_that_vary():
    """Metadata that vary within a set."""
    de.read("cells.csv", by="patient", columns="height", meta="mass")


def weights_of_text():
    """Weights that are text."""
    de.read("cells.csv", by="patient", columns="height", weights="group")


def negative_weight():
    """A negative weight."""
    table = {"patient": ["a", "a", "b", "b"], "height": [1, 2, 3, 5], "w": [1, -1, 1, 1]}
    de.read(table, by="patient", columns="height", weights="w")


def weights_of_zero():
    """A set whose weights are all zero."""
    table = {"patient": ["a", "a", "b", "b"], "height": [1, 2, 3, 5], "w": [1, 1, 0, 0]}
    de.read(table, by="patient", columns="height", weights="w")


def sets_too_small():
    """No set that is large enough."""
    de.read("cells.csv", by="patient", min_size=1000)


def largest_size_of_zero():
    """Sets of at most no atom."""
    de.read("cells.csv", by="patient", max_size=0)


def metadata_of_two_rows():
    """A second table with two rows for one set."""
    table = {"patient": ["a", "a", "b", "b"], "height": [1, 2, 3, 5]}
    visits = {"patient": ["a", "a", "b"], "age": [50, 51, 61]}
    de.read(table, by="patient", columns="height", metadata=visits)


def metadata_without_a_row():
    """A second table that lacks a set."""
    table = {"patient": ["a", "a", "b", "b"], "height": [1, 2, 3, 5]}
    de.read(table, by="patient", columns="height", metadata={"patient": ["a"], "age": [50]})


def metadata_with_the_suffix_of_files():
    """Metadata that name files with their suffix."""
    Path("p01.csv").write_text("x,y\n1,2\n3,4\n")
    Path("p02.csv").write_text("x,y\n5,2\n3,1\n")
    de.read("p*.csv", metadata={"file": ["p01.csv", "p02.csv"], "age": [50, 61]})


def metadata_by_another_column():
    """Metadata that name files in another column."""
    Path("p01.csv").write_text("x,y\n1,2\n3,4\n")
    Path("p02.csv").write_text("x,y\n5,2\n3,1\n")
    de.read("p*.csv", metadata={"patient": ["p01", "p02"], "age": [50, 61]})


def metadata_that_disagree():
    """A column that differs in the second table."""
    table = {"patient": ["a", "a", "b", "b"], "height": [1, 2, 3, 5], "age": [50, 50, 61, 61]}
    visits = {"patient": ["a", "b"], "age": [50, 62]}
    de.read(table, by="patient", columns="height", metadata=visits)


def metadata_of_another_format():
    """A second table of another format."""
    Path("patients.xlsx").touch()
    de.read("cells.csv", by="patient", metadata="patients.xlsx")


def metadata_that_are_no_table():
    """A second table that is a list."""
    de.read("cells.csv", by="patient", metadata=[1, 2])


def sequences_without_a_column():
    """Sequences, and no column is named."""
    table = {"sample": ["a", "a"], "seq": ["ACGT", "AC"]}
    de.read(table, by="sample", atoms={"name": "tokens", "alphabet": "ACGT"})


def numbers_as_sequences():
    """Numbers as sequences."""
    tokens = {"name": "tokens", "alphabet": "ACGT"}
    de.read("cells.csv", by="patient", columns="height", atoms=tokens)


def missing_sequence():
    """A missing sequence."""
    table = {"sample": ["a", "a"], "seq": ["ACGT", ""]}
    tokens = {"name": "tokens", "alphabet": "ACGT"}
    de.read(table, by="sample", columns="seq", atoms=tokens)


def symbol_outside_the_alphabet():
    """A symbol that is not in the alphabet."""
    table = {"sample": ["a", "a"], "seq": ["ACGT", "ACGN"]}
    tokens = {"name": "tokens", "alphabet": "ACGT"}
    de.read(table, by="sample", columns="seq", atoms=tokens)


def damaged_h5ad():
    """A damaged .h5ad file.

    Copy the file again, or write it again from its source.
    """
    Path("cells.h5ad").write_bytes(b"no HDF5")
    de.read("cells.h5ad", by="patient")


def h5ad_not_there():
    """An .h5ad file that is not there."""
    de.read("none.h5ad", by="patient")


def obsm_with_genes():
    """An embedding of AnnData, and genes."""
    de.read("cells.h5ad", by="patient", obsm="X_pca", genes="highly_variable")


def anndata_without_x():
    """An AnnData without X."""
    import anndata
    import pandas as pd

    adata = anndata.AnnData(obs=pd.DataFrame({"patient": ["a", "a"]}, index=["c1", "c2"]))
    de.read(adata, by="patient")


def anndata_of_tokens():
    """Sequences from AnnData."""
    tokens = {"name": "tokens", "alphabet": "ACGT"}
    de.read("cells.h5ad", by="patient", atoms=tokens)


def column_of_var_of_numbers():
    """Genes by a column that is no mask."""
    import anndata
    import pandas as pd

    obs = pd.DataFrame({"patient": ["a", "a"]}, index=["c1", "c2"])
    var = pd.DataFrame({"score": [0.5, 2.0]}, index=["g1", "g2"])
    de.read(anndata.AnnData(np.eye(2), obs, var), by="patient", genes="score")


def mask_of_another_length():
    """A mask of genes of another length."""
    import anndata
    import pandas as pd

    obs = pd.DataFrame({"patient": ["a", "a"]}, index=["c1", "c2"])
    de.read(anndata.AnnData(np.eye(2), obs), by="patient", genes=np.array([True, False, True]))


def no_gene():
    """No gene at all."""
    import anndata
    import pandas as pd

    obs = pd.DataFrame({"patient": ["a", "a"]}, index=["c1", "c2"])
    de.read(anndata.AnnData(np.eye(2), obs), by="patient", genes=[])
