r"""Moment embeddings, whose Euclidean distances approximate distances of distributions.

- `mean`: $\mu$. Distances are those of the means, a lower bound of W2.
- `mean_cov`: $(\mu, \Sigma^{1/2})$. Its squared distance is an upper bound of the squared Bures
  distance, equal where covariances commute; Bures is a lower bound of W2 (Gelbrich, 1990).
- `quantiles`: $\sqrt{D}\,K \int_{k/K}^{(k+1)/K} F^{-1}_\theta(u)\,du$ over projections $\theta$
  and bins k, a discretised sliced W2 (Bonneel et al., 2015), scaled so that a shift by $\delta$
  moves the vector by about $\|\delta\|$. Bin means are continuous in the weights, single
  quantiles are not.
"""

from __future__ import annotations

import math
from typing import Literal, cast

import torch
from torch import Tensor, nn

from distembed.batch import SetBatch
from distembed.encoders.projection import PrincipalProjection
from distembed.encoders.statistics import Covariance, Mean, Stages, run
from distembed.nn.per_set import moments_per_set
from distembed.nn.sqrtm import sqrtm
from distembed.nn.subspace import leading_subspace
from distembed.protocols import EncoderTraits
from distembed.rng import stream

__all__ = ["Moments", "half_vector", "moment_count", "principal_axes"]

Kind = Literal["mean", "mean_cov", "quantiles"]
_EXACT_UP_TO = 1024  # dimensions whose covariance is held: that of 128 x 128 pixels has 2 GB
AXES = 16
"""Most principal axes that a root covariance is taken on, by default."""


def moment_count(d: int) -> int:
    """Number of distinct entries of mean and root covariance in d dimensions."""
    axes = min(d, AXES)
    return d + axes * (axes + 1) // 2


class Moments(nn.Module):
    """Moments or quantiles of a set, brought to L dimensions by a projection.

    Args:
        event_shape: Shape of one atom.
        latent: Dimension L of the embedding.
        kind: `mean`, `mean_cov` or `quantiles`.
        axes: The root covariance is taken on at most so many principal axes of the atoms.
        projections: Number of directions for `quantiles`.
        bins: Number of bins for `quantiles`.

    Example:
        >>> batch = SetBatch.from_list([[[0.0], [2.0]], [[5.0]]])
        >>> Moments((1,), 1, "mean")(batch).diff(dim=0).abs().item()
        4.0
    """

    axes: Tensor
    floor: Tensor

    def __init__(
        self,
        event_shape: tuple[int, ...],
        latent: int,
        kind: Kind = "mean_cov",
        axes: int = AXES,
        projections: int = 32,
        bins: int = 16,
    ) -> None:
        super().__init__()
        if kind not in ("mean", "mean_cov", "quantiles"):
            raise ValueError(f"kind is {kind!r}; there are: 'mean', 'mean_cov', 'quantiles'.")
        d = math.prod(event_shape)
        count = projections if kind == "quantiles" else min(axes, d)
        self.latent, self.kind, self.bins = latent, kind, bins
        random = torch.randn(d, count, generator=stream(0, "moments", d, count))
        if kind == "quantiles":
            axes_ = random / random.norm(dim=0)
        else:
            axes_ = torch.linalg.qr(random)[0] if count < d else torch.eye(d)
        self.register_buffer("axes", axes_)
        self.register_buffer("floor", torch.tensor(0.02))
        pairs = count * (count + 1) // 2
        if kind == "mean_cov":
            # Each has coordinates of its own: many noisy covariances must not crowd out the mean.
            means = min(d, max(math.ceil(2 * latent / 3), latent - pairs))
            parts = [(d, means), (pairs, latent - means)]
        else:
            parts = [(d if kind == "mean" else count * bins, latent)]
        self.sizes = [size for size, _ in parts]
        self.projections = nn.ModuleList(
            [PrincipalProjection(size, width) for size, width in parts]
        )

    def prepare(self, batch: SetBatch) -> None:
        """Fix the axes from the atoms of training sets and the projections from their vectors."""
        x = batch.flat.double()
        if self.kind == "mean_cov":
            centred = x - batch.mean(x).mean(0)
            root = centred * (batch.w.double() / len(batch)).sqrt().unsqueeze(1)
            self.floor.copy_(0.02 * root.square().sum(0).mean().sqrt())
            if self.axes.shape[1] < self.axes.shape[0]:
                self.axes.copy_(principal_axes(root, self.axes.shape[1]))
        vectors = self.vector(batch).split(self.sizes, 1)
        for projection, vector in zip(self.projections, vectors, strict=True):
            cast(PrincipalProjection, projection).fit(vector)

    def prepare_from(self, mean: Tensor, cov: Tensor) -> None:
        """Fix axes and projections from means `(B, D)` and covariances `(B, D, D)`."""
        centred = mean - mean.mean(0)
        total = cov.mean(0) + centred.mT @ centred / len(mean)
        self.floor.copy_(0.02 * total.diagonal().mean().sqrt())
        if self.axes.shape[1] < self.axes.shape[0]:
            self.axes.copy_(torch.linalg.eigh(total)[1].flip(1)[:, : self.axes.shape[1]])
        axes = self.axes.double()
        vectors = self.vectors(mean, axes.T @ cov @ axes)
        for projection, vector in zip(self.projections, vectors, strict=True):
            cast(PrincipalProjection, projection).fit(vector)

    def vector(self, batch: SetBatch) -> Tensor:
        """Return the vector before the projection, `(B, K)` float64."""
        x = batch.flat.double()
        if self.kind == "mean":
            return batch.mean(x)
        projected = x @ self.axes.double()
        if self.kind == "quantiles":
            bins = _binned_quantiles(batch, projected, self.bins)
            return bins.flatten(1) * math.sqrt(x.shape[1] / (self.axes.shape[1] * self.bins))
        return self._joined(batch.mean(x), moments_per_set(batch, projected)[1])

    @property
    def traits(self) -> EncoderTraits:
        """One pass for moments; quantiles cannot stream."""
        return EncoderTraits(None if self.kind == "quantiles" else 1, informed=self.latent)

    def stages(self, batch: SetBatch) -> Stages[Tensor]:
        """Request moments in one pass, and embed."""
        x = batch.flat.double()
        if self.kind == "quantiles":
            yield from ()
            return self._reduced(self.vector(batch))
        if self.kind == "mean":
            ((mean,),) = yield (Mean(x),)
            return self._reduced(mean)
        (mean,), (_, cov) = yield Mean(x), Covariance(x @ self.axes.double())
        return self.of_moments(mean, cov)

    def of_moments(self, mean: Tensor, cov: Tensor) -> Tensor:
        """Embed means `(B, D)` and covariances on the axes `(B, A, A)`, `(B, L)`."""
        return self._reduced(self._joined(mean, cov))

    def vectors(self, mean: Tensor, cov: Tensor) -> tuple[Tensor, ...]:
        """Return what each projection takes of means `(B, D)` and covariances `(B, A, A)`."""
        parts: tuple[Tensor, ...] = self._joined(mean, cov).split(self.sizes, 1)
        return parts

    def forward(self, batch: SetBatch) -> Tensor:
        """Embed each set, `(B, L)`."""
        return run(self.stages(batch), batch)

    def _joined(self, mean: Tensor, cov: Tensor) -> Tensor:
        eye = torch.eye(cov.shape[-1], dtype=cov.dtype, device=cov.device)
        root = sqrtm(cov + self.floor.double() ** 2 * eye)
        return torch.cat([mean, half_vector(root)], 1)

    def _reduced(self, vector: Tensor) -> Tensor:
        parts = vector.split(self.sizes, 1)
        return torch.cat([f(v) for f, v in zip(self.projections, parts, strict=True)], 1)


