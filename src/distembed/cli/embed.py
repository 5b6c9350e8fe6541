"""`distembed embed`: a vector for every set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from distembed.cli.console import counted, say
from distembed.cli.options import Data, Force, Ids, Model, SafeCsv, takes_data
from distembed.files import claim

__all__ = ["embed"]


@takes_data
def embed(
    model: Model,
    data: Data = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="A .csv, .tsv, .parquet or .h5ad file.")
    ] = Path("embeddings.csv"),
    ids: Ids = None,
    errors: Annotated[
        bool,
        typer.Option(
            "--errors/--no-errors", help="Standard errors, and p-values of unusual sets."
        ),
    ] = True,
    covariances: Annotated[
        bool,
        typer.Option("--covariances", help="Covariances too, which `distance` and `test` need."),
    ] = False,
    safe_csv: SafeCsv = False,
    force: Force = False,
    *,
    data_options: Mapping[str, Any],
) -> None:
    """Write the embedding of every set, with its id, its number of atoms and its metadata.

    The columns `se0`, `se1`, ... are the standard errors of the coordinates under repeated
    sampling of the atoms. `p_unusual` is the p-value of the set under the population of training
    sets; it is empty for the training sets themselves, for which `trained` is True.

    An .h5ad file has one observation a set, with the embedding in X. If DATA is an .h5ad file,
    such an AnnData is written in addition to a table, under the same name.

    `torchrun --nproc-per-node N -m distembed embed ...` shares out the sets, and the atoms of a
    set of more than 2^18, to N processes.

    Example: distembed embed run new.csv -o z.parquet
    """
    claim(output, (".csv", ".tsv", ".parquet", ".h5ad"), force)
    if covariances and not errors:
        raise ValueError("--covariances needs the errors; leave --no-errors out.")
    from distembed.cli.loading import embeddings, expand_path, say_unusual
    from distembed.cli.tables import write_embeddings
    from distembed.model.gde import GDE
    from distembed.training.distributed import process_group

    gde = GDE.load(model)
    source = expand_path(data or gde.notes.get("data", {}).get("path", ""))
    outputs = {output, output.with_suffix(".h5ad")} if source.suffix == ".h5ad" else {output}
    for path in sorted(outputs):
        if path.exists() and path.samefile(source):
            raise ValueError(f"{path} is DATA, which would be overwritten; choose another -o.")
        claim(path, (".csv", ".tsv", ".parquet", ".h5ad"), force)
    with process_group() as ranks:
        gde.inference = replace(gde.inference, ranks=ranks)
        table = embeddings(gde, data, data_options, ids, covariance=errors, marked=True)
    for path in sorted(outputs) if ranks.first else ():
        write_embeddings(path, table, covariances, safe_csv)
        say(f"{path}: {counted(len(table), 'set')}, vectors of length {table.z.shape[1]}")
    say_unusual(gde, table)
