r"""Principal components of cells, in passes over parts that stay sparse.

A cell with counts $c$ over G genes becomes $y$: $c$ itself, scaled to a total of `target_sum` if
there is one, and $\log(1 + y)$ if `log1p`. One pass sums $y$ and $y y^T$ in float64, the
covariance gives the components $V$, and atoms are $V^T (y - \bar y)$. Memory is $8 G^2$ bytes and
one dense part; the same numbers follow from a dense decomposition, to rounding.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distembed.data.features import match_columns
from distembed.data.store import load_arrays

__all__ = ["Projection", "Recipe", "fit_projection", "read_projection"]


@dataclass(frozen=True)
class Recipe:
    """How cells become atoms.

    Attributes:
        components: Number of principal components.
        target_sum: Total to which the values of each cell are scaled first, over the genes that
            are read; not scaled where None.
        log1p: Whether the natural logarithm of one plus the value is taken, after scaling.
        largest: Most genes; the covariance takes 8 bytes for each pair of them.

    Raises:
        ValueError: If a number is not positive.
    """

    components: int = 50
    target_sum: float | None = None
    log1p: bool = False
    largest: int = 12_000

    def __post_init__(self) -> None:
        if self.components < 1 or self.target_sum is not None and not self.target_sum > 0:
            raise ValueError(
                f"pca = {self.components} components and target_sum = {self.target_sum}; both "
                "are positive."
            )

    def values(self, x: Any) -> Any:
        """Return scaled values and logarithms, sparse where `x` is, in float64.

        Raises:
            ValueError: If a value is negative where a total or a logarithm is taken.
        """
        sparse = hasattr(x, "tocsr")
        y = x.astype(np.float64)
        data = y.data if sparse else y
        if (self.target_sum is not None or self.log1p) and data.size and data.min() < 0:
            raise ValueError(
                f"A value is {data.min():.4g}; target_sum and log1p are for counts, which are not "
                "negative. Leave them out, or name the layer of counts."
            )
        if self.target_sum is not None:
            total = np.asarray(y.sum(1), np.float64).ravel()
            scale = self.target_sum / np.where(total > 0, total, 1)
            if sparse:
                y.data *= np.repeat(scale, np.diff(y.indptr))
            else:
                y *= scale[:, None]
        if self.log1p:
            if sparse:
                np.log1p(y.data, out=y.data)
            else:
                np.log1p(y, out=y)
        return y


@dataclass(frozen=True)
class Projection:
    """A fitted projection of cells on principal components.

    Attributes:
        recipe: What is done to cells before.
        genes: Names of the G genes.
        mean: Mean of the values of each gene, `(G,)`.
        components: The components, `(k, G)`, orthonormal rows.
        variance: Share of the total variance of each component, `(k,)`.
    """

    recipe: Recipe
    genes: tuple[str, ...]
    mean: NDArray[np.float64]
    components: NDArray[np.float64]
    variance: NDArray[np.float64]

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the coordinates: PC1, PC2, ..."""
        return tuple(f"PC{j + 1}" for j in range(len(self.components)))

    def __call__(self, x: Any) -> NDArray[np.float32]:
        """Project cells `(n, G)`, an array or CSR, to `(n, k)`."""
        y = self.recipe.values(x)
        z = np.asarray(y @ self.components.T) - self.components @ self.mean
        return z.astype(np.float32)

    def for_genes(self, genes: tuple[str, ...] | None) -> list[int] | None:
        """Return the positions of its genes among those of other cells; None where they agree.

        Raises:
            ValueError: If genes are missing, or have no names.
        """
        if genes is None:
            raise ValueError("The cells have no names of genes, by which a projection is applied.")
        missing = sorted(set(self.genes) - set(genes))
        if missing:
            raise ValueError(
                f"The cells lack {len(missing)} of the {len(self.genes)} genes of the projection: "
                f"{', '.join(missing[:5])}{', ...' if len(missing) > 5 else ''}. Add them, with "
                "zeros where they were not detected, or build a projection of its own with pca."
            )
        return match_columns(self.genes, genes)

    def save(self, path: Path) -> None:
        """Write it as arrays."""
        np.savez(
            path,
            genes=np.array(self.genes),
            mean=self.mean,
            components=self.components,
            variance=self.variance,
            target_sum=np.array(self.recipe.target_sum or np.nan),
            log1p=np.array(self.recipe.log1p),
        )


def read_projection(store: str | Path) -> Projection:
    """Read the projection by which the atoms of a store were made.

    Raises:
        FileNotFoundError: If there is no such store, or it has none.
        ValueError: If it is damaged.
    """
    path = Path(store) / "projection.npz"
    if not path.parent.is_dir():
        raise FileNotFoundError(f"There is no store {store} (from {Path.cwd()}).")
    if not path.is_file():
        raise FileNotFoundError(f"The store {store} has no projection: it was built without pca.")
    try:
        arrays = load_arrays(path)
        target, k = float(arrays["target_sum"]), len(arrays["components"])
        recipe = Recipe(k, None if np.isnan(target) else target, bool(arrays["log1p"]))
        names = tuple(arrays["genes"].tolist())
        return Projection(recipe, names, *(arrays[n] for n in _ARRAYS))
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise ValueError(f"{path} is damaged: {error}. Build the store again.") from error


_ARRAYS = ("mean", "components", "variance")


def fit_projection(parts: Iterable[Any], genes: tuple[str, ...], recipe: Recipe) -> Projection:
    """Fit principal components in one pass.

    Args:
        parts: Cells, arrays or CSR matrices `(n, G)`.
        genes: Names of the genes.
        recipe: What is done to cells before, and how many components to keep.

    Raises:
        ValueError: If there are too many genes, or fewer cells or genes than components.

    Example:
        >>> x = np.random.default_rng(0).normal(size=(50, 3)) * [3, 1, 0.1]
        >>> fit = fit_projection([x[:20], x[20:]], ("a", "b", "c"), Recipe(2))
        >>> fit.features, fit.variance.round(2).tolist()
        (('PC1', 'PC2'), [0.94, 0.06])
    """
    g = len(genes)
    if g > recipe.largest:
        raise ValueError(
            f"There are {g} genes, whose covariance would take {8 * g * g / 2**30:.1f} GiB. "
            "Choose variable genes with `genes`, such as genes='highly_variable' after "
            "scanpy.pp.highly_variable_genes."
        )
    n, total, square = 0, np.zeros(g), np.zeros((g, g))
    for x in parts:
        y = recipe.values(x)
        dense = y.toarray() if hasattr(y, "toarray") else y
        n += len(dense)
        total += dense.sum(0)
        square += dense.T @ dense
    if not recipe.components < n or not recipe.components <= g:
        raise ValueError(
            f"pca = {recipe.components} components of {n} cells and {g} genes; there are at most "
            "as many as genes, and fewer than cells."
        )
    mean = total / n
    covariance = (square - n * np.outer(mean, mean)) / (n - 1)
    value, vector = np.linalg.eigh(covariance)
    components = vector[:, ::-1][:, : recipe.components].T
    # the sign of an eigenvector is free: its largest entry is positive
    largest = np.abs(components).argmax(1)
    components = components * np.sign(components[np.arange(len(components)), largest])[:, None]
    share = value[::-1][: recipe.components].clip(0) / max(np.trace(covariance), 1e-300)
    return Projection(replace(recipe), tuple(genes), mean, components, share)
