r"""Weights that training changes: which they are, and their moving average.

    a <- d_k a + (1 - d_k) p,      d_k = min(decay, (1 + k) / (10 + k))

for every parameter p that requires a gradient. The decay grows with the step k, because an
average that is slow from the start would remember the initial weights for too long (as in
TensorFlow's `ExponentialMovingAverage`). Frozen parts of a module, such as a pretrained network,
are neither averaged nor copied: a module, its average and its best weights hold them once.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

__all__ = ["WeightAverage", "frozen_parts", "trained_state"]


def frozen_parts(module: nn.Module) -> dict[str, nn.Module]:
    """Find the outermost submodules that have parameters, none of which requires a gradient.

    Example:
        >>> pair = nn.Sequential(nn.Linear(2, 2).requires_grad_(False), nn.Linear(2, 1))
        >>> list(frozen_parts(pair))
        ['0']
    """
    parts: dict[str, nn.Module] = {}
    for name, part in module.named_modules():
        trainable = [p.requires_grad for p in part.parameters()]
        nested = any(name.startswith(f"{outer}.") for outer in parts)
        if name and trainable and not any(trainable) and not nested:
            parts[name] = part
    return parts


def trained_state(module: nn.Module) -> dict[str, Tensor]:
    """Collect the tensors that training may change, by their names in `state_dict()`.

    These are the parameters that require a gradient, and all persistent buffers outside of frozen
    parts. Each tensor is the module's own, and appears once even where submodules share it.
    """
    frozen = tuple(f"{name}." for name in frozen_parts(module))
    state: dict[str, Tensor] = {}
    seen_ids: set[int] = set()
    for name, value in module.state_dict(keep_vars=True).items():
        fixed = isinstance(value, nn.Parameter) and not value.requires_grad
        if fixed or name.startswith(frozen) or id(value) in seen_ids:
            continue
        seen_ids.add(id(value))
        state[name] = value
    return state


class WeightAverage:
    """Keep an exponential moving average of the parameters that require a gradient.

    Args:
        module: The module that is trained; its parameters keep their identity.
        decay: Largest weight of the past; 0 keeps the last parameters.

    Example:
        >>> layer = nn.Linear(1, 1, bias=False)
        >>> average = WeightAverage(layer, decay=0.0)
        >>> layer.weight.data.fill_(3.0), average.update(0)
        (tensor([[3.]]), None)
        >>> average.values["weight"]
        tensor([[3.]])
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.parameters = {n: p for n, p in module.named_parameters() if p.requires_grad}
        self.values = {name: p.detach().clone() for name, p in self.parameters.items()}

    @torch.no_grad()
    def update(self, k: int) -> None:
        """Move the average towards the parameters after step k."""
        share = 1 - min(self.decay, (1 + k) / (10 + k))
        torch._foreach_lerp_(list(self.values.values()), list(self.parameters.values()), share)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Put the average in the place of the parameters while the block runs."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    def _exchange(self) -> None:
        for name, parameter in self.parameters.items():
            average = self.values[name]
            parameter.data, average.data = average.data, parameter.data
