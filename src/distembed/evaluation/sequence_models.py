"""Models beside a model of sequences: one that sees no set, and one that knows its label."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from distembed.batch import SetBatch
from distembed.generators import DEFAULT_GENERATORS, GENERATORS
from distembed.model.gde import GDE
from distembed.model.schedule import suited
from distembed.protocols import Collection, Density, PreparedGenerator, Step
from distembed.registry import build
from distembed.rng import stream
from distembed.training.config import TrainConfig
from distembed.training.trainer import Trainer

__all__ = ["LabelModel", "unconditional"]


class _Constant(nn.Module):
    """An encoder that embeds every set as zero."""

    def __init__(self, latent: int) -> None:
        super().__init__()
        self.latent = latent

    def forward(self, batch: SetBatch) -> Tensor:
        """Return zeros, `(B, L)`."""
        return torch.zeros(len(batch), self.latent, device=batch.x.device)


def unconditional(latent: int) -> GDE:
    """Return a model whose generator is the default one, of the same size, and sees no set."""
    return GDE(_Constant(latent), latent=latent, conditioning="none")


class LabelModel(nn.Module):
    """The default generator with a trained vector for each label in place of an embedding.

    Args:
        train: Training sets.
        labels: Number of the label of each, `(S,)`.
        latent: Dimension of a vector.
        config: Settings of the training; no sets are held out, for a label has no other sets.
    """

    def __init__(
        self, train: Collection, labels: Tensor, latent: int, config: TrainConfig
    ) -> None:
        super().__init__()
        self.labels = labels
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(config.seed)
            self.vectors = nn.Embedding(int(labels.max()) + 1, latent)
            self.generator: nn.Module = build(
                GENERATORS,
                DEFAULT_GENERATORS["tokens"],
                "generator",
                train.event_shape,
                latent,
                facts=train.atoms.facts,
            )
        assert isinstance(self.generator, PreparedGenerator)
        batch = train.batch(range(len(train)), config.target, stream(config.seed, "first look"))
        self.generator.prepare(batch, self.vectors(labels).detach())
        config = suited(config, train.atoms, train.event_shape)
        Trainer(self, train, config.changed({"validation": 0, "metric_steps": 0})).fit()

    def forward(self, step: Step) -> Tensor:
        """Score the target of each set under the vector of its label, `(B,)`."""
        z = self.vectors(self.labels[step.index])
        loss: Tensor = self.generator.loss(step.target, z, step.rng)  # type: ignore[operator]
        return loss

    @torch.no_grad()
    def log_prob(self, batch: SetBatch, label: Tensor) -> Tensor:
        """Return the log probability of sequences in nats, given labels `(B,)`, `(N,)`."""
        assert isinstance(self.generator, Density)
        return self.generator.log_prob(batch, self.vectors(label)).double()
