"""Arguments that several verbs share, with one name and one meaning."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from distembed.cli.config import DataConfig, Names

__all__ = [
    "Count",
    "Data",
    "Force",
    "Ids",
    "Model",
    "Pairs",
    "SafeCsv",
    "Seed",
    "Which",
    "takes_data",
    "takes_source",
]

Model = Annotated[Path, typer.Argument(help="Folder of a fitted model.", metavar="MODEL")]
Data = Annotated[
    str | None,
    typer.Argument(
        help="A table, .h5ad, .h5mu, .fasta, .pat, .fcs, 10x or IDX file, a store, or a pattern "
        "of files such as 'wells/{well}/*.png'; default the model's own data.",
        metavar="DATA",
    ),
]
Ids = Annotated[
    list[str] | None, typer.Option("--id", help="Id of a set, to use these alone; repeatable.")
]
Count = Annotated[int, typer.Option("--n", min=1, help="Number of atoms to draw.")]
Seed = Annotated[int, typer.Option(help="Seed of random numbers.")]
Which = Annotated[
    Literal["held-out", "all"],
    typer.Option("--sets", help="Sets that `fit` held out, or all sets of DATA."),
]
Pairs = Annotated[
    int, typer.Option(min=1, help="Largest number of pairs of sets whose distances are compared.")
]
SafeCsv = Annotated[
    bool,
    typer.Option(
        "--safe-csv",
        help="For spreadsheets: an apostrophe before text that would be a formula, such as =A1.",
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Overwrite an existing output.")]

_PANEL = "Data (default: as when the model was fitted)"


def takes_data(verb: Callable[..., None]) -> Callable[..., None]:
    """Add an option to a verb for each key of a config's data section.

    The path is an argument, and the kind of atoms is the model's. The verb receives the options
    that are given as its keyword argument `data_options`.
    """
    return _with_options(verb, ("path", "atoms"), _PANEL)


def takes_source(verb: Callable[..., None]) -> Callable[..., None]:
    """Add an option to a verb for each key of the data section that applies to a store.

    The verb receives those that are given as its keyword argument `data_options`.
    """
    return _with_options(verb, ("path", "atoms", "max_size"), "Data")


def _with_options(
    verb: Callable[..., None], left_out: Sequence[str], panel: str
) -> Callable[..., None]:
    signature = inspect.signature(verb, eval_str=True)
    options = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=_option(field.annotation, field.description or "", panel),
        )
        for name, field in DataConfig.model_fields.items()
        if name not in left_out
    ]

    @functools.wraps(verb)
    def with_options(**arguments: Any) -> None:
        values = {option.name: arguments.pop(option.name) for option in options}
        verb(**arguments, data_options={k: v for k, v in values.items() if v not in (None, [])})

    parameters = [p for p in signature.parameters.values() if p.name != "data_options"]
    with_options.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in parameters] + options
    )
    return with_options


def _option(annotation: Any, text: str, panel: str) -> Any:
    """Return the option of a key: names are repeated where a config has a list."""
    kind: Any = str
    if annotation == Names:
        kind, text = list[str], f"{text} Repeatable."
    elif "int" in str(annotation):
        kind = int
    return Annotated[kind | None, typer.Option(help=text, rich_help_panel=panel)]
