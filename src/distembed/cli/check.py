"""`distembed check`: exact laws, normal limit, error bars and streaming of an encoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from distembed.cli.console import say, stage
from distembed.cli.yaml12 import parse
from distembed.encoders import ENCODERS
from distembed.protocols import as_encoder
from distembed.registry import applicable, build

if TYPE_CHECKING:
    from distembed.testing.encoder_checks import CheckRow

__all__ = ["check"]

_OF_NUMBERS = applicable(ENCODERS, "vectors")
_CONTROLS = "sum, count, batchnorm, padded_mean, max"


def check(
    part: Annotated[
        Literal["encoder"], typer.Argument(metavar="PART", help="The kind of member: `encoder`.")
    ],
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help=f"One of: {', '.join(_OF_NUMBERS)}; or a control that must fail: {_CONTROLS}.",
        ),
    ],
    options: Annotated[
        list[str] | None,
        typer.Option("--option", help="key=value for the constructor; repeatable."),
    ] = None,
    event: Annotated[
        str, typer.Option("--event", metavar="SHAPE", help="Shape of an atom: 3, or 1,28,28.")
    ] = "3",
    latent: Annotated[
        int, typer.Option("--latent", min=1, help="Dimension of the embedding.")
    ] = 8,
    largest: Annotated[
        int | None,
        typer.Option(
            "--largest", min=60, help="Atoms of the largest sets; default 100, with --full 10000."
        ),
    ] = None,
    full: Annotated[
        bool,
        typer.Option("--full", help="Ten times the sets: smaller standard errors, in minutes."),
    ] = False,
) -> None:
    """Measure whether an untrained encoder keeps the exact laws, and how sampling changes its z.

    The exit code is 1 if it breaks a promise; the message says which, by how much, and the usual
    cause.

    Example: distembed check encoder deepsets --option pooling=huber
    """
    shape, settings = _shape(event), dict(map(_option, options or ()))
    from distembed.testing.encoder_checks import Effort, encoder_checks
    from distembed.testing.report import Report

    encoder = _build(name, settings, shape, latent)
    effort = Effort(1000, 10_000, largest or 10_000) if full else Effort(300, 2000, largest or 100)
    with stage(f"checking {name}"):
        rows = list(encoder_checks(as_encoder(encoder), shape, effort))
    typer.echo(_table(rows))
    report = Report(name, tuple(row.check for row in rows))
    say(str(report))
    if report.broken:
        raise typer.Exit(1)


def _build(name: str, options: Mapping[str, Any], shape: tuple[int, ...], latent: int) -> Any:
    """Build an encoder or a negative control.

    Raises:
        ValueError: If there is no such encoder, or it does not take the options.
    """
    from distembed.testing.controls import CONTROLS

    if name not in {*ENCODERS, *CONTROLS}:
        raise ValueError(
            f"There is no encoder {name!r}; there are: {', '.join(_OF_NUMBERS)}; and as negative "
            f"controls: {', '.join(CONTROLS)}."
        )
    if name not in CONTROLS:
        # the checks draw normal atoms
        facts = {"atom_kind": "vectors"}
        return build(ENCODERS, {"name": name, **options}, "encoder", shape, latent, facts=facts)
    if options:
        raise ValueError(f"{name} is a negative control and takes no option.")
    return CONTROLS[name](shape, latent)


_MEANING = {
    "finite": "z is finite",
    "repeat": "z is reproducible",
    "reads": "z depends on the set",
    "permute": "law: order of atoms",
    "replicate": "law: replicated atoms",
    "split": "law: split atoms",
    "zero": "law: weight zero",
    "independence": "law: other sets",
    "state": "state dict is restored",
    "gradient": "gradient of every parameter",
    "root m": "slope of deviation",
    "normal": "Kolmogorov distance",
    "smooth": "derivative by weights",
    "bias": "slope of bias",
    "variance": "predicted / empirical variance",
    "variances": "of the worst coordinate",
    "stream": "streaming equals one batch",
}


def _table(rows: Sequence[CheckRow]) -> str:
    lines = [("", "measured", "expected", "")] + [
        (_MEANING[r.check.law], r.value, r.expected, "ok" if r.check.ok else "BROKEN")
        for r in rows
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
