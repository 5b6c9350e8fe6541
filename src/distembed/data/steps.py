r"""Transforms of atoms that a model owns, fitted on its training atoms and saved with it.

    Log1p        y = log(1 + x),  or  y = log(1 + c x / sum(x))  for a library size c
    Arcsinh      y = asinh(x / c)
    Standardise  y = (x - mean) / deviation
    PCA          y = V^T (x - mean), in `distembed.data.pca`

All but two have exact inverses. The library size of an atom is lost by `Log1p(scale=c)`, whose
inverse returns counts per c; PCA of fewer than D components returns the projection. Fits weigh
atoms and sum in float64. Every step takes any axes before those of the event, and a chain of
steps is a step. Its `options` rebuild it, its buffers are its state.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, Self, cast

import torch
from torch import Tensor, nn

from distembed.data import STEPS
from distembed.registry import build

__all__ = ["Arcsinh", "AtomStep", "Chain", "Log1p", "Standardise"]


class AtomStep(Protocol):
    """A fitted map of atoms, and its inverse as far as it has one."""

    @property
    def options(self) -> dict[str, Any]:
        """The constructor's arguments."""

    def fit(self, x: Tensor, w: Tensor) -> Self:
        """Fit on atoms `(N, *event)` of weights `(N,)`, on any scale."""

    def forward(self, x: Tensor) -> Tensor:
        """Map atoms `(..., *event)`."""

    def inverse(self, y: Tensor) -> Tensor:
        """Map back what `forward` returned."""

    def event_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of a mapped atom, given that of an atom."""


class Log1p(nn.Module):
    """log(1 + x); with `scale`, of an atom whose entries are first made to sum to `scale`.

    With a scale the inverse returns entries that sum to about `scale`, for the sum itself was
    divided out. An atom of zeros stays one.

    Args:
        scale: Library size to bring every atom to, such as 1e4; None takes counts as they are.

    Raises:
        ValueError: If an atom has a negative entry, or the scale is not positive.
    """

    def __init__(self, scale: float | None = None) -> None:
        super().__init__()
        if scale is not None and not scale > 0:
            raise ValueError(f"scale = {scale}; a library size is positive.")
        self.scale = scale

    @property
    def options(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"scale": self.scale}

    def fit(self, x: Tensor, w: Tensor) -> Self:
        """Check that the atoms can be mapped; there is nothing to fit."""
        self.forward(x)
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Map `(..., *event)`."""
        if bool((x < 0).any()):
            raise ValueError(
                f"log1p met {float(x.min()):.4g}; it is for counts and other numbers >= 0. Use "
                "arcsinh where values may be negative, or leave logged data as they are."
            )
        if self.scale is None:
            return torch.log1p(x)
        if x.ndim < 2:
            raise ValueError("A library size is a sum over features; these atoms are numbers.")
        total = x.sum(-1, keepdim=True)
        return torch.log1p(x * (self.scale / torch.where(total > 0, total, 1)))

    def inverse(self, y: Tensor) -> Tensor:
        """Return exp(y) - 1, at least 0: a sample is a count as its data are."""
        return torch.expm1(y).clamp_min(0)

    def event_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shapes stay."""
        return shape


class Arcsinh(nn.Module):
    """asinh(x / cofactor): linear near zero, logarithmic far from it, on both sides.

    Args:
        cofactor: Where it turns; 5 is usual in mass and 150 in fluorescence cytometry.

    Raises:
        ValueError: If the cofactor is not positive.
    """

    def __init__(self, cofactor: float = 1.0) -> None:
        super().__init__()
        if not cofactor > 0:
            raise ValueError(f"cofactor = {cofactor}; it is a positive number.")
        self.cofactor = cofactor

    @property
    def options(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"cofactor": self.cofactor}

    def fit(self, x: Tensor, w: Tensor) -> Self:
        """Return self; there is nothing to fit."""
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Map `(..., *event)`."""
        return torch.asinh(x / self.cofactor)

    def inverse(self, y: Tensor) -> Tensor:
        """Return sinh(y) * cofactor."""
        return torch.sinh(y) * self.cofactor

    def event_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shapes stay."""
        return shape


class Standardise(nn.Module):
    """Bring atoms to mean 0 and deviation 1.

    A constant feature is stored, not modelled: it becomes 0, and the inverse writes the constant
    back whatever it is given.

    Args:
        over: "feature" for one mean and deviation a feature, "all" for a single one, as for
            images, whose features are alike.

    Raises:
        ValueError: If `over` is neither, or the step is used before it is fitted.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, over: str = "feature") -> None:
        super().__init__()
        if over not in ("feature", "all"):
            raise ValueError(f"over = {over!r}; choose 'feature' or 'all'.")
        self.over = over
        self.register_buffer("mean", torch.empty(0))
        self.register_buffer("deviation", torch.empty(0))
        self.register_load_state_dict_pre_hook(take_shapes)  # type: ignore[no-untyped-call]

    @property
    def options(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"over": self.over}

    def fit(self, x: Tensor, w: Tensor) -> Self:
        """Measure weighted moments of `(N, *event)`, in float64."""
        seen, p = positive_part(x, w)
        mean = torch.tensordot(p, seen, 1)
        variance = torch.tensordot(p, (seen - mean).square(), 1)
        low, high = seen.amin(0), seen.amax(0)
        if self.over == "all":
            variance = (variance + (mean - mean.mean()).square()).mean()
            mean, low, high = mean.mean(), low.min(), high.max()
        # a deviation of zero marks a constant, and its mean is that constant to the last bit
        constant = low == high
        self.mean = torch.where(constant, low, mean).to(floating(x))
        self.deviation = torch.where(constant, 0, variance.sqrt()).to(floating(x))
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Map `(..., *event)`."""
        refuse_unfitted(self.mean, "standardise")
        x = as_floating(x)
        deviation = self.deviation.to(x)
        scaled = (x - self.mean.to(x)) / torch.where(deviation > 0, deviation, 1)
        return torch.where(deviation > 0, scaled, 0)

    def inverse(self, y: Tensor) -> Tensor:
        """Return y * deviation + mean."""
        refuse_unfitted(self.mean, "standardise")
        return y * self.deviation.to(y) + self.mean.to(y)

    def event_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shapes stay."""
        return shape


