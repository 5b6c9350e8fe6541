"""What the verbs after `fit` begin with: a model, and sets read as the model's own were."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from distembed.cli.config import DataConfig
from distembed.cli.console import say, stage
from distembed.cli.dataconfig import reader_options
from distembed.cli.members import MemberConfig
from distembed.cli.tables import holds_embeddings, read_embeddings
from distembed.data.readers.base import choose_reader

if TYPE_CHECKING:
    from distembed.model.embeddings import Embeddings
    from distembed.model.gde import GDE
    from distembed.sets.collection import Sets

__all__ = [
    "HELD_OUT",
    "choose",
    "embeddings",
    "expand_path",
    "open_sets",
    "read_sets",
    "say_unmarked",
    "stored_embeddings",
    "test_sets",
]

HELD_OUT = "test_ids.txt"
"""File beside a model that names the sets that `fit` kept away from it."""


def read_sets(config: DataConfig) -> Sets:
    """Read the sets of a config's data section.

    Raises:
        FileNotFoundError: If there is no such file, or a variable in its name is not set.
    """
    path = expand_path(config.path)
    from distembed.sets.read import read

    options = config.model_dump(exclude={"path", "metadata", "atoms"})
    atoms = None if config.atoms.name == "auto" else config.atoms.member
    metadata = expand_path(config.metadata) if config.metadata else None
    with stage(f"reading {path}"):
        return read(path, metadata=metadata, atoms=atoms, **options)


def open_sets(model: GDE, source: str | None, chosen: Mapping[str, Any]) -> Sets:
    """Read sets for a model, with the options of the data it was fitted on where none are chosen.

    Features are selected by the model's names, so that their order in the file does not matter and
    other columns are ignored. In another file than the model's own, its metadata and the options
    of another reader do not apply.
    """
    fitted = dict(model.notes.get("data", {}))
    if source is None and "path" not in fitted:
        raise ValueError("The model does not name the data that it was fitted on; name DATA.")
    if source is not None and source != fitted.get("path"):
        other = reader_options().keys() - vars(choose_reader(source)).keys()
        fitted = {k: v for k, v in fitted.items() if k not in {"meta", "metadata", *other}}
        fitted["path"] = source
    config = DataConfig.model_validate(fitted | dict(chosen))
    if config.atoms.name == "auto" and model.atoms.name == "tokens":
        own = MemberConfig.model_validate(model.atoms.describe())
        config = config.model_copy(update={"atoms": own})
    values = config.model_dump(include=set(reader_options()))
    selection = choose_reader(config.path, values=values).selection
    if model.features is not None and selection is not None and selection not in chosen:
        config = config.model_copy(update={selection: model.features})
    return read_sets(config)


def embeddings(
    model: GDE,
    source: str | None,
    chosen: Mapping[str, Any],
    ids: Sequence[str] | None = None,
    covariance: bool = False,
    marked: bool = False,
) -> Embeddings:
    """Embed the sets of a file, or read the file where it holds embeddings already.

    Args:
        model: What embeds.
        source: The file.
        chosen: Of the data section.
        ids: The sets; all where left out.
        covariance: Whether their covariances are wanted, which a stored table has or not.
        marked: Whether sets that the model was trained on are to be marked without covariances
            too, for which their atoms are read once more.

    Returns:
        The table. `p_unusual` is NaN for sets that the model was trained on, because they are
        what is usual.

    Raises:
        ValueError: If stored embeddings are of another length than the model's.
    """
    from distembed.evaluation.subject import training_sets

    stored = stored_embeddings(model, source, ids)
    if stored is not None:
        return stored
    sets = open_sets(model, source, chosen)
    if ids:
        sets = sets.select(choose(sets.ids, ids))
    with stage(f"embedding {len(sets)} sets"):
        table = model.embed(sets, covariance)
    if marked and table.trained is None:
        table = replace(table, trained=np.isin(table.ids, training_sets(model, sets)))
    if table.trained is not None and table.p_unusual is not None:
        table = replace(table, p_unusual=np.where(table.trained, np.nan, table.p_unusual))
    return table


def stored_embeddings(
    model: GDE, source: str | None, ids: Sequence[str] | None = None
) -> Embeddings | None:
    """Read a file where it holds embeddings; None where it holds data, or there is none.

    Raises:
        ValueError: If the embeddings are of another length than the model's.
    """
    if source is None or not Path(source).exists() or not holds_embeddings(Path(source)):
        return None
    table = read_embeddings(Path(source))
    if table.z.shape[1] != model.latent:
        raise ValueError(
            f"{source} holds embeddings of length {table.z.shape[1]}, but the model's have "
            f"length {model.latent}; they were made by another model."
        )
    return table if not ids else table.select(choose(table.ids, ids))


def say_unmarked(source: str | None) -> None:
    """Say that a stored table does not tell which sets the model was trained on."""
    say(
        f"Sets that the model was trained on could not be recognised, because {source} has no "
        "column 'trained'; embed the data again for one."
    )


def test_sets(
    folder: Path, model: GDE, source: str | None, chosen: Mapping[str, Any], which: str
) -> Sets:
    """Read the sets that judge a model: those named in its folder, or all that DATA holds.

    Raises:
        ValueError: If none were held out, or one that was is not in the data.
    """
    sets = open_sets(model, source, chosen)
    if which == "all":
        return sets
    file = folder / HELD_OUT
    names = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    if not names:
        raise ValueError(
            f"{folder} names no held-out sets in {HELD_OUT}. Give DATA that the model has not "
            "seen, with --sets all; or fit again with split.test above 0."
        )
    test = sets.select(choose(sets.ids, names))
    say(f"{len(test)} held-out sets of {len(sets)}")
    return test


def choose(ids: np.ndarray, wanted: Sequence[str]) -> np.ndarray:
    """Positions of the wanted ids, in the order in which they are wanted.

    Raises:
        ValueError: If one is not there, where the message lists close ones; or is named twice.
    """
    from distembed.data.observations import refuse_unknown

    refuse_unknown(wanted, ids.tolist(), "set")
    if len(set(wanted)) < len(wanted):
        twice = next(name for name in wanted if list(wanted).count(name) > 1)
        raise ValueError(f"The set {twice!r} is asked for twice; name it once.")
    position = {name: i for i, name in enumerate(ids.tolist())}
    return np.array([position[name] for name in wanted])


def expand_path(path: str) -> Path:
    """Fill in variables of the environment and `~`.

    Raises:
        FileNotFoundError: If a variable is not set, or there is no such file.
    """
    expanded = Path(os.path.expandvars(path)).expanduser()
    if "$" in str(expanded) and not expanded.exists():
        raise FileNotFoundError(f"{path} names a variable that is not set in the environment.")
    if not expanded.exists():
        raise FileNotFoundError(f"There is no file {expanded} (from {Path.cwd()}).")
    return expanded
