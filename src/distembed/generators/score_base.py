r"""A Gaussian base of vectors on a scale that is chosen: as they are, or as normal scores.

    g(X) | z ~ N(l(z), C(z))

g is the identity or the normal scores of features (`distembed.generators.scores`). A Gaussian
draws counts below zero, shares above one and values between those that occur; scores do not. They
are one scale for all sets, however: where sets differ by more than their atoms do, a Gaussian set
is far from one of scores. So both are tried: each is fitted to three quarters of the training sets
and draws the others. Scores are taken where their draws have the lower unbiased energy distance to
the atoms of more than half of the sets. Sets are counted, because a mean is ruled by a few sets
whose embeddings are far from all others.

l and C are those of `ConditionalGaussian` in few dimensions. In many, where C was a multiple of
the identity, one covariance for all sets up to its level is fitted (`generators.image_base`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from distembed.batch import SetBatch
from distembed.divergences.energy import unbiased_energy
from distembed.generators.base import BaseSettings, ConditionalGaussian, Gaussian
from distembed.generators.brightness import BrightnessSettings
from distembed.generators.image_base import ImageBaseSettings, ImageGaussian
from distembed.generators.scores import NormalScores, ScoreGrid
from distembed.rng import stream

__all__ = ["ScoreBaseSettings", "ScoreGaussian"]


@dataclass(frozen=True)
class ScoreBaseSettings:
    """Settings of a Gaussian base on a chosen scale.

    Attributes:
        scale: `auto`, `plain` or `scores`.
        gaussian: Settings of the Gaussian.
        axes: Settings of its covariance in many dimensions.
        grid: The grid of scores.
        sets: Most training sets on which the scale is chosen.
        folds: Parts of them, each of which is drawn by a Gaussian that is fitted to the others.
        atoms: Most atoms of each.
    """

    scale: str = "auto"
    gaussian: BaseSettings = BaseSettings(network=False)
    axes: ImageBaseSettings = ImageBaseSettings(brightness=BrightnessSettings(offsets=()))
    grid: ScoreGrid = field(default_factory=ScoreGrid)
    sets: int = 256
    folds: int = 4
    atoms: int = 64


@dataclass(frozen=True)
class _Scored:
    """A Gaussian of g(x), with the interface of `Gaussian` for x."""

    gaussian: Gaussian
    scores: NormalScores

    def whiten(self, batch: SetBatch) -> Tensor:
        """Return residuals u of a batch, `(N, D)`."""
        return self.gaussian.whiten(batch.replace(x=self.scores(batch.flat)))

    def colour(self, u: Tensor) -> Tensor:
        """Return the atoms of residuals `(B, n, D)`, the inverse of `residuals`."""
        return self.scores.inverse(self.gaussian.colour(u))

    def residuals(self, x: Tensor) -> Tensor:
        """Return residuals of atoms `(B, n, D)`."""
        return self.gaussian.residuals(self.scores(x))

    def log_volume(self) -> Tensor:
        """Return the logarithm of det C over D, `(B,)`."""
        return self.gaussian.log_volume()


class ScoreGaussian(nn.Module):
    """A Gaussian of vectors or of their normal scores.

    Args:
        dim: Dimension D of a flattened atom.
        latent: Dimension L of the embedding.
        settings: The scale, and how it is chosen.

    Raises:
        ValueError: If there is no such scale.

    Example:
        >>> base = ScoreGaussian(3, latent=4)
        >>> base(torch.zeros(2, 4)).colour(torch.zeros(2, 5, 3)).shape
        torch.Size([2, 5, 3])
    """

    def __init__(self, dim: int, latent: int, settings: ScoreBaseSettings | None = None) -> None:
        super().__init__()
        self.settings = settings or ScoreBaseSettings()
        if self.settings.scale not in ("auto", "plain", "scores"):
            raise ValueError(
                f"scale is {self.settings.scale!r}; it is 'auto', 'plain' or 'scores'."
            )
        self.remark = ""
        self.scores = NormalScores(dim, self.settings.grid)
        self.gaussian: ConditionalGaussian | ImageGaussian
        if dim <= self.settings.gaussian.full_up_to:
            self.gaussian = ConditionalGaussian(dim, latent, settings=self.settings.gaussian)
        else:
            self.gaussian = ImageGaussian(dim, latent, self.settings.axes)

    @torch.no_grad()
    def prepare(self, batch: SetBatch, z: Tensor) -> None:
        """Choose the scale, and fit the Gaussian to the moments of training sets."""
        batch = batch.keep(batch.w > 0)
        chosen = self.settings.scale == "scores" or (
            self.settings.scale == "auto" and self._scores_are_better(batch, z)
        )
        self._prepare(batch, z, chosen)

    def widen(self, batch: SetBatch, z: Tensor) -> None:
        """Widen the Gaussian by the error of predictions from few atoms."""
        self.gaussian.widen(self._scored(batch), z)

    def forward(self, z: Tensor) -> _Scored:
        """Return the Gaussian of each set, from embeddings `(B, L)`."""
        return _Scored(self.gaussian(z), self.scores)

    def noise(self, e: Tensor) -> Tensor:
        """Give white noise `(..., D)` the covariance of residuals."""
        return self.gaussian.noise(e)

    def negative_log_likelihood(self, batch: SetBatch, gaussian: _Scored) -> Tensor:
        """Score each set in nats of g(x) per dimension, up to a constant, `(B,)`."""
        return self.gaussian.negative_log_likelihood(self._scored(batch), gaussian.gaussian)  # type: ignore[arg-type]

    def _prepare(self, batch: SetBatch, z: Tensor, scores: bool) -> None:
        self.scores.reset()
        if scores:
            self.scores.fit(batch.flat, batch.w)
        self.gaussian.prepare(self._scored(batch), z)

    def _scores_are_better(self, batch: SetBatch, z: Tensor) -> bool:
        """Compare draws of sets that the Gaussian is not fitted to, on either scale."""
        rows = (batch.sizes > 1).nonzero().flatten()[: self.settings.sets]
        folds = min(self.settings.folds, len(rows) // 2)
        if folds < 2:
            return False
        gains = []
        for k in range(folds):
            others = rows[k::folds]
            fitted = rows[(torch.arange(len(rows)) % folds != k).to(rows.device)]
            target = batch.select(others).subsample(self.settings.atoms, stream(0, "target"))
            target = target.replace(x=target.flat)
            plain, scored = (
                self._energy(batch.select(fitted), z[fitted], target, z[others], scores)
                for scores in (False, True)
            )
            gains.append(plain - scored)
        gain = torch.cat(gains)
        wins = int((gain > 0).sum())
        # by more than one standard deviation of the wins of equals
        better = wins - len(gain) / 2 > math.sqrt(len(gain)) / 2
        scale = "normal scores, within the training range" if better else "the plain scale"
        self.remark = (
            f"features are modelled on {scale} (`scale` of the generator): normal scores gave "
            f"nearer draws for {wins} of {len(gain)} sets before training"
        )
        return better

    def _energy(
        self, batch: SetBatch, z: Tensor, target: SetBatch, z_target: Tensor, scores: bool
    ) -> Tensor:
        """Return the unbiased energy distance of draws to atoms `(N, D)`, `(B,)`."""
        self._prepare(batch, z, scores)
        n = int(target.sizes.max())
        e = torch.randn(len(target), n, target.x.shape[1], generator=stream(0, "draws"))
        drawn = self(z_target).colour(self.noise(e.to(target.x)))
        return unbiased_energy(SetBatch.from_dense(drawn), target)

    def _scored(self, batch: SetBatch) -> SetBatch:
        return batch.replace(x=self.scores(batch.flat))
