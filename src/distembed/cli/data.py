"""`distembed data`: build stores of data that are larger than memory, and check them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from distembed.cli.console import say, stage
from distembed.cli.options import Force, takes_source
from distembed.cli.yaml12 import parse

__all__ = ["data"]

data = typer.Typer(help="Build stores of data that are larger than memory, and check them.",
                   no_args_is_help=True, rich_markup_mode="markdown")  # fmt: skip


@data.command()
@takes_source
def build(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...",
            help="A table or .h5ad file, several of one form, a folder of them, or a pattern in "
            "quotes such as 'cells/*.parquet'.",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the store.")],
    atoms: Annotated[
        str | None,
        typer.Option(help="Kind of atoms, such as '{name: tokens, alphabet: ACGT}'."),
    ] = None,
    pca: Annotated[
        int | None,
        typer.Option(min=1, help="Store this many principal components in place of features."),
    ] = None,
    target_sum: Annotated[
        float | None,
        typer.Option(help="With --pca: scale each cell to this total first, such as 10000."),
    ] = None,
    log1p: Annotated[
        bool, typer.Option("--log1p", help="With --pca: take log(1 + value), after scaling.")
    ] = False,
    like: Annotated[
        Path | None,
        typer.Option(
            metavar="STORE", help="Use the components of another store in place of new ones."
        ),
    ] = None,
    force: Force = False,
    *,
    data_options: Mapping[str, Any],
) -> None:
    """Write data to a store, sorted by set, without holding them in memory.

    The store is a folder that every verb takes as data, and opens at once. It appears when it is
    complete; a build that was stopped is started again by the same command.

    Example: distembed data build cells.h5ad -o cells.store --by patient --pca 50 --log1p
    """
    from distembed.cli.loading import expand_path
    from distembed.data.store import open_store
    from distembed.sets.build import build_store

    paths = [str(expand_path(path)) for path in sources]
    source: Any = paths[0] if len(paths) == 1 else paths
    beside = {
        name: str(expand_path(path))
        for name in ("metadata", "annotation", "boxes")
        if (path := data_options.get(name))
    }
    with stage(f"building {output}"):
        sets = build_store(
            source,
            output,
            atoms=None if atoms is None else parse(atoms),
            pca=pca,
            target_sum=target_sum,
            log1p=log1p,
            like=like,
            force=force,
            **{**data_options, **beside},
        )
    size = sum(record["bytes"] for record in open_store(output).header["files"].values())
    say(f"{output}: {sets}, {size / 1e6:.1f} MB")


@data.command()
def check(
    store: Annotated[Path, typer.Argument(metavar="STORE", help="Folder of a store.")],
    source: Annotated[
        bool,
        typer.Option("--source/--no-source", help="Compare the files it was built from, too."),
    ] = True,
) -> None:
    """Compare a store, and the files that it was built from, with the hashes of the build.

    Everything is read. The exit code is 1 if something differs.

    Example: distembed data check cells.store --no-source
    """
    from distembed.data.store import check_store, open_store

    with stage(f"checking {store}"):
        check_store(store, source)
    if not source:
        say(f"{store} is whole")
    elif open_store(store).header["source"]:
        say(f"{store} is whole, and its source is unchanged")
    else:
        say(f"{store} is whole; no hash of its source was stored, which is not compared")
