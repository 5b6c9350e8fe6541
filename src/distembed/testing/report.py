"""Record the measurements of a check, and raise an error that names what is broken."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = [
    "Check",
    "LawError",
    "Report",
    "check_shape",
    "relative_change",
    "requirement",
    "verdict",
]

_CAUSES = {
    "repeat": "dropout, or other noise that does not come from rng",
    "reads": "an output that is constant, such as a head that is multiplied by zero",
    "permute": "dependence on the order of the atoms: positions, recurrence, a reshape",
    "replicate": "sum pooling, a count feature such as log(n), or a mean over padded rows",
    "split": "weights that are not used, sum pooling, or a count feature such as log(n)",
    "zero": "weights that are not used, or a division by the size instead of batch.mean",
    "independence": "BatchNorm, a mean over padded rows, or another statistic across the sets",
    "state": "a tensor that is a plain attribute; register it as a buffer",
    "gradient": "a detached tensor, or a layer that is built and never used",
    "weights": "a plain mean over the atoms instead of batch.mean",
    "dtype": "a tensor made without dtype=z.dtype",
    "random": "noise that does not come from rng, or none",
    "pickle": "state that is not in the fields, such as an open file or a drawn seed",
    "seed": "draws from a global generator instead of rng",
    "chunks": "weights that are normalised in a chunk; they stay fractions of the set",
}


@dataclass(frozen=True)
class Check:
    """One measurement, whose `error` must not exceed `allowed`."""

    law: str
    where: str
    error: float
    allowed: float
    detail: str = ""

    @property
    def ok(self) -> bool:
        """Whether the check passes; an error that is not a number fails."""
        return self.error <= self.allowed

    @property
    def cause(self) -> str:
        """A sentence on what usually breaks the law; empty where there is none."""
        return f" Usual cause: {_CAUSES[self.law]}." if self.law in _CAUSES else ""

    def __str__(self) -> str:
        where = f" ({self.where})" if self.where else ""
        size = self.detail or f"off by {self.error:.2g}, allowed {self.allowed:.0e}"
        return f"{self.law}{where}: {size}."


@dataclass(frozen=True)
class Report:
    """All checks of one subject."""

    subject: str
    checks: tuple[Check, ...]

    @property
    def broken(self) -> tuple[str, ...]:
        """Names of the laws that are broken, each once."""
        return tuple(dict.fromkeys(c.law for c in self.checks if not c.ok))

    def __str__(self) -> str:
        if not self.broken:
            return f"{self.subject} passes {len(self.checks)} checks"
        lines = [f"{self.subject} breaks: {', '.join(self.broken)}"]
        for law in self.broken:
            first, *others = [c for c in self.checks if c.law == law and not c.ok]
            lines += [f"  {first}{first.cause}", *(f"  {c}" for c in others)]
        return "\n".join(lines)


class LawError(AssertionError):
    """Raised where a law is broken; `report` has the numbers."""

    def __init__(self, report: Report) -> None:
        super().__init__(str(report))
        self.report = report


def verdict(subject: object, checks: Iterable[Check]) -> Report:
    """Return the report of the checks.

    Raises:
        LawError: If a check fails.
    """
    report = Report(type(subject).__name__, tuple(checks))
    if report.broken:
        raise LawError(report)
    return report


def requirement(law: str, holds: bool, detail: str, where: str = "") -> Check:
    """Record a condition that holds or not; `detail` describes its failure."""
    return Check(law, where, float(not holds), 0.0, detail)


def relative_change(new: Tensor, old: Tensor) -> float:
    """Return the largest difference relative to the largest number; NaN where there is a NaN."""
    scale = old.abs().max().clamp_min(torch.finfo(torch.float32).tiny)
    return float((new - old).abs().max() / scale)


def check_shape(name: str, tensor: Tensor, shape: tuple[int, ...]) -> None:
    """Refuse another shape, in which no law can be measured.

    Raises:
        ValueError: If the shapes differ.
    """
    if tensor.shape != shape:
        raise ValueError(f"{name} has shape {tuple(tensor.shape)}; expected {shape}.")