def principal_axes(root: Tensor, count: int) -> Tensor:
    """Return the leading eigenvectors of root^T root, `(N, D) -> (D, count)`."""
    if root.shape[1] <= _EXACT_UP_TO:
        vectors: Tensor = torch.linalg.eigh(root.mT @ root)[1].flip(1)[:, :count]
        return vectors
    vectors, _ = leading_subspace(root, min(count, *root.shape))
    # fewer atoms than axes leave some, which may be any
    extra = torch.eye(len(vectors), count - vectors.shape[1], dtype=root.dtype)
    complete: Tensor = torch.linalg.qr(torch.cat([vectors, extra.to(root.device)], 1))[0]
    return complete


def half_vector(s: Tensor) -> Tensor:
    """Upper triangle of symmetric matrices, scaled so that its norm is the Frobenius norm."""
    row, column = torch.triu_indices(*s.shape[-2:], device=s.device)
    scale = torch.where(row == column, s.new_tensor(1.0), s.new_tensor(math.sqrt(2)))
    return s[..., row, column] * scale


def _binned_quantiles(batch: SetBatch, y: Tensor, bins: int) -> Tensor:
    """Mean of the quantile function over equal bins, `(N, P) -> (B, P, bins)`."""
    values, log_w = batch.dense(y)
    w = log_w.exp().to(y.dtype).unsqueeze(2).expand_as(values)
    values, order = values.sort(1)
    w = w.gather(1, order)
    mass = _from_zero(w.cumsum(1).mT.contiguous())
    moment = _from_zero((w * values).cumsum(1).mT.contiguous())
    mass = mass / mass[..., -1:]
    moment = moment / w.sum(1).unsqueeze(2)
    # integral of the quantile function up to u, linear between the cumulative weights
    u = torch.linspace(0, 1, bins + 1, dtype=y.dtype, device=y.device).expand(*mass.shape[:2], -1)
    right = torch.searchsorted(mass, u.contiguous()).clamp(1, mass.shape[-1] - 1)
    m0, m1 = mass.gather(2, right - 1), mass.gather(2, right)
    i0, i1 = moment.gather(2, right - 1), moment.gather(2, right)
    share = ((u - m0) / (m1 - m0).clamp_min(1e-300)).clamp(0, 1)
    return (i0 + share * (i1 - i0)).diff(dim=2) * bins


def _from_zero(cumulative: Tensor) -> Tensor:
    """Put a zero before a cumulative sum along the last axis."""
    return nn.functional.pad(cumulative, (1, 0))
