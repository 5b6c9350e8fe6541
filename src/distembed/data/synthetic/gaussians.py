r"""Collections of Gaussians and mixtures of Gaussians whose parameters are known.

    Gaussians     x ~ N(mean_s, cov_s)
    Mixtures      c ~ Categorical(weights_s),  x ~ N(mean_{s,c}, cov_{s,c})

Reading with a generator draws fresh atoms, any number of them; reading without one returns the
`size` atoms that belong to the set, `stream(seed, "atoms", s)`, the same in every process. The
prior of `Gaussians.prior` is that of GDE (arXiv 2505.18150): covariances are inverse Wishart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor

from distembed.data.synthetic.base import Known, parameter, positive, simplex
from distembed.data.synthetic.wishart import inverse_wishart
from distembed.rng import stream

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["Gaussians", "Mixtures", "whitened"]


class Gaussians(Known):
    """Sets of Gaussian atoms.

    Args:
        mean: `(S, D)`.
        cov: `(S, D, D)`, positive definite.
        size: Atoms of a set where no number is given.
        seed: Of the atoms that belong to a set.

    Raises:
        ValueError: If the shapes do not fit or a covariance is not positive definite.

    Example:
        >>> sets = Gaussians([[0.0], [9.0]], [[[1.0]], [[0.01]]], size=100)
        >>> sets.w2([0], [1]).round(2)
        array([9.04])
    """

    def __init__(self, mean: ArrayLike, cov: ArrayLike, size: int = 500, seed: int = 0) -> None:
        self.mean = parameter("mean", mean, 2)
        self.cov = parameter("cov", cov, 3)
        self.size = positive(size)
        self.seed = seed
        self._root = _cholesky(self.mean, self.cov)

    def __len__(self) -> int:
        return len(self.mean)

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one atom, `(D,)`."""
        return (self.mean.shape[1],)

    @classmethod
    def prior(
        cls,
        sets: int,
        d: int,
        df: int,
        scale: float = 1.0,
        low: float = 0.0,
        high: float = 5.0,
        size: int = 500,
        seed: int = 0,
    ) -> Gaussians:
        r"""Draw parameters: mean uniform in [low, high]^d, $\Sigma^{-1} \sim W(df, scale\, I)$.

        The expected covariance is `I / (scale * (df - d - 1))`.

        Args:
            sets: How many sets.
            d: Dimensions.
            df: Degrees of freedom, an integer of at least d.
            scale: Scale of the Wishart distribution of the precision.
            low: Least mean.
            high: Greatest mean.
            size: As of the class.
            seed: Of the parameters and of the atoms.

        Raises:
            ValueError: If `df < d`, where the inverse does not exist.
        """
        rng = stream(seed, "prior")
        mean = low + (high - low) * torch.rand(sets, d, generator=rng, dtype=torch.float64)
        return cls(mean, inverse_wishart(sets, d, df, rng, scale), size, seed)

    def draw(self, index: Tensor, m: int, rng: torch.Generator) -> Tensor:
        """Draw m atoms of each set, `(B, m, D)`."""
        noise = torch.randn(len(index), m, *self.event_shape, generator=rng)
        mean = self.mean[index].float().unsqueeze(1)
        return torch.baddbmm(mean, noise, self._root[index].mT)

    def w2(self, i: ArrayLike, j: ArrayLike) -> np.ndarray:
        """Exact W2 between sets i and j, `(P,)` float64, by the formula of Bures."""
        from distembed.divergences.bures import bures_w2

        a, b = torch.as_tensor(np.asarray(i)), torch.as_tensor(np.asarray(j))
        return bures_w2(self.mean[a], self.cov[a], self.mean[b], self.cov[b]).numpy()


