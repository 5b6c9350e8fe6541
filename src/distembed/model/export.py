"""Export of a model's encoder, for programs without this package or without Python.

What is exported takes padded sets, and gives their embeddings:

    atoms (sets, atoms, *event), weights (sets, atoms)  ->  z (sets, L),

the numbers of sets and of atoms free. Weights are relative, and zero for atoms that pad a shorter
set: an encoder cannot see an atom of weight zero. The model's transform is inside, so that atoms
are in the units of the data. ONNX has no linear algebra, for which the graph has elementary
operations (`distembed.nn.portable`); it is compared with the model before it is written.
"""

from __future__ import annotations

import copy
import json
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from distembed.batch import SetBatch
from distembed.files import replacing
from distembed.model.fitted import FittedModel
from distembed.model.network import Embedder
from distembed.nn.portable import portable
from distembed.registry import need
from distembed.rng import stream
from distembed.version import __version__

__all__ = ["ExportSettings", "Exported", "PaddedEncoder", "export_encoder", "exported_program"]


@dataclass(frozen=True)
class ExportSettings:
    """How an exported encoder is compared with the model.

    Attributes:
        shapes: Numbers of sets and of atoms, one comparison each; the export is traced at others.
        tolerance: Largest difference of z, relative to the largest |z|.
    """

    shapes: tuple[tuple[int, int], ...] = ((1, 7), (5, 1), (2, 200))
    tolerance: float = 1e-5


@dataclass(frozen=True)
class Exported:
    """A file with an encoder.

    Attributes:
        path: The file.
        error: Largest difference of z from the model's, relative to the largest |z|.
        event_shape: Shape of an atom, in the units of the data.
        features: Names of the features, in the order of an atom; None if they have no names.
        transform: Names of the transforms that are inside.
    """

    path: Path
    error: float
    event_shape: tuple[int, ...]
    features: tuple[str, ...] | None
    transform: tuple[str, ...]


class PaddedEncoder(nn.Module):
    """An encoder of padded sets.

    Args:
        embedder: An encoder of batches, such as `model.embedder`.
        spare: Add a copy of the first set, whose z is left out, and an atom of weight zero to each
            set: `torch.export` makes no graph for numbers that may be one.

    Example:
        >>> from distembed.encoders.moments import Moments
        >>> encoder = PaddedEncoder(Moments((1,), 1, "mean"))
        >>> encoder(torch.tensor([[[1.0], [3.0], [9.0]]]), torch.tensor([[1.0, 1.0, 0.0]])).shape
        torch.Size([1, 1])
    """

    def __init__(self, embedder: nn.Module, spare: bool = False) -> None:
        super().__init__()
        self.embedder, self.spare = embedder, spare

    def forward(self, atoms: Tensor, weights: Tensor) -> Tensor:
        """Embed sets, `(sets, L)`."""
        if self.spare:
            atoms = torch.cat([atoms, atoms[:1]])
            atoms = torch.cat([atoms, atoms[:, :1]], 1)
            weights = torch.cat([weights, weights[:1]])
            weights = torch.cat([weights, torch.zeros_like(weights[:, :1])], 1)
        z: Tensor = self.embedder(SetBatch.from_padded(atoms, weights))
        return z[:-1] if self.spare else z


def exported_program(embedder: Embedder, event_shape: tuple[int, ...], spare: bool = False) -> Any:
    """Trace an encoder of padded sets, and return the `torch.export.ExportedProgram`.

    Args:
        embedder: The encoder, with its transform.
        event_shape: Shape of an atom.
        spare: As of `PaddedEncoder`.

    Raises:
        ValueError: If torch cannot follow the encoder, such as one that chooses by values.
    """
    module = PaddedEncoder(embedder, spare).eval()
    sets, atoms = torch.export.Dim("sets", min=1), torch.export.Dim("atoms", min=1)
    dims = {0: sets, 1: atoms}
    rng = stream(0, "export")
    example = (
        torch.randn(3, 11, *event_shape, generator=rng),
        torch.rand(3, 11, generator=rng) + 0.1,
    )
    try:
        with torch.no_grad(), portable():
            return torch.export.export(
                module, example, dynamic_shapes={"atoms": dims, "weights": dims}
            )
    except Exception as error:  # torch has many errors for what it cannot follow
        raise _refusal(
            embedder, f"torch.export of torch {torch.__version__} cannot follow it", error
        ) from error


