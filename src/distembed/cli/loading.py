"""Reading of sets and of embeddings for a fitted model."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from distembed.cli.config import DataConfig
from distembed.cli.console import counted, listed, say, stage
from distembed.cli.dataconfig import reader_options
from distembed.cli.members import MemberConfig
from distembed.cli.tables import holds_embeddings, read_embeddings
from distembed.data.readers.base import choose_reader
from distembed.data.readers.columns import column_names
from distembed.data.readers.files import FILE, files_of, is_pattern, labels_of
from distembed.data.readers.pat import PatReader
from distembed.data.readers.table import TableReader
from distembed.data.readers.tenx_layout import matrix_in
from distembed.files import parse_json

if TYPE_CHECKING:
    from distembed.model.embeddings import Embeddings
    from distembed.model.gde import GDE
    from distembed.sets.collection import Sets

__all__ = [
    "HELD_OUT",
    "choose",
    "embeddings",
    "expand_path",
    "held_out",
    "labels_by_file",
    "open_sets",
    "read_sets",
    "say_unmarked",
    "say_unusual",
    "stored_embeddings",
    "test_sets",
]

HELD_OUT = "test_ids.json"
"""File in the folder of a model with the ids of the held-out sets, a list."""


def read_sets(config: DataConfig) -> Sets:
    """Read the sets of a config's data section.

    Raises:
        FileNotFoundError: If there is no such file, or a variable in its name is not set.
    """
    path = expand_path(config.path)
    from distembed.sets.read import read

    options = config.model_dump(exclude={"path", "metadata", "atoms"})
    for name in ("annotation", "boxes"):
        if options[name]:
            options[name] = str(expand_path(options[name]))
    atoms = None if config.atoms.name == "auto" else config.atoms.member
    metadata = expand_path(config.metadata) if config.metadata else None
    with stage(f"reading {path}"):
        return read(path, metadata=metadata, atoms=atoms, **options)


def open_sets(model: GDE, source: str | None, data_options: Mapping[str, Any]) -> Sets:
    """Read sets for a model, by default with the options of the data that it was fitted on.

    Features are selected by the model's names, so that their order in the file does not matter and
    other columns are ignored. In another file than the model's own, its metadata and the options
    of another reader do not apply.
    """
    fitted = model.notes.get("data", {})
    if not isinstance(fitted, Mapping):
        raise ValueError("The model's notes on its data are no mapping: its config was edited.")
    fitted, own_path = dict(fitted), fitted.get("path")
    if source is None and "path" not in fitted:
        raise ValueError("The model does not name the data that it was fitted on; name DATA.")
    if source is not None and source != own_path:
        other = reader_options().keys() - vars(choose_reader(source)).keys()
        bound = {
            "meta",
            "metadata",
            "annotation",
            "key",
            "boxes",
        }  # these belong to the model's own file
        fitted = {k: v for k, v in fitted.items() if k not in {*bound, *other}}
        fitted["path"] = source
        fitted["by"] = fitted.get("by") or labels_by_file(own_path)
        if "by" not in data_options:
            _require_columns(source, fitted.get("by"))
    config = DataConfig.model_validate(fitted | dict(data_options))
    if config.atoms.name == "auto" and model.atoms.name == "tokens":
        own = MemberConfig.model_validate(model.atoms.describe())
        config = config.model_copy(update={"atoms": own})
    values = config.model_dump(include=set(reader_options()))
    selection = choose_reader(config.path, values=values).selection
    if model.features is not None and selection is not None and selection not in data_options:
        config = config.model_copy(update={selection: model.features})
    return read_sets(config)


def labels_by_file(path: str | None) -> list[str] | None:
    """Return the columns by which files name the sets, where no column is named; None if none."""
    if path is None:
        return None
    patterns = isinstance(choose_reader(path), PatReader)
    return labels_of(path) or ([FILE] if patterns else None)


def _require_columns(source: str, by: Any) -> None:
    """Refuse a table without the columns that named the sets of the model's own data.

    Raises:
        ValueError: If one is missing; the message names the option for another one.
    """
    reader = choose_reader(source)
    if not isinstance(reader, TableReader) or not Path(source).exists():
        return
    names = [by] if isinstance(by, str) else list(by or ())
    there = column_names(source)
    missing = [name for name in names if name not in there]
    if missing:
        raise ValueError(
            f"{source} has no column {missing[0]!r}, which names the sets of the data that the "
            f"model was fitted on. Name another with --by COLUMN; there are: {listed(there, 8)}."
        )


def embeddings(
    model: GDE,
    source: str | None,
    data_options: Mapping[str, Any],
    ids: Sequence[str] | None = None,
    covariance: bool = False,
    marked: bool = False,
) -> Embeddings:
    """Embed the sets of a file, or read embeddings that are stored in it.

    Args:
        model: The model.
        source: The file.
        data_options: Options of the data section.
        ids: The sets; all by default.
        covariance: Whether to compute covariances.
        marked: Whether to mark training sets even without covariances, which reads all atoms a
            second time.

    Returns:
        The table. `p_unusual` is NaN for sets that the model was trained on.

    Raises:
        ValueError: If stored embeddings have another dimension than those of the model.
    """
    from distembed.evaluation.subject import training_sets

    stored = stored_embeddings(model, source, ids)
    if stored is not None:
        return stored
    sets = open_sets(model, source, data_options)
    if ids:
        sets = sets.select(choose(sets.ids, ids))
    with stage(f"embedding {counted(len(sets), 'set')}"):
        table = model.embed(sets, covariance)
    if marked and table.trained is None:
        table = replace(table, trained=np.isin(table.ids, training_sets(model, sets)))
    if table.trained is not None and table.p_unusual is not None:
        table = replace(table, p_unusual=np.where(table.trained, np.nan, table.p_unusual))
    return table


def stored_embeddings(
    model: GDE, source: str | None, ids: Sequence[str] | None = None
) -> Embeddings | None:
    """Read stored embeddings; None if the file has data, or there is no file.

    Raises:
        ValueError: If the embeddings have another dimension than those of the model.
    """
    if source is None or not Path(source).exists() or not holds_embeddings(Path(source)):
        return None
    table = read_embeddings(Path(source))
    if table.z.shape[1] != model.latent:
        raise ValueError(
            f"{source} has embeddings of dimension {table.z.shape[1]}, but those of the model "
            f"have dimension {model.latent}: they are from another model. Embed the data again."
        )
    table = table if not ids else table.select(choose(table.ids, ids))
    _say_outside(table)
    return table


def _say_outside(table: Embeddings) -> None:
    """Name the sets of a stored table that are embedded by extrapolation."""
    from distembed.model.support import HALF

    names = [] if table.outside is None else table.ids[table.outside >= HALF].tolist()
    if names:
        say(
            f"{len(names)} of {len(table)} sets lie outside the range of all training atoms by "
            f"half or more: {listed(names)}. Their embeddings, samples and distances are an "
            "extrapolation."
        )


def say_unmarked(source: str | None) -> None:
    """Warn that a stored table has no marks of training sets."""
    say(
        f"Training sets could not be recognised, because {source} has no column 'trained'. Embed "
        "the data again to add it."
    )


def test_sets(
    folder: Path, model: GDE, source: str | None, data_options: Mapping[str, Any], which: str
) -> Sets:
    """Read held-out sets: those listed in the folder of the model, or all sets of DATA.

    Raises:
        ValueError: If no set was held out, or one of them is not in the data: in a file of other
            sets the message names the option for all of them.
    """
    return held_out(folder, open_sets(model, source, data_options), source, which)


def held_out(folder: Path, sets: Sets, source: str | None, which: str) -> Sets:
    """Select the sets that are listed in the folder of a model, or all.

    Raises:
        ValueError: As `test_sets`.
    """
    if which == "all":
        return sets
    file = folder / HELD_OUT
    names = parse_json(file.read_text(encoding="utf-8")) if file.exists() else []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"{file} is damaged: it is no list of ids. Copy the model again.")
    if not names:
        raise ValueError(
            f"{folder} has no held-out sets in {HELD_OUT}. Name DATA that the model was not "
            "trained on, with --sets all, or fit again with split.test above 0."
        )
    _refuse_missing(sorted(set(names).difference(sets.ids.tolist())), folder, source)
    test = sets.select(choose(sets.ids, names))
    say(f"{len(test)} held-out {'set' if len(test) == 1 else 'sets'} of {len(sets)}")
    return test


def _refuse_missing(names: Sequence[str], folder: Path, source: str | None) -> None:
    """Refuse data without sets that were held out."""
    if names:
        advice = (
            "Its data have changed since it was fitted: restore them, or fit again."
            if source is None
            else f"To use all sets of {source}, add --sets all."
        )
        raise ValueError(
            f"Sets that were held out when {folder} was fitted are not in "
            f"{source or 'its data'}: {listed(names)}. {advice}"
        )


def choose(ids: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Return the positions of names among ids, in the order of the names.

    Raises:
        ValueError: If a name is not among the ids (the message lists close ones), or occurs twice.
    """
    from distembed.data.observations import refuse_unknown

    refuse_unknown(names, ids.tolist(), "set")
    if len(set(names)) < len(names):
        repeated = next(name for name in names if list(names).count(name) > 1)
        raise ValueError(f"The set {repeated!r} is named twice; name it once.")
    position = {name: i for i, name in enumerate(ids.tolist())}
    return np.array([position[name] for name in names])


