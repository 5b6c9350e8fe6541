"""`distembed export`: the encoder of a model as a file for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from distembed.cli.console import listed, say, stage
from distembed.cli.options import Force, Model
from distembed.files import claim

__all__ = ["export"]


def export(
    model: Model,
    to: Annotated[
        Path, typer.Option("--to", help="A .onnx file, or .pt2 for torch.export.load.")
    ] = Path("encoder.onnx"),
    force: Force = False,
) -> None:
    """Write the encoder as ONNX, or as a program of torch, for programs without this package.

    It takes atoms (sets, atoms, features) in the units of the data and weights (sets, atoms), zero
    for atoms that pad a shorter set, and gives z (sets, L). The model's transforms are inside. It
    is written once its z agrees with the model's to 1e-5.

    Example: distembed export run --to encoder.onnx
    """
    claim(to, (".onnx", ".pt2"), force)
    from distembed.model.gde import GDE

    gde = GDE.load(model, device="cpu")
    with stage("exporting"):
        result = gde.export(to)
    shape = ", ".join(map(str, ("sets", "atoms", *result.event_shape)))
    say(f"{to}: atoms ({shape}) and weights (sets, atoms) to z (sets, {gde.latent})")
    if result.features:
        say(f"features, in this order: {listed(result.features, 20)}")
    inside = ", ".join(result.transform) or "none"
    say(f"transforms inside: {inside}; atoms are in the units of the data")
    say(f"largest difference from the model: {result.error:.1e} of the largest |z|")
