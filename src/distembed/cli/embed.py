"""`distembed embed`: a vector for every set."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from distembed.cli.console import say
from distembed.cli.options import Data, Force, Ids, Model, takes_data
from distembed.files import claim

if TYPE_CHECKING:
    from distembed.model.embeddings import Embeddings

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
        typer.Option("--errors/--no-errors", help="Standard errors, and how unusual a set is."),
    ] = True,
    covariances: Annotated[
        bool,
        typer.Option("--covariances", help="Covariances too: `distance` and `test` ask for them."),
    ] = False,
    force: Force = False,
    *,
    chosen: Mapping[str, Any],
) -> None:
    """Write the vector of every set, beside its id, its number of atoms and its metadata.

    Standard errors `se0`, `se1`, ... say how far each coordinate would move if the atoms were
    drawn again. `p_unusual` is the p-value that a set is like those the model was trained on; it
    is empty for these themselves, and `trained` is True.

    An .h5ad file holds one observation a set, with the vector in X. Where DATA is an .h5ad file,
    such an AnnData is written beside a table too, under the same name.

    Example: distembed embed run new.csv -o z.parquet
    """
    claim(output, (".csv", ".tsv", ".parquet", ".h5ad"), force)
    if covariances and not errors:
        raise ValueError("--covariances are errors; leave --no-errors out.")
    from distembed.cli.loading import embeddings, expand_path
    from distembed.cli.tables import write_embeddings
    from distembed.model.gde import GDE

    gde = GDE.load(model)
    source = expand_path(data or gde.notes.get("data", {}).get("path", ""))
    outputs = {output, output.with_suffix(".h5ad")} if source.suffix == ".h5ad" else {output}
    for path in sorted(outputs):
        if path.exists() and path.samefile(source):
            raise ValueError(f"{path} is DATA itself, and would be overwritten; name another -o.")
        claim(path, (".csv", ".tsv", ".parquet", ".h5ad"), force)
    table = embeddings(gde, data, chosen, ids, covariance=errors, marked=True)
    for path in sorted(outputs):
        write_embeddings(path, table, covariances)
        say(f"{path}: {len(table)} sets, vectors of length {table.z.shape[1]}")
    if table.p_unusual is not None:
        _say_unusual(table)


def _say_unusual(table: Embeddings) -> None:
    """Name the sets that the model may know nothing of."""
    from distembed.inference.population.density import UNUSUAL

    p = table.p_unusual
    assert p is not None
    judged, names = int(np.isfinite(p).sum()), table.ids[p <= UNUSUAL].tolist()
    if names:
        some = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
        say(
            f"{len(names)} of {judged} sets are unlike those of the training (p_unusual <= "
            f"{UNUSUAL}; {UNUSUAL * judged:.1f} expected by chance): {some}. What the model says "
            "of them is an extrapolation."
        )
