"""Read cells that were measured in several modalities: MuData, an object or an `.h5mu` file.

One modality is read as AnnData is. Several are joined by the names of cells: an atom is the
features of all of them, named `rna:CD3E` and the like, and cells that one of them lacks are left
out. Annotation is that of the whole (`obs`) and that of the modalities.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from distembed.data.file_rows import beside, choose
from distembed.data.labels import as_column, as_text, plain_column
from distembed.data.observations import Observations, refuse_unknown
from distembed.data.readers.base import Request, type_of
from distembed.data.readers.cells import read_cells
from distembed.data.readers.cells_in_file import cells_in_file
from distembed.data.readers.genes import refuse_both
from distembed.data.readers.hdf5 import check_hdf5
from distembed.registry import need

__all__ = ["MuDataReader"]

logger = logging.getLogger(__name__)

Columns = dict[str, np.ndarray]
_Part = tuple[Observations, np.ndarray]
"""The cells of a modality, and the name of each."""


@dataclass(frozen=True)
class MuDataReader:
    """Reader of MuData.

    Attributes:
        modality: MuData: the modality, or several, which are joined by cells; 10x: types of
            features, "Gene Expression" by default.
        layer: AnnData and MuData: layer to read instead of `X`.
        obsm: AnnData and MuData: embedding to read instead of `X`, such as "X_pca".
        genes: AnnData and MuData: a boolean column of `var`, names of genes, or a boolean mask
            `(G,)`; 10x: names or ids of features.
    """

    modality: str | Sequence[str] | None = None
    layer: str | None = None
    obsm: str | None = None
    genes: str | Sequence[str] | np.ndarray | None = None

    suffixes: ClassVar[tuple[str, ...]] = (".h5mu",)

    @property
    def selection(self) -> str | None:
        """Name of the option that selects features by name: of one modality, and no embedding."""
        one = self.modality is None or isinstance(self.modality, str) or len(self.modality) == 1
        return "genes" if self.obsm is None and one else None

    @classmethod
    def accepts(cls, source: Any, by: Any) -> bool:
        """Return whether the source is a MuData object."""
        return hasattr(source, "mod") and hasattr(source, "obsmap")

    def read(self, source: Any, request: Request) -> tuple[Observations, list[str]]:
        """Read the cells of a modality, or of several, and the columns of labels.

        Raises:
            FileNotFoundError, ImportError, ValueError: As `cells`, and if no column of labels is
                named or atoms are tokens.
        """
        if request.encode is not None:
            raise ValueError("Features of MuData are numbers, and tokens are requested.")
        keep = None if request.meta is None else request.keep
        observations = self.cells(source, keep, request.in_file)
        columns = observations.columns if request.meta is None else ()
        return observations, request.require_labels(source, columns)

    def cells(
        self, source: Any, keep: Sequence[str] | None = None, in_file: bool = False
    ) -> Observations:
        """Read the cells of a modality, or of several, with their annotation.

        Args:
            source: A MuData object, or the path of an `.h5mu` file.
            keep: Columns of annotation; all where None.
            in_file: Whether the atoms of a file stay in it until they are asked for.

        Raises:
            FileNotFoundError: If there is no such file.
            NotByRows: If they are to stay in the file, and it does not store them by cells.
            ImportError: If anndata is not installed.
            ValueError: If the file is damaged or is no MuData, the modality is not named and
                there are several, a name is unknown, or no cell has all modalities.
        """
        refuse_both(self.layer, self.obsm, self.genes)
        if isinstance(source, str | Path):
            cells = self._of_file(Path(source), in_file)
        else:
            where = type_of(source)
            chosen = {name: source.mod[name] for name in self._chosen(list(source.mod), where)}
            cells = self._joined(source.obs, self._read(chosen), where)
        if keep is None:
            return cells
        refuse_unknown(keep, cells.columns, "column of obs")
        both = cells.columns, cells.exact
        columns, exact = ({n: part[n] for n in dict.fromkeys(keep)} for part in both)
        return Observations(cells.x, columns, cells.features, exact)

    def _of_file(self, path: Path, in_file: bool) -> Observations:
        """Read what is needed of a file."""
        parts = check_hdf5(path)
        if not {"mod", "obs"} <= parts:
            raise ValueError(
                f"{path.name} is HDF5 and no MuData: it has no mod and obs. It holds: "
                f"{', '.join(sorted(parts)) or 'nothing'}."
            )
        read = need("anndata.io", "anndata").read_elem
        with need("h5py", "anndata").File(path) as file:
            try:
                names = list(file["mod"])
            except TypeError as error:
                raise ValueError(f"{path.name} is damaged: mod is no group.") from error
            chosen = self._chosen(names, path.name)
            parts_of = {name: file["mod"][name] for name in chosen}
            for name, group in parts_of.items():
                where = f"of the modality {name!r}"
                for key, value in (("layers", self.layer), ("obsm", self.obsm)):
                    kind = "layer" if key == "layers" else "embedding in obsm"
                    refuse_unknown([value] if value else [], _keys(group, key), f"{kind} {where}")
            try:
                obs = read(file["obs"])
                held = () if in_file else parts_of.items()
                cells = {name: self._cells(group, read) for name, group in held}
            except Exception as error:  # each of the readers in anndata has errors of its own
                raise ValueError(f"{path.name} cannot be read as MuData: {error}") from error
        if not in_file:
            return self._joined(obs, self._read(cells), path.name)
        in_parts = {n: cells_in_file(path, group=f"mod/{n}/", **self._options) for n in chosen}
        return self._joined(obs, in_parts, path.name)

    @property
    def _options(self) -> dict[str, Any]:
        """The options that choose the atoms of a modality."""
        return {"layer": self.layer, "obsm": self.obsm, "genes": self.genes}

    def _read(self, modalities: Mapping[str, Any]) -> dict[str, _Part]:
        """Read AnnData in memory."""
        return {
            name: (read_cells(cells, **self._options), np.asarray(cells.obs_names).astype(str))
            for name, cells in modalities.items()
        }

    def _cells(self, group: Any, read: Callable[[Any], Any]) -> Any:
        """Read the part of a modality that is needed, as AnnData."""
        named = {
            key: {value: read(group[key][value])}
            for key, value in (("layers", self.layer), ("obsm", self.obsm))
            if value
        }
        x = read(group["X"]) if "X" in group and not named else None
        tables = {key: read(group[key]) for key in ("obs", "var")}
        with warnings.catch_warnings():
            # names of genes may repeat, and those of cells are checked where they are needed
            warnings.filterwarnings("ignore", message=".*names are not unique")
            return need("anndata", "anndata").AnnData(x, **tables, **named)

    def _chosen(self, names: Sequence[str], where: str) -> list[str]:
        """Return the names of the modalities that are read."""
        if self.modality is None:
            if len(names) == 1:
                return list(names)
            raise ValueError(
                f"{where} has the modalities {', '.join(map(repr, names))}. Choose one, or "
                "several to join, by `modality`: --modality NAME on the command line, "
                "data.modality=NAME to `distembed fit`, or modality=NAME in Python."
            )
        wanted = [self.modality] if isinstance(self.modality, str) else list(self.modality)
        refuse_unknown(wanted, names, f"modality in {where}")
        chosen = list(dict.fromkeys(wanted))
        if len(chosen) > 1 and self.genes is not None and not isinstance(self.genes, str):
            raise ValueError(
                f"`genes` names features of one modality, and {len(chosen)} are joined. Name a "
                "boolean column of var that each of them has, or read one modality."
            )
        return chosen

    def _joined(self, obs: Any, modalities: Mapping[str, _Part], where: str) -> Observations:
        """Join the modalities that are read by the names of cells."""
        chosen, several = list(modalities), len(modalities) > 1
        parts = {name: part for name, (part, _) in modalities.items()}
        names = {name: _names(own, name, where) for name, (_, own) in modalities.items()}
        rows = {name: dict(zip(own, range(len(own)), strict=True)) for name, own in names.items()}
        shared = [c for c in names[chosen[0]] if all(c in rows[other] for other in chosen[1:])]
        if not shared:
            raise ValueError(f"No cell of {where} has all of the modalities {', '.join(chosen)}.")
        total = len(set().union(*names.values()))
        if len(shared) < total:
            logger.warning(
                "%d of %d cells of %s do not have all of the modalities %s, and are left out",
                total - len(shared), total, where, ", ".join(chosen),
            )  # fmt: skip
        at = {name: np.array([rows[name][c] for c in shared]) for name in chosen}
        columns = _annotation(obs, shared)
        for name, part in parts.items():
            for column, values in part.exact.items():
                own = f"{name}:{column}" if several or column in columns else column
                _say_other(own, columns.get(own), values[at[name]], where)
                columns[own] = values[at[name]]
        x = beside([choose(parts[name].x, at[name]) for name in chosen])
        features = tuple(
            f"{name}:{f}" if several else f for name in chosen for f in parts[name].features or ()
        )
        plain = {n: plain_column(v) for n, v in columns.items()}
        return Observations(x, plain, features, columns)


def _keys(group: Any, key: str) -> list[str]:
    """Return the names in a part of an open file; none where there is no such part."""
    part = group[key] if hasattr(group, "keys") and key in group else {}
    return list(part) if hasattr(part, "keys") else []


def _names(names: np.ndarray, modality: str, where: str) -> list[str]:
    own: list[str] = names.tolist()
    if len(set(own)) < len(own):
        raise ValueError(
            f"Two cells of the modality {modality!r} of {where} have one name, so that it is not "
            "clear which annotation is whose. Call obs_names_make_unique() and write it again."
        )
    return own


def _annotation(obs: Any, cells: Sequence[str]) -> Columns:
    """Return the annotation of the whole for some cells; none of cells that it does not name."""
    row = {name: i for i, name in enumerate(np.asarray(obs.index).astype(str).tolist())}
    if any(cell not in row for cell in cells):
        return {}
    index = np.array([row[cell] for cell in cells])
    return {str(name): as_column(obs[name])[index] for name in obs.columns}


def _say_other(name: str, whole: np.ndarray | None, own: np.ndarray, where: str) -> None:
    """Log a column of the whole that is not the one of the modality that it is named after."""
    if whole is not None and (as_text(whole) != as_text(own)).any():
        logger.warning(
            "%s: the column %r of obs differs from that of the modality, which is read",
            where, name,
        )  # fmt: skip
