"""What is fitted after training: made on first use, cached, and saved with the model."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, cast

from torch import Tensor

from distembed.geometry.attachment import Attachment, TrainingTable
from distembed.model import ATTACHMENTS
from distembed.registry import lookup

__all__ = ["Attachments"]

logger = logging.getLogger(__name__)


class Attachments:
    """The attachments of one fitted model.

    Args:
        context: Embeddings of the training sets, to which attachments are fitted.
    """

    def __init__(self, context: TrainingTable) -> None:
        self.context = context
        self._fitted: dict[str, Attachment] = {}

    def get(self, name: str) -> Any:
        """Return a member of `ATTACHMENTS`, fitted if it was not used before.

        Raises:
            ValueError: If there is no such member, or the training sets do not suffice.
        """
        if name not in self._fitted:
            logger.info("fitting the %s to %d training sets", name, len(self.context))
            self._fitted[name] = _member(name).fit(self.context)
        return self._fitted[name]

    def is_fitted(self, name: str) -> bool:
        """Return whether a member was used before, and so costs nothing to use again."""
        return name in self._fitted

    def state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Return the configs of those that were fitted, and their tensors by `name.key`."""
        configs: dict[str, Any] = {}
        tensors: dict[str, Tensor] = {}
        for name, attachment in sorted(self._fitted.items()):
            configs[name], arrays = attachment.state()
            tensors |= {f"{name}.{key}": value for key, value in arrays.items()}
        return configs, tensors

    @classmethod
    def from_state(
        cls, context: TrainingTable, configs: Mapping[str, Any], tensors: Mapping[str, Tensor]
    ) -> Attachments:
        """Rebuild the attachments that were saved.

        Raises:
            ValueError: If there is no such member.
            KeyError: If a state is incomplete.
        """
        attachments = cls(context)
        for name, config in configs.items():
            start = f"{name}."
            own = {k.removeprefix(start): v for k, v in tensors.items() if k.startswith(start)}
            attachments._fitted[name] = _member(name).from_state(config, own)
        return attachments


def _member(name: str) -> type[Attachment]:
    return cast(type[Attachment], lookup(ATTACHMENTS, name, "attachment"))