class Mixtures(Known):
    """Sets of atoms from mixtures of K Gaussians.

    Args:
        weights: `(S, K)`, not negative; each row is divided by its sum.
        mean: `(S, K, D)`.
        cov: `(S, K, D, D)`, positive definite.
        size: As of `Gaussians`.
        seed: As of `Gaussians`.

    Raises:
        ValueError: If the shapes do not fit, a covariance is not positive definite, or weights
            are negative or sum to zero.
    """

    def __init__(
        self, weights: ArrayLike, mean: ArrayLike, cov: ArrayLike, size: int = 500, seed: int = 0
    ) -> None:
        self.weights = simplex("weights", weights)
        self.mean = parameter("mean", mean, 3)
        self.cov = parameter("cov", cov, 4)
        self.size = positive(size)
        self.seed = seed
        if self.weights.shape != self.mean.shape[:2]:
            raise ValueError(
                f"weights has shape {tuple(self.weights.shape)} and mean "
                f"{tuple(self.mean.shape)}; they need shapes (S, K) and (S, K, D)."
            )
        self._root = _cholesky(self.mean, self.cov)

    def __len__(self) -> int:
        return len(self.weights)

    @classmethod
    def prior(
        cls, sets: int, k: int, d: int, df: int, high: float = 5.0, size: int = 500, seed: int = 0
    ) -> Mixtures:
        """Draw mixtures of the Gaussians of `Gaussians.prior`, with Dirichlet(1, ..., 1) weights.

        Args:
            sets: How many sets.
            k: Components of each.
            d: Dimensions.
            df: Degrees of freedom of the precision.
            high: Greatest mean; the least is zero.
            size: As of the class.
            seed: Of the parameters and of the atoms.

        Example:
            >>> Mixtures.prior(2, 3, 5, 40).cov.shape
            torch.Size([2, 3, 5, 5])
        """
        rng = stream(seed, "blobs")
        mean = high * torch.rand(sets, k, d, generator=rng, dtype=torch.float64)
        cov = inverse_wishart(k * sets, d, df, rng).unflatten(0, (sets, k))
        # normalised exponentials are Dirichlet(1, ..., 1)
        weights = -torch.log1p(-torch.rand(sets, k, generator=rng, dtype=torch.float64))
        return cls(weights, mean, cov, size, seed)

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one atom, `(D,)`."""
        return (self.mean.shape[2],)

    def draw(self, index: Tensor, m: int, rng: torch.Generator) -> Tensor:
        """Draw m atoms of each set, `(B, m, D)`."""
        part = torch.multinomial(self.weights[index], m, replacement=True, generator=rng)
        noise = torch.randn(len(index), m, *self.event_shape, generator=rng)
        # every component moves every atom: K small products cost less than B * m gathered roots
        x = torch.einsum("bkde,bme->bmkd", self._root[index], noise)
        x = x + self.mean[index].float().unsqueeze(1)
        return x.take_along_dim(part[..., None, None], 2).squeeze(2)

    def moments(self) -> tuple[Tensor, Tensor]:
        """Exact mean `(S, D)` and covariance `(S, D, D)` of each set, float64."""
        mean = torch.einsum("sk,skd->sd", self.weights, self.mean)
        gap = self.mean - mean.unsqueeze(1)
        within = torch.einsum("sk,skde->sde", self.weights, self.cov)
        return mean, within + torch.einsum("sk,skd,ske->sde", self.weights, gap, gap)


def whitened(
    mixtures: Mixtures, factor: Literal["symmetric", "cholesky"] = "symmetric"
) -> Mixtures:
    r"""Whiten every set by $x \mapsto R (x - \mu)$, to mean 0 and covariance I exactly.

    Two sets then differ in their shape alone, up to the rotation in R.

    Args:
        mixtures: The sets.
        factor: R is `symmetric`, $C^{-1/2}$, of the least mean squared displacement; or
            `cholesky`, $L^{-1}$ of $C = L L^\top$.

    Raises:
        ValueError: If the factor is neither.
    """
    mean, cov = mixtures.moments()
    if factor == "symmetric":
        values, vectors = torch.linalg.eigh(cov)
        root = (vectors * values.rsqrt().unsqueeze(1)) @ vectors.mT
    elif factor == "cholesky":
        root = torch.linalg.inv(torch.linalg.cholesky(cov))
    else:
        raise ValueError(f"factor is {factor!r}; there are 'symmetric' and 'cholesky'.")
    centred = torch.einsum("sde,ske->skd", root, mixtures.mean - mean.unsqueeze(1))
    within = torch.einsum("sde,skef,sgf->skdg", root, mixtures.cov, root)
    within = (within + within.mT) / 2
    return Mixtures(mixtures.weights, centred, within, mixtures.size, mixtures.seed)


def _cholesky(mean: Tensor, cov: Tensor) -> Tensor:
    """Compute lower Cholesky factors of the covariances, float32."""
    if cov.shape != (*mean.shape, mean.shape[-1]):
        raise ValueError(
            f"mean has shape {tuple(mean.shape)}, so cov needs {(*mean.shape, mean.shape[-1])}; "
            f"it has {tuple(cov.shape)}."
        )
    root: Tensor
    root, failed = torch.linalg.cholesky_ex(cov)
    if bool(failed.any()):
        where = failed.nonzero()[0].tolist()
        raise ValueError(f"The covariance of set {where} is not positive definite.")
    return root.float()
