"""Representations of samples by the conventions of patpy, which need not be installed.

patpy (0.15) has one class for every representation of the samples of a single-cell study. Its
object is made from names of columns, is trained by `prepare_anndata`, and has distances of all
samples in the order in which they appear in `obs`, which are also stored in `uns`. `SampleMethod`
has those names. To have the plots and scores of patpy too, inherit from both:

    class Embedded(SampleMethod, patpy.tl.SampleRepresentationMethod): ...
"""

from __future__ import annotations

import copy
import hashlib
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from distembed.model.embeddings import Embeddings
from distembed.model.gde import GDE
from distembed.registry import need
from distembed.sets.collection import Sets
from distembed.sets.read import read
from distembed.training.config import TrainConfig

__all__ = ["SampleMethod"]


class SampleMethod:
    """Embed the samples of AnnData, with the attributes and methods that patpy expects.

    Args:
        sample_key: Column of `obs` that names the sample of each cell.
        cell_group_key: Column of cell groups. It is listed in `cell_groups`, and not used: a
            sample is the distribution of all of its cells, so that proportions of groups are in
            its embedding.
        layer: Features: `X` if None or "X", else an embedding in `obsm`, else a layer.
        seed: Seed of the training, and of patpy's own maps.
        model: A fitted model, which embeds the samples as it is; or one to train, the default
            one if left out.
        config: Settings of the training.

    Attributes:
        samples: Names of the samples as they are in `obs`, in order of appearance.
        sample_representation: Data frame of z, one row a sample.
        cell_groups: Names of the cell groups, if a column of them was named.
        embeddings: Maps of the samples by name, which patpy's `embed` fills.
        samples_adata: The last result of `to_adata`.
        test_sample_labels: Samples that patpy's linear probe tested last.

    Example:
        >>> SampleMethod("donor", layer="X_pca").samples is None
        True
    """

    DISTANCES_UNS_KEY: ClassVar[str] = "X_distembed_distances"
    PARAMETERS_UNS_KEY: ClassVar[str] = "distembed_parameters"

    def __init__(
        self,
        sample_key: str,
        cell_group_key: str | None = None,
        layer: str | None = "X_pca",
        seed: int = 67,
        *,
        model: GDE | None = None,
        config: TrainConfig | None = None,
    ) -> None:
        self.sample_key, self.cell_group_key = sample_key, cell_group_key
        self.layer, self.seed = layer, seed
        self.adata: Any = None
        self.samples: Any = None
        self.cell_groups: Any = None
        self.sample_representation: Any = None
        self.samples_adata: Any = None
        self.embeddings: dict[str, NDArray[Any]] = {}
        self.test_sample_labels: list[Any] | None = None
        self._fitted = False
        self._given = GDE() if model is None else model
        self._config = config or TrainConfig()
        self._prepared: tuple[GDE, Embeddings] | None = None

    @property
    def model(self) -> GDE:
        """The model that embedded the samples."""
        return self._state[0]

    @property
    def table(self) -> Embeddings:
        """Embeddings of the samples with their covariances, in the order of `samples`."""
        return self._state[1]

    def prepare_anndata(self, adata: Any) -> None:
        """Read the samples, train the model on them unless it came fitted, and embed them.

        Args:
            adata: AnnData, one observation a cell.

        Raises:
            ValueError: If a column or the features are unknown, a cell has no sample, or a sample
                has too few cells to train on.
        """
        sets = self._read(adata)
        model = self._given
        if not model.fitted:
            config = self._config.changed({"seed": self.seed})
            model = copy.copy(model).fit(sets, config, progress=False)
        table = model.embed(sets)
        self.adata, self.samples = adata, np.asarray(adata.obs[self.sample_key].unique())
        if self.cell_group_key is not None:
            self.cell_groups = np.asarray(adata.obs[self.cell_group_key].unique())
        self.sample_representation = need("pandas", "anndata").DataFrame(
            table.z, index=self.samples, columns=[f"z{i}" for i in range(table.z.shape[1])]
        )
        self.embeddings, self.samples_adata = {}, None
        self._prepared, self._fitted = (model, table), True

    def calculate_distance_matrix(
        self, force: bool = False, calibrated: bool = True
    ) -> NDArray[np.float64]:
        """Return distances of all samples, `(S, S)`, and store them in `uns`.

        Distances that are stored are returned if they are those of these embeddings.

        Args:
            force: Whether to compute them anew in any case.
            calibrated: Whether they are in units of W2, else plain latent distances.

        Raises:
            RuntimeError: If `prepare_anndata` was not called.
            ValueError: If too few samples are large enough for W2 to be measured.
        """
        parameters, stored = self._parameters(calibrated), self.adata.uns
        same = stored.get(self.PARAMETERS_UNS_KEY) == parameters
        if force or not same or self.DISTANCES_UNS_KEY not in stored:
            distances = self.model.distances(self.table, calibrated=calibrated)
            stored[self.DISTANCES_UNS_KEY] = distances
            stored[self.PARAMETERS_UNS_KEY] = parameters
        return np.array(stored[self.DISTANCES_UNS_KEY])

    def to_adata(self, metadata: Any = None, **options: Any) -> Any:
        """Return AnnData of the samples: z, what is known of each, and the distances in `obsm`.

        Args:
            metadata: Data frame whose index has the samples; its columns are added to `obs`.
            options: Of `calculate_distance_matrix`.

        Raises:
            KeyError: If a sample is not in the index.
            RuntimeError: If `prepare_anndata` was not called.
        """
        cohort = self.table.to_anndata()
        for name in () if metadata is None else metadata.columns:
            cohort.obs[name] = metadata.loc[self.samples, name].to_numpy()
        cohort.obsm[self.DISTANCES_UNS_KEY] = self.calculate_distance_matrix(**options)
        for name, points in self.embeddings.items():
            cohort.obsm[f"X_{name.lower()}"] = points
        self.samples_adata = cohort
        return cohort

    @property
    def _state(self) -> tuple[GDE, Embeddings]:
        if self._prepared is None:
            raise RuntimeError(
                f"The samples of {self.sample_key!r} were not embedded yet; call "
                "prepare_anndata(adata) first."
            )
        return self._prepared

    def _parameters(self, calibrated: bool) -> dict[str, str]:
        """Return what stored distances depend on, as an `.h5ad` file can hold it."""
        content = [self.table.z.tobytes(), *(name.encode() for name in self.table.ids)]
        return {
            "sample_key": self.sample_key,
            "layer": self.layer or "X",
            "units": "W2" if calibrated else "latent",
            "embeddings": hashlib.sha256(b"\0".join(content)).hexdigest(),
        }

    def _read(self, adata: Any) -> Sets:
        """Read a set a sample, of the features that patpy would take."""
        missing = [
            key for key in (self.sample_key, self.cell_group_key)
            if key is not None and key not in adata.obs
        ]  # fmt: skip
        if missing:
            raise ValueError(
                f"{missing[0]!r} is no column of obs. Its columns are: "
                f"{', '.join(adata.obs.columns)}."
            )
        source: dict[str, Any] = {}
        if self.layer not in (None, "X"):
            source = {"obsm" if self.layer in adata.obsm else "layer": str(self.layer)}
        return read(adata, self.sample_key, meta=[], min_size=1, **source)