class Chain(nn.Module):
    """Steps one after another; the empty chain leaves atoms as they are.

    Args:
        steps: In the order of `forward`.

    Example:
        >>> chain = Chain.build(["log1p", {"name": "standardise", "over": "feature"}])
        >>> x = torch.tensor([[0.0, 7.0], [3.0, 7.0]])
        >>> y = chain.fit(x, torch.ones(2)).forward(x)
        >>> y.tolist(), chain.inverse(y).allclose(x)
        ([[-1.0, 0.0], [1.0, 0.0]], True)
    """

    def __init__(self, steps: Sequence[AtomStep] = ()) -> None:
        super().__init__()
        self.steps = nn.ModuleList(cast("Sequence[nn.Module]", steps))

    @classmethod
    def build(cls, spec: Sequence[str | Mapping[str, Any]]) -> Chain:
        """Make a chain from `STEPS`: each a name, or a mapping of `name` and its options.

        Raises:
            ValueError: If a name or an option is unknown, or a name is missing.
        """
        steps = []
        for entry in spec:
            options = {"name": entry} if isinstance(entry, str) else dict(entry)
            if "name" not in options:
                raise ValueError(f"The step {entry!r} has no name; there are: {', '.join(STEPS)}.")
            steps.append(build(STEPS, options.pop("name"), "step", options=options))
        return cls(steps)

    @property
    def options(self) -> dict[str, Any]:
        """`{"spec": [...]}`, of which `build` makes an equal chain that is not fitted.

        Raises:
            ValueError: If a step is none of `STEPS`.
        """
        names = {member.target.partition(":")[2]: name for name, member in STEPS.items()}
        spec = []
        for step in self._each():
            kind = type(step).__name__
            if kind not in names:
                raise ValueError(f"{kind} is none of STEPS, and cannot be named in a saved model.")
            spec.append({"name": names[kind], **step.options})
        return {"spec": spec}

    def fit(self, x: Tensor, w: Tensor) -> Self:
        """Fit each step on what those before it return."""
        for step in self._each():
            x = step.fit(x, w).forward(x)
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Map `(..., *event)`."""
        for step in self._each():
            x = step.forward(x)
        return x

    def inverse(self, y: Tensor) -> Tensor:
        """Map back, last step first."""
        for step in reversed(self._each()):
            y = step.inverse(y)
        return y

    def event_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of a mapped atom."""
        for step in self._each():
            shape = step.event_shape(shape)
        return shape

    def _each(self) -> list[AtomStep]:
        return cast("list[AtomStep]", list(self.steps))


def positive_part(x: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
    """Atoms of positive weight, and their weights summing to one, in float64."""
    if x.ndim < 1 or w.shape != x.shape[:1] or bool((w < 0).any()) or not bool((w > 0).any()):
        raise ValueError(
            f"x has shape {tuple(x.shape)} and w {tuple(w.shape)}; a step is fitted on atoms "
            "(N, *event) with one weight >= 0 an atom, not all zero."
        )
    seen, p = x[w > 0].double(), w[w > 0].double()
    return seen, p / p.sum()


def floating(x: Tensor) -> torch.dtype:
    """Type of the state that is fitted on x."""
    return x.dtype if x.is_floating_point() else torch.get_default_dtype()


def as_floating(x: Tensor) -> Tensor:
    """Integers as float32; what is floating already as it is."""
    return x if x.is_floating_point() else x.float()


def refuse_unfitted(state: Tensor, name: str) -> None:
    """Raise a ValueError while the state is empty."""
    if not state.numel():
        raise ValueError(f"The step {name!r} is not fitted; call fit(x, w) or load its state.")


def take_shapes(module: nn.Module, state: Mapping[str, Tensor], prefix: str, *_: object) -> None:
    """Give the buffers the shapes and types of those that are about to be loaded."""
    for name, buffer in module.named_buffers(recurse=False):
        if prefix + name in state:
            setattr(module, name, torch.empty_like(state[prefix + name], device=buffer.device))
