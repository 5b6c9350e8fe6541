"""`distembed check`: what an encoder promises, measured: the laws, its limit, its passes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from distembed.cli.console import say, stage
from distembed.cli.yaml12 import parse
from distembed.encoders import ENCODERS
from distembed.registry import build

if TYPE_CHECKING:
    from distembed.testing.promises import Outcome

__all__ = ["check"]

_CONTROLS = "sum, count, batchnorm, padded_mean, max"


def check(
    part: Annotated[
        Literal["encoder"], typer.Argument(metavar="PART", help="What is checked: `encoder`.")
    ],
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help=f"One of: {', '.join(ENCODERS)}; or a control that must fail: {_CONTROLS}.",
        ),
    ],
    options: Annotated[
        list[str] | None,
        typer.Option("--option", help="key=value for its constructor; repeatable."),
    ] = None,
    event: Annotated[
        str, typer.Option("--event", metavar="SHAPE", help="Shape of an atom: 3, or 1,28,28.")
    ] = "3",
    latent: Annotated[int, typer.Option("--latent", min=1, help="Length of the vector.")] = 8,
    largest: Annotated[
        int | None,
        typer.Option(
            "--largest", min=60, help="Atoms of the largest sets; default 100, or 10000 if full."
        ),
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Ten times the sets: narrow errors, in minutes.")
    ] = False,
) -> None:
    """Measure the exact laws of an untrained encoder, and what sampling does to its vector.

    Exits with 1 where a promise is broken, and says which.

    Example: distembed check encoder deepsets --option pooling=huber
    """
    chosen = dict(map(_option, options or ()))
    shape = _shape(event)
    from distembed.testing.controls import CONTROLS
    from distembed.testing.promises import Effort, promises
    from distembed.testing.report import Report

    if name not in {*ENCODERS, *CONTROLS}:
        raise ValueError(
            f"There is no encoder {name!r}; there are: {', '.join(ENCODERS)}; and as negative "
            f"controls: {', '.join(CONTROLS)}."
        )
    if name in CONTROLS and chosen:
        raise ValueError(f"{name} is a negative control and takes no option.")
    encoder = (
        CONTROLS[name](shape, latent)
        if name in CONTROLS
        else build(ENCODERS, {"name": name, **chosen}, "encoder", shape, latent)
    )
    effort = Effort(1000, 10_000, largest or 10_000) if full else Effort(300, 2000, largest or 100)
    with stage(f"checking {name}"):
        rows = list(promises(encoder, shape, effort))
    typer.echo(_table(rows))
    report = Report(name, tuple(row.check for row in rows))
    say(str(report))
    if report.broken:
        raise typer.Exit(1)


_MEANING = {
    "finite": "z is finite",
    "repeat": "the same twice",
    "reads": "sets differ",
    "permute": "law: order",
    "replicate": "law: replicated atoms",
    "split": "law: split atoms",
    "zero": "law: weight zero",
    "independence": "law: other sets",
    "state": "state is restored",
    "gradient": "gradient everywhere",
    "root m": "slope of deviation",
    "normal": "Kolmogorov distance",
    "smooth": "derivative by weights",
    "bias": "slope of bias",
    "variance": "predicted / seen variance",
    "variances": "its worst coordinate",
    "stream": "chunks equal the whole",
}


def _table(rows: Sequence[Outcome]) -> str:
    lines = [("", "found", "promised", "")] + [
        (_MEANING[r.check.law], r.found, r.wanted, "ok" if r.check.ok else "BROKEN") for r in rows
    ]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _option(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise ValueError(f"{text!r} is not an option; write key=value, as pooling=huber.")
    return key.strip(), parse(value)


def _shape(text: str) -> tuple[int, ...]:
    sizes = text.replace("x", ",").split(",")
    if not all(size.strip().isdigit() and int(size) for size in sizes):
        raise ValueError(f"--event {text} is not a shape; write 3, or 1,28,28.")
    return tuple(map(int, sizes))
