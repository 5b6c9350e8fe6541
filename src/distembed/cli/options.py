"""Arguments that several verbs share, so that they have one name and one meaning."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from distembed.cli.config import DataConfig, Names

__all__ = ["Count", "Data", "Force", "Ids", "Model", "Pairs", "Seed", "Which", "takes_data"]

Model = Annotated[Path, typer.Argument(help="Folder of a model that `fit` made.", metavar="MODEL")]
Data = Annotated[
    str | None,
    typer.Argument(help="A table or .h5ad file; default the model's own data.", metavar="DATA"),
]
Ids = Annotated[list[str] | None, typer.Option("--id", help="Only this set; repeatable.")]
Count = Annotated[int, typer.Option("--n", min=1, help="Atoms that are drawn.")]
Seed = Annotated[int, typer.Option(help="Seed of every draw.")]
Which = Annotated[
    Literal["held-out", "all"],
    typer.Option("--sets", help="The sets that `fit` held out, or all those in DATA."),
]
Pairs = Annotated[int, typer.Option(min=1, help="Most pairs of sets whose distance is judged.")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite the output where it exists.")]

_PANEL = "Data (default: as when the model was fitted)"


def takes_data(verb: Callable[..., None]) -> Callable[..., None]:
    """Add an option to a verb for each key of a config's data section.

    The path is an argument, and the kind of atoms is the model's. The verb receives the options
    that are given as its keyword argument `chosen`.
    """
    signature = inspect.signature(verb, eval_str=True)
    options = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=_option(field.annotation, field.description or ""),
        )
        for name, field in DataConfig.model_fields.items()
        if name not in ("path", "atoms")
    ]

    @functools.wraps(verb)
    def with_options(**arguments: Any) -> None:
        values = {option.name: arguments.pop(option.name) for option in options}
        verb(**arguments, chosen={k: v for k, v in values.items() if v not in (None, [])})

    own = [p for p in signature.parameters.values() if p.name != "chosen"]
    with_options.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own] + options
    )
    return with_options


def _option(annotation: Any, text: str) -> Any:
    """Return the option of a key: names are repeated where a config has a list."""
    kind: Any = str
    if annotation == Names:
        kind, text = list[str], f"{text} Repeatable."
    elif "int" in str(annotation):
        kind = int
    return Annotated[kind | None, typer.Option(help=text, rich_help_panel=_PANEL)]