def expand_path(path: str) -> Path:
    """Expand variables of the environment and `~` in a path.

    Raises:
        FileNotFoundError: If a variable is not set, or there is no such file.
    """
    expanded = Path(os.path.expandvars(path)).expanduser()
    if is_pattern(expanded):
        files_of(expanded, _is_source)
        return expanded
    if "$" in str(expanded) and not expanded.exists():
        raise FileNotFoundError(f"{path} names a variable that is not set in the environment.")
    if not expanded.exists():
        raise FileNotFoundError(f"There is no file {expanded} (from {Path.cwd()}).")
    return expanded


def _is_source(path: str | Path) -> bool:
    """Return whether a path is one that readers take: a file, or a folder of 10x or of Zarr."""
    return Path(path).is_file() or bool(matrix_in(path)) or Path(path).suffix == ".zarr"


def say_unusual(model: GDE, table: Embeddings) -> None:
    """Name the sets that differ from the population of training sets, if it is known."""
    from distembed.inference.population.density import UNUSUAL

    p, population = table.p_unusual, model.population
    if p is None or population is None:
        return
    if sentence := population.too_few_sentence():
        say(f"p_unusual: {sentence}.")
        return
    tested, names = int(np.isfinite(p).sum()), table.ids[p <= UNUSUAL].tolist()
    if names:
        say(
            f"{len(names)} of {tested} sets are unlike those of the training (p_unusual <= "
            f"{UNUSUAL}; {UNUSUAL * tested:.1f} expected by chance): {listed(names)}. Their "
            "embeddings are an extrapolation, and so are their distances."
        )
