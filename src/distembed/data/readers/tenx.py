"""Read count matrices of single cells as 10x Genomics writes them, each of which is a sample.

A file, a folder or a pattern of either is a source. The columns of a cell are `barcode`, the label
of its file, the fields of the pattern, `gem_well` (the digits after the barcode, by which `aggr`
numbers its samples), and those of a table with one row a cell.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from distembed.data.file_rows import FileRows, choose, stacked
from distembed.data.observations import Observations, refuse_unknown
from distembed.data.readers.annotation import labelled, repeated
from distembed.data.readers.base import Request
from distembed.data.readers.cell_annotation import BARCODE, annotated_cells
from distembed.data.readers.dialect import suffix
from distembed.data.readers.files import FILE, NamedFile, files_of, is_pattern, labels_of
from distembed.data.readers.tenx_layout import MATRICES, CountMatrix, matrix_in, read_counts

__all__ = ["TenXReader"]

logger = logging.getLogger(__name__)

_GENES = "Gene Expression"
WELL = "gem_well"
"""Column of the digits after a barcode."""


@dataclass(frozen=True)
class TenXReader:
    """Reader of count matrices of 10x Genomics.

    Attributes:
        genes: AnnData and MuData: a boolean column of `var`, names of genes, or a boolean mask
            `(G,)`; 10x: names or ids of features.
        modality: MuData: the modality, or several, which are joined by cells; 10x: types of
            features, "Gene Expression" by default.
        annotation: FASTA and 10x: a table with one row a sequence or a cell, joined on its id or
            barcode.
        key: FASTA and 10x: column of the annotation with the ids; where left out, the one that
            has most.
    """

    genes: str | Sequence[str] | None = None
    modality: str | Sequence[str] | None = None
    annotation: str | Mapping[str, Any] | None = None
    key: str | None = None

    suffixes: ClassVar[tuple[str, ...]] = (".h5", ".mtx", ".mtx.gz")
    selection: ClassVar[str | None] = "genes"

    @classmethod
    def accepts(cls, source: Any, by: Any) -> bool:
        """Return whether the source is a folder with a matrix, or a pattern of such folders."""
        if not isinstance(source, Path):
            return False
        return bool(matrix_in(source)) or is_pattern(source) and _of_folders(source)

    def read(self, source: Any, request: Request) -> tuple[Observations, list[str]]:
        """Read cells, with the columns of labels of their file.

        Cells without a row in the annotation are left out, and their number is logged.

        Raises:
            FileNotFoundError: If a file is not there.
            ImportError: If h5py, which comes with the extra `anndata`, is not installed.
            NotByRows: If counts are to stay in a file, and it does not store them by cells.
            ValueError: If a file is damaged or has other features than the first, a feature is
                unknown, or the annotation does not fit.
        """
        if request.encode is not None:
            raise ValueError("Counts of cells are numbers, and tokens are requested.")
        folders = Path(source).is_dir() or is_pattern(source) and _of_folders(source)
        named = files_of(source, matrix_in) if folders else files_of(source)
        read = partial(read_counts, in_file=request.in_file)
        first = self._chosen(read(named[0].path))
        parts = [first, *(self._like(first, read(one.path)) for one in named[1:])]
        columns = _columns(named, parts)
        x = stacked([part.x for part in parts])
        name = named[0].path.name if len(named) == 1 else str(source)
        exact: dict[str, np.ndarray] = {}
        if self.annotation is not None:
            tied = [n for n in columns if n not in (BARCODE, WELL)]
            columns, exact, kept = annotated_cells(
                name, columns, tied, self.annotation, self.key, request
            )
            x = choose(x, kept)
        _say_empty(name, x)
        labels = request.labels or labels_of(source) or [FILE]
        refuse_unknown([*labels, *request.keep], columns, f"column of {name}")
        chosen = columns if request.meta is None else dict.fromkeys([*labels, *request.keep])
        observations = Observations(
            x,
            {n: columns[n] for n in chosen},
            first.names,
            {n: v for n, v in exact.items() if n in chosen},
        )
        return labelled(name, observations, labels, "cell"), labels

    def _chosen(self, counts: CountMatrix) -> CountMatrix:
        """Choose features by their type and name, and log types that are left out."""
        types = list(dict.fromkeys(counts.types))
        wanted = [self.modality] if isinstance(self.modality, str) else self.modality
        if wanted is None:
            wanted = [_GENES] if _GENES in types else types
            if left := [kind for kind in types if kind not in wanted]:
                logger.warning(
                    "%s: features of the types %s are left out; name types in `modality`, beside "
                    "%r or in its place",
                    counts.name, ", ".join(map(repr, left)), _GENES,
                )  # fmt: skip
        refuse_unknown(wanted, types, f"type of features in {counts.name}")
        chosen = np.flatnonzero(np.isin(counts.types, list(wanted)))
        counts = counts if len(chosen) == len(counts.types) else counts.columns(chosen)
        apart = counts.named_apart()
        if by_id := sum(a != b for a, b in zip(apart.names, counts.names, strict=True)):
            logger.warning(
                "%s: %d features whose name others have, or that have none, are named by their id",
                counts.name, by_id,
            )  # fmt: skip
        if self.genes is None:
            return apart
        genes = [self.genes] if isinstance(self.genes, str) else list(self.genes)
        place = {name: j for part in (apart.ids, apart.names) for j, name in enumerate(part)}
        refuse_unknown(genes, place, f"feature of {counts.name}")
        return apart.columns([place[gene] for gene in genes])

    def _like(self, first: CountMatrix, counts: CountMatrix) -> CountMatrix:
        """Choose the features of another file, in its order, by their ids."""
        if twice := repeated(counts.ids):
            raise ValueError(
                f"{counts.name} has the feature {twice!r} twice, so that it is not clear which is "
                f"that of {first.name}. Write the file again from its source."
            )
        place = {own: j for j, own in enumerate(counts.ids)}
        if missing := [own for own in first.ids if own not in place]:
            raise ValueError(
                f"{counts.name} has not the features of {first.name}: it lacks {len(missing)} of "
                f"{len(first.ids)}, such as {missing[0]!r}. Files that are read together have one "
                "reference; name the features that all have in `genes`."
            )
        if self.genes is None:
            kinds = set(first.types)
            mine = {i for i, kind in zip(counts.ids, counts.types, strict=True) if kind in kinds}
            if more := mine - set(first.ids):
                raise ValueError(
                    f"{counts.name} has {len(more)} features that {first.name} has not, such as "
                    f"{min(more)!r}. Files that are read together have one reference; name the "
                    "features that all have in `genes`."
                )
        return counts.columns([place[own] for own in first.ids])


def _of_folders(pattern: str | Path) -> bool:
    """Return whether a pattern is of folders with a matrix, and of no files."""
    if suffix(pattern) in TenXReader.suffixes:
        return False
    try:
        return bool(files_of(pattern, matrix_in))
    except (FileNotFoundError, ValueError):
        return False


def _columns(named: Sequence[NamedFile], parts: Sequence[CountMatrix]) -> dict[str, np.ndarray]:
    """Return the columns of all cells that files hold."""
    barcodes = np.concatenate([part.barcodes for part in parts])
    sizes = [len(part.barcodes) for part in parts]
    labels = [_of_file(one) for one in named]
    columns = {BARCODE: barcodes}
    columns |= {n: np.repeat([label[n] for label in labels], sizes) for n in labels[0]}
    wells = [barcode.rpartition("-")[2] for barcode in barcodes.tolist()]
    if all("-" in b and w.isdigit() for b, w in zip(barcodes.tolist(), wells, strict=True)):
        columns.setdefault(WELL, np.array(wells))
    return columns


def _of_file(one: NamedFile) -> Mapping[str, str]:
    """Return the labels of a file; that of a matrix in a folder is the name of the folder."""
    path = one.path
    if one.labels[FILE].rpartition("/")[2] == "matrix" and path.name in MATRICES:
        folder = one.labels[FILE].rpartition("/")[0] or path.resolve().parent.name
        return {**one.labels, FILE: folder}
    return one.labels


def _say_empty(name: str, x: Any) -> None:
    """Log cells without any count, which a matrix of called cells has not."""
    pieces = x.pieces() if isinstance(x, FileRows) else [x]
    empty = sum(int((np.asarray(abs(piece).sum(1)).ravel() == 0).sum()) for piece in pieces)
    if empty:
        logger.warning(
            "%d of %d barcodes of %s have no count of the features that are read; read the matrix "
            "of called cells (filtered), or name the cells by annotation=TABLE",
            empty, x.shape[0], name,
        )  # fmt: skip
