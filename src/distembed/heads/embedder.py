"""`DistributionEmbedder`: a GDE as a transformer of scikit-learn."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from distembed.heads.base import BaseEstimator, TransformerMixin
from distembed.model.embeddings import Embeddings
from distembed.model.gde import GDE
from distembed.model.inputs import as_collection
from distembed.registry import NamedMember, need
from distembed.rng import Rng
from distembed.sets.collection import Sets
from distembed.sets.read import read

__all__ = ["DistributionEmbedder"]


class DistributionEmbedder(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """A GDE that is fitted to sets and maps each to its embedding, `(S, L)`.

    X is a list of arrays `(m, *event)`, `Sets`, or a data frame of atoms with a column that names
    the set of each row. Sets of a data frame come in the order in which their names first occur,
    that of `names(X)`, and a target has one value a set in this order.

    `SetRegressor(embedder=...)` and `SetClassifier(embedder=...)` also use the covariances of
    embeddings, which a `Pipeline` does not pass on.

    Args:
        encoder: As of `GDE`.
        generator: As of `GDE`.
        latent: Dimension L.
        atom_transform: `transform` of `GDE`.
        by: Column of a data frame that names the set of each atom.
        columns: Feature columns of a data frame, by name or pattern; all numeric ones by default.
        training: Settings of the training, keys of `TrainConfig`, such as `{"steps": 500}`.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> sets = [rng.normal(size=(20, 2)) for _ in range(12)]
        >>> embedder = DistributionEmbedder(latent=3, training={"steps": 2})
        >>> embedder.fit_transform(sets).shape
        (12, 3)
    """

    def __init__(
        self,
        encoder: Any = "auto",
        generator: Any = "auto",
        latent: int | None = None,
        atom_transform: str | Sequence[NamedMember] = "auto",
        by: str | None = None,
        columns: str | Sequence[str] | None = None,
        training: Mapping[str, Any] | None = None,
    ) -> None:
        self.encoder = encoder
        self.generator = generator
        self.latent = latent
        self.atom_transform = atom_transform
        self.by = by
        self.columns = columns
        self.training = training

    def fit(self, X: Any, y: Any = None) -> Self:
        """Train a GDE on sets; the target is ignored.

        Raises:
            ValueError: If the sets cannot be read, or a setting is unknown.
        """
        self.model_ = GDE(
            # a module is trained in place, and an estimator does not change its parameters
            copy.deepcopy(self.encoder),
            copy.deepcopy(self.generator),
            self.latent,
            transform=self.atom_transform,
        ).fit(self.sets(X), progress=False, **dict(self.training or {}))
        return self

    def transform(self, X: Any) -> Any:
        """Return the embedding of each set, `(S, L)`.

        With `set_output(transform="pandas")` the rows of a data frame have the names of the sets.
        """
        sets = self.sets(X)
        z = self._fitted.embed(sets, covariance=False).z
        # scikit-learn would take the index of X, which has a row an atom
        if hasattr(X, "columns") and self._output() == "pandas":
            pandas = need("pandas", "sklearn")
            return pandas.DataFrame(z, sets.ids, self.get_feature_names_out())
        return z

    def embed(self, X: Any) -> Embeddings:
        """Return the embedding of each set with its sampling covariance."""
        return self._fitted.embed(self.sets(X))

    def inverse_transform(self, X: ArrayLike, n: int = 100, rng: Rng = 0) -> NDArray[Any]:
        """Draw n atoms from the distribution of each embedding, `(S, n, *event)`."""
        drawn: NDArray[Any] = self._fitted.sample(np.asarray(X), n, rng)
        return drawn

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Return the names of the columns, z0, z1, ..., `(L,)`; the argument is ignored."""
        return np.array([f"z{i}" for i in range(self._fitted.latent)], dtype=object)

    def names(self, X: Any) -> NDArray[np.str_]:
        """Return the names of sets in the order of the rows of `transform`."""
        return self.sets(X).ids

    def sets(self, X: Any) -> Sets:
        """Return X as sets.

        Raises:
            TypeError: If it is none of the forms.
            ValueError: If it is a data frame without a column that names the sets, or an array.
        """
        if hasattr(X, "columns") and hasattr(X, "loc"):
            if self.by is None:
                raise ValueError(
                    f"X is a data frame of {len(X)} atoms, and `by` does not say which column "
                    "names the set of each; use DistributionEmbedder(by='patient')."
                )
            return read(X, self.by, self.columns, min_size=1)
        sets = as_collection(X)
        if not isinstance(sets, Sets):
            raise TypeError(
                f"X is of type {type(X).__name__}; the embedder takes Sets, a list of arrays or a "
                "data frame, of which folds can be made."
            )
        return sets

    def __sklearn_tags__(self) -> Any:
        """Say that X is a list of sets, which an array of one row a sample cannot hold."""
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        return tags

    @property
    def _fitted(self) -> GDE:
        need("sklearn.utils.validation", "sklearn").check_is_fitted(self, "model_")
        model: GDE = self.model_
        return model

    def _output(self) -> str:
        """Return the form of the output that is asked for: of this estimator, or of all."""
        own = getattr(self, "_sklearn_output_config", {}).get("transform")
        form: str = own or need("sklearn", "sklearn").get_config()["transform_output"]
        return form
