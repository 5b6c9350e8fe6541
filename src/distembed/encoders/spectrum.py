r"""Closed-form embedding of a set of sequences: lengths, places, k-mers, and what varies together.

    z = [a (E l, sd l),  b J_1 E p(x),  c J_2 E s(x),  d J_3 Cov(A p(x))^{1/2}]

l is the length of a sequence x, p the symbols at its places and s its k-mer spectrum
(`distembed.encoders.sequence_features`), A the principal axes of p over training atoms, and J are
principal projections fitted to training sets. The first block is W2 of the lengths where those are
normal, and is left out of aligned sequences, which have one length. The root covariance sees which
symbols occur together, such as two positions that depend on each other, where no mean does. Each k
of the spectrum is scaled to one variance between training sets, and the blocks to W2 under the
distance of sequences (`distembed.encoders.scales`): Hamming of aligned ones, and else Levenshtein.
Nothing in it is trained by gradients, and it reads the atoms once.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from distembed.batch import SetBatch
from distembed.divergences.edit import hamming, levenshtein
from distembed.encoders.moments import half_vector, principal_axes
from distembed.encoders.projection import PrincipalProjection
from distembed.encoders.scales import ScaleFit, fitted_scales
from distembed.encoders.sequence_features import (
    SequenceFeatures,
    mean_features,
    multiplied,
)
from distembed.encoders.statistics import Covariance, Mean, Stages, Variance, run
from distembed.nn.sqrtm import sqrtm
from distembed.protocols import EncoderTraits
from distembed.rng import stream

__all__ = ["Spectrum"]

_AXES_ATOMS = 4096  # atoms that the axes of places are computed from


class Spectrum(nn.Module):
    """Lengths, places, k-mers and a root covariance of sequences, scaled to W2.

    Args:
        event_shape: `(T,)`; later sequences may have another length where they are not aligned.
        latent: Dimension L of the embedding. A quarter of it is the root covariance, two numbers
            are the lengths, and k-mers and places share what is left.
        vocab: The largest token; 0 is the pad.
        aligned: Whether positions correspond.
        orders: The k of the k-mers; chosen by the size of the alphabet if left out.
        axes: The root covariance is taken on at most so many principal axes of the places.
        scale_fit: How the scales are fitted.

    Raises:
        ValueError: If an atom is no sequence, or an order is not positive.

    Example:
        >>> batch = SetBatch.from_list([torch.tensor([[1, 2, 1], [2, 2, 0]]), [[2, 1, 0]]])
        >>> Spectrum((3,), latent=8, vocab=2)(batch).shape
        torch.Size([2, 8])
    """

    axes: Tensor
    floor: Tensor
    order_scales: Tensor
    scales: Tensor

    def __init__(
        self,
        event_shape: tuple[int, ...],
        latent: int,
        vocab: int,
        aligned: bool = False,
        orders: Sequence[int] | None = None,
        axes: int = 32,
        scale_fit: ScaleFit | None = None,
    ) -> None:
        super().__init__()
        if len(event_shape) != 1:
            raise ValueError(
                f"Atoms have shape {tuple(event_shape)}; a token sequence has shape (T,)."
            )
        self.latent, self.scale_fit = latent, scale_fit or ScaleFit(least=0.1)
        self.features = SequenceFeatures(event_shape[0], vocab, aligned, orders)
        places = self.features.place_size
        count = min(axes, places)
        lengths = 0 if aligned else min(2, latent // 8)
        covariance = latent // 4
        spectrum = (latent - lengths - covariance) // 2
        self.sizes = [lengths, latent - lengths - covariance - spectrum, spectrum, covariance]
        self.places = PrincipalProjection(places, self.sizes[1])
        self.spectrum = PrincipalProjection(sum(self.features.spectrum_sizes), spectrum)
        self.covariance = PrincipalProjection(count * (count + 1) // 2, covariance)
        random = torch.randn(places, count, generator=stream(0, "spectrum", places, count))
        self.register_buffer("axes", torch.linalg.qr(random)[0])
        self.register_buffer("floor", torch.tensor(0.02))
        self.register_buffer("order_scales", torch.ones(len(self.features.ks)))
        self.register_buffer("scales", torch.ones(4))

    @property
    def traits(self) -> EncoderTraits:
        """One pass; no coordinate is trained."""
        return EncoderTraits(passes=1, informed=self.latent)

    @torch.no_grad()
    def prepare(self, batch: SetBatch) -> None:
        """Fix axes, projections and scales from training sets."""
        features = self.features
        batch = batch.replace(x=features.read(batch.x))
        self._fit_axes(batch)
        self.places.fit(mean_features(batch, features.places, features.place_size))
        self.order_scales.fill_(1)
        means = mean_features(batch, self._spectrum_of, sum(features.spectrum_sizes))
        total = [m.var(0, unbiased=False).sum() for m in means.split(features.spectrum_sizes, 1)]
        variance = torch.stack(total)
        # a k whose shares do not vary between training sets keeps its own scale
        self.order_scales.copy_((1 / variance.clamp_min(1e-12).sqrt()).where(variance > 1e-12, 1))
        repeats = torch.tensor(features.spectrum_sizes, device=means.device)
        columns = self.order_scales.repeat_interleave(repeats)
        self.spectrum.fit(means * columns)
        *_, cov = run(self._statistics(batch), batch)
        self.covariance.fit(self._root(cov))
        self.scales.fill_(1)
        scales = fitted_scales(
            batch.to("cpu"),
            lambda half: self(half.to(self.scales.device)).cpu().double(),
            self.sizes,
            prior=(1, 0, 0, 0),
            fit=self.scale_fit,
            distance=hamming if features.aligned else levenshtein,
        )
        self.scales.copy_(scales)

    def forward(self, batch: SetBatch) -> Tensor:
        """Embed each set, `(B, L)`."""
        return run(self.stages(batch), batch)

    def stages(self, batch: SetBatch) -> Stages[Tensor]:
        """Request means and a covariance in one pass; return z `(B, L)`."""
        read = batch.replace(x=self.features.read(batch.x))
        length, deviation, means, cov = yield from self._statistics(read)
        places, spectrum = means.split(self.sizes[1:3], 1)
        blocks = [
            torch.cat([length, deviation], 1)[:, : self.sizes[0]],
            _centred(places, self.places),
            _centred(spectrum, self.spectrum),
            self.covariance(self._root(cov)),
        ]
        sizes = torch.tensor(self.sizes, device=means.device)
        z = torch.cat([block.to(self.scales.dtype) for block in blocks], 1)
        return z * self.scales.repeat_interleave(sizes)

    def _statistics(self, batch: SetBatch) -> Stages[tuple[Tensor, Tensor, Tensor, Tensor]]:
        """Request the length and its deviation, projected means, and the covariance on axes."""
        matrix = torch.cat([self.places.rows.T, self.axes], 1)
        h = self.features.apply(batch.x, lambda x: self._projected(x, matrix))
        length = (batch.x > 0).sum(1, keepdim=True).double()
        used, count = self.sizes[1], self.axes.shape[1]
        means = torch.cat([h[:, :used], h[:, used + count :]], 1)
        on_axes = h[:, used : used + count]
        ((mean,), (lengths, variance), (_, cov)) = yield (
            Mean(means),
            Variance(length),
            Covariance(on_axes),
        )
        # a length is whole: a deviation far below one is none
        return lengths, (variance + 1e-4).sqrt(), mean, cov

    def _projected(self, x: Tensor, matrix: Tensor) -> Tensor:
        places = multiplied(self.features.places(x), matrix)
        return torch.cat([places, multiplied(self._spectrum_of(x), self.spectrum.rows.T)], 1)

    def _spectrum_of(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.features.spectrum(x, self.order_scales)

    def _root(self, cov: Tensor) -> Tensor:
        eye = torch.eye(cov.shape[-1], dtype=cov.dtype, device=cov.device)
        return half_vector(sqrtm(cov + self.floor.double() ** 2 * eye))

    def _fit_axes(self, batch: SetBatch) -> None:
        """Set the principal axes of the places of training atoms, and the floor of the root."""
        features, each = self.features, max(1, _AXES_ATOMS // len(batch))
        atoms = batch.subsample(each, stream(0, "axes of places"))
        columns, values = features.places(atoms.x)
        dense = values.new_zeros(len(atoms.x), features.place_size)
        dense.scatter_add_(1, columns, values)
        centred = dense - atoms.mean(dense).mean(0)
        root = centred * (atoms.w.double() / len(atoms)).sqrt()[:, None]
        self.floor.copy_((0.02 * root.square().sum(0).mean().sqrt()).clamp_min(1e-6))
        if self.axes.shape[1] < self.axes.shape[0]:
            self.axes.copy_(principal_axes(root, self.axes.shape[1]))


def _centred(mean: Tensor, projection: PrincipalProjection) -> Tensor:
    """Take the projected centre from projected means: the projection of a mean."""
    return mean - projection.centre.to(mean.dtype) @ projection.rows.T.to(mean.dtype)
