"""Readers of observations, one for each kind of source; the first that accepts a source reads it.

A new reader is a class with the protocol `distembed.data.readers.base.Reader`, in a file of its
own, and a line below. Its options are arguments of `distembed.read`, keys of the config and
options of the command line.
"""

from __future__ import annotations

from distembed.registry import Family, Member

__all__ = ["READERS"]

_HOME = "distembed.data.readers"
READERS: Family = {
    "store": Member(
        f"{_HOME}.store:StoreReader",
        "folders that `distembed data build` wrote",
        atoms=("vectors", "counts", "images", "tokens"),
    ),
    "cells": Member(
        f"{_HOME}.cells:CellReader", "AnnData: an object, an .h5ad file or a .zarr folder"
    ),
    "mudata": Member(
        f"{_HOME}.multimodal:MuDataReader", "MuData: an object or an .h5mu file, by its modalities"
    ),
    "table": Member(
        f"{_HOME}.table:TableReader",
        ".csv, .tsv, .txt (or .gz) and .parquet files, data frames, Hugging Face datasets, "
        "dicts of columns",
        atoms=("vectors", "counts", "tokens"),
    ),
    "fasta": Member(
        f"{_HOME}.fasta:FastaReader",
        ".fasta, .fa, .faa, .fna, .ffn and .fas files (or .gz, .xz)",
        atoms=("tokens",),
    ),
    "pat": Member(
        f"{_HOME}.pat:PatReader",
        ".pat files (or .gz): patterns of methylation with counts",
        atoms=("tokens",),
    ),
    "fcs": Member(
        f"{_HOME}.fcs:FcsReader",
        ".fcs files of cytometry, each a set of cells",
        extra="fcs",
    ),
    "tenx": Member(
        f"{_HOME}.tenx:TenXReader",
        "count matrices of 10x Genomics: .h5 files, folders with matrix.mtx, patterns of either",
    ),
    "idx": Member(
        f"{_HOME}.idx:IdxReader",
        ".idx3-ubyte files (or .gz): images of MNIST and its relatives, with labels beside them",
        atoms=("images",),
    ),
    "pictures": Member(
        f"{_HOME}.pictures:PictureReader",
        ".png, .jpg, .bmp and .tif files by a pattern, each an image or crops by a table of boxes",
        extra="images",
        atoms=("images",),
    ),
    "arrays": Member(
        f"{_HOME}.arrays:ArrayReader",
        "arrays or strings in memory, one array a set or one with labels",
        atoms=("vectors", "counts", "images", "tokens"),
    ),
}
