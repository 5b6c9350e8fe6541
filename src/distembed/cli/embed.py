"""`distembed embed`: a vector for every set."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from distembed.cli.console import say
from distembed.cli.options import Data, Force, Ids, Model, takes_data
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
    force: Force = False,
    *,
    chosen: Mapping[str, Any],
) -> None:
    """Write the vector of every set, beside its id, its number of atoms and its metadata.

    An .h5ad file holds one observation a set, with the vector in X. Where DATA is an .h5ad file,
    such an AnnData is written beside a table too, under the same name.

    Example: distembed embed run new.csv -o z.parquet
    """
    claim(output, (".csv", ".tsv", ".parquet", ".h5ad"), force)
    from distembed.cli.loading import embeddings, expand_path
    from distembed.cli.tables import write_embeddings
    from distembed.model import GDE

    gde = GDE.load(model)
    source = expand_path(data or gde.notes.get("data", {}).get("path", ""))
    outputs = {output, output.with_suffix(".h5ad")} if source.suffix == ".h5ad" else {output}
    for path in sorted(outputs):
        if path.exists() and path.samefile(source):
            raise ValueError(f"{path} is DATA itself, and would be overwritten; name another -o.")
        claim(path, (".csv", ".tsv", ".parquet", ".h5ad"), force)
    table = embeddings(gde, data, chosen, ids)
    for path in sorted(outputs):
        write_embeddings(path, table)
        say(f"{path}: {len(table)} sets, vectors of length {table.z.shape[1]}")
