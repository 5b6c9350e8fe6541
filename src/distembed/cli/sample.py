"""`distembed sample`: new atoms of every set."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from distembed.cli.console import counted, say, stage
from distembed.cli.options import Count, Data, Force, Ids, Model, Seed, takes_data
from distembed.files import claim

__all__ = ["sample"]

_FASTA = (".fasta", ".fa")


@takes_data
def sample(
    model: Model,
    data: Data = None,
    n: Count = 1000,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="A .csv, .tsv, .parquet or .npz file; or .fasta."),
    ] = Path("samples.csv"),
    ids: Ids = None,
    new: Annotated[
        int, typer.Option(min=0, help="Number of new sets, from the population of the model.")
    ] = 0,
    seed: Seed = 0,
    force: Force = False,
    as_data: Annotated[
        bool,
        typer.Option(
            "--as-data", help="Counts as whole numbers, pixels in the range of the images."
        ),
    ] = False,
    *,
    data_options: Mapping[str, Any],
) -> None:
    """Draw new atoms of every set, in the units and with the column names of the data.

    The column of the sets has its name in the data, so that other verbs read the table as DATA; in
    an .npz file it is `set`. Tokens are written as strings, in a table or as .fasta, whose headers
    hold the columns as [name=value]. Images are written as .npz files only.

    DATA may also be a table that `distembed embed` wrote. With --new the embeddings are drawn as
    well, from the population of training sets; these sets are called new0, new1, ....

    Example: distembed sample run z.parquet --id P017 --n 500 -o samples.csv
    """
    claim(output, (".csv", ".tsv", ".parquet", ".npz", *_FASTA), force)
    from distembed.cli.loading import embeddings
    from distembed.cli.tables import write_samples
    from distembed.data.readers.fasta import write_fasta
    from distembed.model.gde import GDE

    gde = GDE.load(model)
    if output.suffix in _FASTA and gde.atoms.name != "tokens":
        raise ValueError(
            f"{output} is a FASTA file, which holds sequences, and the atoms of this model are "
            f"{gde.atoms.name}. Write a table or an .npz file."
        )
    if len(gde.event_shape) > 1 and output.suffix != ".npz":
        raise ValueError(
            f"{output} is a table, and an atom of shape {gde.event_shape} is no row of one. Write "
            "an .npz file, such as -o samples.npz."
        )
    if new:
        if data is not None or ids:
            raise ValueError("--new draws sets from the population; leave DATA and --id out.")
        if gde.population is None:
            raise ValueError(
                "--new draws from the population of the training sets, and this model has none, "
                "because it was fitted to fewer than twenty sets or their embeddings do not vary."
            )
        names = np.array([f"new{i}" for i in range(new)])
        z: Any = gde.population.sample(new, seed)
    else:
        z = embeddings(gde, data, data_options, ids)
        names = z.ids
    sequences, section = gde.atoms.name == "tokens", gde.notes.get("data", {}) | data_options
    with stage(f"drawing {counted(n, 'atom')} of {counted(len(names), 'set')}"):
        x = np.array(gde.sample(z, n, rng=seed, as_data=as_data or sequences))
    labels = {"set": names}
    if output.suffix != ".npz":
        labels = _labels(section, names, {} if new else z.meta)
    if output.suffix in _FASTA:
        empty = write_fasta(output, labels, x.tolist())
        say(f"{output}: {counted(len(names), 'set')}, {counted(n, 'sequence')} each")
        if empty:
            say(f"{empty} empty sequences are left out, because an entry needs a symbol")
        return
    features = _sequence_column(section) if sequences else gde.features
    write_samples(output, labels, x, features)
    say(f"{output}: {counted(len(names), 'set')}, {counted(n, 'atom')} each")


def _sequence_column(data: Mapping[str, Any]) -> tuple[str]:
    """Return the name of the column of sequences, as in the model's own data."""
    columns = data.get("sequence") or data.get("columns") or "sequence"
    names = (columns,) if isinstance(columns, str) else tuple(columns)
    return (str(names[0]) if len(names) == 1 else "sequence",)


def _labels(
    data: Mapping[str, Any], names: np.ndarray, meta: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Return columns by which the samples are read as the model's own data were."""
    from distembed.cli.loading import labels_by_file

    columns = data.get("by") or labels_by_file(data.get("path")) or ()
    by = [columns] if isinstance(columns, str) else list(columns)
    if len(by) > 1 and set(by) <= set(meta):
        labels = {name: meta[name] for name in by}
    else:
        labels = {by[0] if len(by) == 1 else "set": names}
    if weights := data.get("weights"):
        labels[weights] = np.ones(len(names))  # draws weigh alike
    return labels