def export_encoder(
    path: Path,
    fitted: FittedModel,
    batches: Sequence[SetBatch],
    settings: ExportSettings = ExportSettings(),
) -> Exported:
    """Write the encoder of a model as ONNX or as a program of torch, once both agree.

    Args:
        path: A .onnx or .pt2 file.
        fitted: The model.
        batches: Sets of one size each in the units of the data, on which both are compared.
        settings: The tolerance.

    Raises:
        ImportError: If the extra `onnx` is needed and not installed.
        ValueError: If the suffix is another one, the encoder cannot be exported, or z differs by
            more than the tolerance.
    """
    if path.suffix == ".onnx":
        for module in ("onnx", "onnxscript", "onnxruntime"):
            need(module, "onnx")
    elif path.suffix != ".pt2":
        raise ValueError(
            f"{path} has the suffix {path.suffix!r}; the suffix chooses the format: .onnx, or "
            ".pt2 for torch.export.load."
        )
    atoms = fitted.spec.atoms
    if not atoms.dtype.is_floating_point or atoms.masked:
        what = "missing values" if atoms.masked else f"{atoms.name}, which are no numbers"
        raise ValueError(
            f"The model reads {what}, and an exported encoder takes complete atoms of numbers. "
            "Embed with the package."
        )
    embedder = copy.deepcopy(fitted.network.embedder).cpu().eval()
    transform = tuple(member["name"] for member in embedder.transform.options["spec"])
    about = {
        "distembed": __version__,
        "latent": embedder.latent,
        "event_shape": fitted.event_shape,
        "features": fitted.features,
        "transform": transform,
    }
    program = exported_program(embedder, fitted.event_shape, spare=path.suffix == ".pt2")
    with replacing(path) as temporary:
        try:
            _write(temporary, program, json.dumps(about))
        except Exception as error:  # likewise
            raise _refusal(embedder, f"{path.suffix} has no form of it", error) from error
        # of NaN, np.max is NaN
        gap = float(np.max([_difference(temporary, embedder, batch) for batch in batches]))
        if not gap <= settings.tolerance:
            raise ValueError(
                f"The exported encoder differs from the model by {gap:.1e} of the largest |z|, "
                f"more than {settings.tolerance:.0e}, so that it was not written. Please report "
                "it with the output of distembed doctor."
            )
    return Exported(path, gap, fitted.event_shape, fitted.features, transform)


def _write(path: Path, program: Any, about: str) -> None:
    if path.suffix == ".pt2":
        torch.export.save(program, str(path), extra_files={"distembed.json": about})
        return
    with _quiet():
        onnx: Any = torch.onnx.export(
            program,
            (),
            dynamo=True,
            verbose=False,
            input_names=["atoms", "weights"],
            output_names=["z"],
        )
    for value in (*onnx.model.graph.inputs, *onnx.model.graph.outputs):
        # the exporter names free numbers s12 or so
        value.shape[0] = "sets"
        if value.name != "z":
            value.shape[1] = "atoms"
    onnx.model.metadata_props["distembed"] = about
    onnx.save(str(path), external_data=False)


def _difference(path: Path, embedder: Embedder, batch: SetBatch) -> float:
    """Return the largest difference of z between a file and the model, relative to |z|."""
    w = batch.w.float().reshape(len(batch), -1)
    x = batch.x.float().reshape(*w.shape, *batch.event_shape)
    with torch.no_grad():
        expected = embedder(batch).double().numpy()
        if path.suffix == ".onnx":
            runtime = need("onnxruntime", "onnx")
            session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
            (z,) = session.run(None, {"atoms": x.numpy(), "weights": w.numpy()})
        else:
            z = torch.export.load(str(path)).module()(x, w).numpy()
    return float(np.abs(z - expected).max() / max(np.abs(expected).max(), 1e-30))


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave out what exporters write about packages that are not needed."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    finally:
        logger.setLevel(level)


def _refusal(embedder: Embedder, reason: str, error: Exception) -> ValueError:
    """Return an error for an encoder that cannot be exported, with the first line of torch's."""
    name, lines = type(embedder.encoder).__name__, str(error).strip().splitlines()
    return ValueError(
        f"The encoder {name} cannot be exported: {reason} "
        f"({(lines or [type(error).__name__])[0][:200]}). It may sort atoms, branch on values, or "
        "call `len` of a batch in the place of `count`; or torch is old, and exports are tested "
        "with 2.13. Embed with the package, or fit a model with encoder='deepsets'."
    )
