"""Composition of transforms; a chain of transforms is a transform.

A model owns its chain: it is fitted on the training atoms and saved with the model. `options`
rebuilds it, and its buffers are its state. Every transform takes any axes before those of the
event.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self, cast

import torch
from torch import Tensor, nn

from distembed.batch import SetBatch
from distembed.data.transforms import TRANSFORMS
from distembed.data.transforms.base import MaskedTransform, Transform
from distembed.registry import NamedMember, build

__all__ = ["Chain"]


class Chain(nn.Module):
    """Composition of transforms; the empty chain is the identity.

    Args:
        transforms: In the order of `forward`.

    Example:
        >>> import torch
        >>> chain = Chain.build(["log1p", {"name": "standardise", "over": "feature"}])
        >>> x = torch.tensor([[0.0, 7.0], [3.0, 7.0]])
        >>> y = chain.fit(x, torch.ones(2)).forward(x)
        >>> y.tolist(), chain.inverse(y).allclose(x)
        ([[-1.0, 0.0], [1.0, 0.0]], True)
    """

    def __init__(self, transforms: Sequence[Transform] = ()) -> None:
        super().__init__()
        self.transforms = nn.ModuleList(cast("Sequence[nn.Module]", transforms))

    @classmethod
    def build(cls, spec: Sequence[NamedMember], atoms: str | None = None) -> Chain:
        """Build a chain from members of `TRANSFORMS`.

        Args:
            spec: The members, in their order.
            atoms: The kind of atoms; any where left out.

        Raises:
            ValueError: If a name or an option is unknown, a name is missing, or a member is not
                defined for the kind of atoms.
        """
        facts = {"atom_kind": atoms}
        return cls([build(TRANSFORMS, member, "transform", facts=facts) for member in spec])

    @property
    def options(self) -> dict[str, Any]:
        """Arguments `{"spec": [...]}` from which `build` makes an equal chain, not fitted.

        Raises:
            ValueError: If a transform is no member of `TRANSFORMS`.
        """
        names = {member.target.partition(":")[2]: name for name, member in TRANSFORMS.items()}
        spec = []
        for transform in self._each():
            kind = type(transform).__name__
            if kind not in names:
                raise ValueError(
                    f"{kind} is no member of TRANSFORMS, and cannot be named in a saved model."
                )
            spec.append({"name": names[kind], **transform.options})
        return {"spec": spec}

    def fit(self, x: Tensor, w: Tensor, observed: Tensor | None = None) -> Self:
        """Fit each transform on the output of those before it.

        Args:
            x: Atoms, `(N, *event)`.
            w: Their weights, `(N,)`.
            observed: Which values were measured, `(N, *event)`; all where left out.

        Raises:
            ValueError: If values are missing, and a transform mixes features.
        """
        if observed is not None:
            return self._fit_masked(x, w, observed)
        for transform in self._each():
            x = transform.fit(x, w).forward(x)
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Map `(..., *event)`."""
        for transform in self._each():
            x = transform.forward(x)
        return x

    def of_batch(self, batch: SetBatch) -> SetBatch:
        """Map the atoms of a batch; missing values stay missing."""
        return batch.replace(x=self.forward(batch.filled))

    def inverse(self, y: Tensor) -> Tensor:
        """Map back, by the inverses in reverse order."""
        for transform in reversed(self._each()):
            y = transform.inverse(y)
        return y

    def event_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of a mapped atom."""
        for transform in self._each():
            shape = transform.event_shape(shape)
        return shape

    def _fit_masked(self, x: Tensor, w: Tensor, observed: Tensor) -> Self:
        for transform in self._each():
            if not isinstance(transform, MaskedTransform):
                raise ValueError(
                    f"The transform {type(transform).__name__} mixes features, and values are "
                    "missing. Use transforms of single features, such as standardise and arcsinh, "
                    "or impute the values first."
                )
            x = torch.where(observed, transform.fit_masked(x, w, observed).forward(x), 0)
        return self

    def _each(self) -> list[Transform]:
        return cast("list[Transform]", list(self.transforms))
