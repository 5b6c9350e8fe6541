"""Stores of data that are larger than memory."""

import json
from pathlib import Path

import numpy as np

import distembed as de
from distembed.data.store import check_store


def store_without_features():
    """A store of a table without the names of its features."""
    de.build_store("cells.csv", "cells.store", by="patient")


def store_that_is_there():
    """A store that is there already."""
    de.build_store("cells.csv", "cells.store", by="patient", columns="height")
    de.build_store("cells.csv", "cells.store", by="patient", columns="mass")


def store_in_a_folder_of_others():
    """A store in a folder of other files."""
    Path("results").mkdir()
    de.build_store("cells.csv", "results", by="patient", columns="height", force=True)


def store_of_another_version():
    """A store of another version."""
    de.build_store("cells.csv", "cells.store", by="patient", columns="height")
    header = json.loads(Path("cells.store/store.json").read_text())
    Path("cells.store/store.json").write_text(json.dumps(header | {"version": 7}))
    de.read("cells.store")


def store_that_is_not_there():
    """A store that is not there."""
    check_store("cell.store")


def store_of_a_second_table_without_a_set():
    """A second table without a row for a set, as a store is built."""
    Path("doses.csv").write_text("patient,dose\np00,1\n")
    options = {"by": "patient", "columns": "height", "metadata": "doses.csv"}
    de.build_store("cells.csv", "cells.store", **options)


def store_that_is_cut():
    """A store of which a file is cut."""
    de.build_store("cells.csv", "cells.store", by="patient", columns="height")
    data = Path("cells.store/x.npy").read_bytes()
    Path("cells.store/x.npy").write_bytes(data[:-100])
    de.read("cells.store")


def store_whose_bits_changed():
    """A store whose content has changed."""
    de.build_store("cells.csv", "cells.store", by="patient", columns="height")
    data = Path("cells.store/x.npy").read_bytes()
    Path("cells.store/x.npy").write_bytes(data[:-4] + b"gone")
    check_store("cells.store")


def store_of_an_old_source():
    """A store whose source has changed since."""
    Path("small.csv").write_text("s,x\na,1.5\na,2.5\nb,3.5\nb,4\n")
    de.build_store("small.csv", "small.store", by="s", columns="x")
    Path("small.csv").write_text("s,x\na,1.5\na,2.5\nb,3.5\nb,9\n")
    check_store("small.store")


def store_read_by_another_column():
    """A store that is read by another column than it was built by."""
    de.build_store("cells.csv", "cells.store", by="patient", columns="height")
    de.read("cells.store", by="group")


def store_read_with_options():
    """A store that is read with what is decided when it is built."""
    de.build_store("cells.csv", "cells.store", by="patient", columns="height")
    de.read("cells.store", max_size=10)


def folder_without_store():
    """A folder that holds no store."""
    Path("results").mkdir()
    de.read("results", by="patient")


def folder_of_files():
    """A folder of files in place of a pattern."""
    Path("plate").mkdir()
    Path("plate/p01.fcs").touch()
    de.read("plate")


def folder_of_cells():
    """A folder of AnnData, which no pattern reads."""
    Path("cells").mkdir()
    Path("cells/one.h5ad").touch()
    de.read("cells", by="patient")


def logarithms_without_components():
    """Logarithms without principal components."""
    de.build_store("cells.csv", "s", by="patient", columns="height", log1p=True)


def components_without_names():
    """Principal components of features without names."""
    de.build_store([np.zeros((5, 2)), np.ones((5, 2))], "s", pca=1)


def more_components_than_features():
    """More principal components than features of a store."""
    de.build_store("cells.csv", "s", by="patient", columns=["height", "mass"], pca=3)


def files_of_two_forms():
    """Files that have other features."""
    Path("one.csv").write_text("s,x,y\na,1,2\na,3,4\n")
    Path("two.csv").write_text("s,y,x\na,1,2\na,3,4\n")
    de.build_store(["one.csv", "two.csv"], "s", by="s", columns="[xy]")


def pattern_without_files():
    """A pattern that matches no file."""
    de.build_store("parts/*.csv", "s", by="patient", columns="height")
