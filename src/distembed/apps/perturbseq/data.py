"""Cells of a perturbation screen, as one set a perturbation and context, and what is held out.

The published screen has gene vectors, and whole genes are held out of all cell lines. Without gene
vectors a perturbation is held out of one context, a replicate, and is known from the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from distembed.apps.application import Settings
from distembed.apps.descriptors import gene_descriptors, read_vectors
from distembed.apps.source import expected_columns, expected_file
from distembed.data.observations import Observations
from distembed.data.readers.hdf5 import open_h5ad
from distembed.data.spaces import Vectors
from distembed.evaluation.cohort import Cohort
from distembed.sets.collection import Sets
from distembed.sets.construct import by_label

__all__ = ["FILES", "PerturbSettings", "Screen", "data", "hold_out", "read_screen", "target"]

Array = NDArray[np.float64]

CONTROL = "non-targeting"
AS_PUBLISHED, VECTORS, AS_H5AD = "replogle.h5ad", "gene_vectors.npz", "papalexi2021_thp1.h5ad"
FILES = ((AS_PUBLISHED, VECTORS), (AS_H5AD,))
"""Files of each layout."""
_DESCRIBED = (
    "raw counts with obs `gene` (non-targeting for controls) and `cell_type`, and the vectors of "
    "GenePT as arrays `names` and `vectors` of an .npz file (the published pickle can run code "
    "when it is loaded, and is not read); or perturbseq_papalexi with obs `target` and "
    "`replicate`."
)
_COLUMNS = {AS_PUBLISHED: ("gene", "cell_type"), AS_H5AD: ("target", "replicate")}


@dataclass(frozen=True, kw_only=True)
class PerturbSettings(Settings):
    """Sizes of the application.

    Attributes:
        genes: Genes of the largest variance over control cells that are read.
        components: Principal components of the model.
        fewest: Fewest cells of a set.
        repeats: Divisions into training and held-out sets, each with a model of its own.
        draws: Cells that are drawn or moved for a prediction.
    """

    genes: int = 2000
    components: int = 32
    fewest: int = 20
    repeats: int = 5
    draws: int = 300


@dataclass(frozen=True)
class Screen:
    """A screen.

    Attributes:
        sets: Cells of one perturbation in one context, with metadata `target` and `context`; atoms
            are log counts per median depth.
        vectors: A vector of each perturbation by name; None if there are none.
    """

    sets: Sets
    vectors: dict[str, Array] | None

    @property
    def control(self) -> NDArray[np.int64]:
        """Number of the control set in the context of each set, `(S,)`."""
        target, context = self.sets.meta["target"], self.sets.meta["context"]
        place = {context[s]: s for s in np.flatnonzero(target == CONTROL).tolist()}
        return np.array([place[name] for name in context.tolist()])

    def descriptors(self, train: NDArray[np.int64]) -> Array:
        """Describe the perturbation of each set, `(S, K)`.

        With gene vectors: their leading principal components over training perturbations, and all
        products of two. Without: which perturbation it is.

        Args:
            train: Numbers of the training sets.
        """
        target = self.sets.meta["target"]
        if self.vectors is None:
            return np.asarray(target[:, None] == np.unique(target), np.float64)
        trained = np.zeros(len(target), dtype=bool)
        trained[train] = True
        return gene_descriptors(self.vectors, target, trained)


def data(folder: Path, settings: PerturbSettings) -> tuple[Sets, Sets]:
    """Read the screen, and hold out the first division.

    Raises:
        ValueError: If a file or a column is missing, or a context has no control cells.
    """
    screen = read_screen(folder, settings)
    train, test = hold_out(screen, settings, settings.seed)
    return screen.sets.select(train), screen.sets.select(test)


def target(folder: Path, settings: PerturbSettings) -> Cohort:
    """Label sets by their perturbation; a whole context is predicted from the others.

    Raises:
        ValueError: If a file or a column is missing.
    """
    sets = read_screen(folder, settings).sets
    name, context = sets.meta["target"], sets.meta["context"]
    contexts = np.unique(context)
    counts = {n: (name == n).sum() for n in np.unique(name).tolist()}
    everywhere = np.array([counts[n] == len(contexts) for n in name.tolist()])
    sets = sets.select(everywhere)
    return Cohort(sets, name[everywhere], context[everywhere], len(contexts))


def hold_out(
    screen: Screen, settings: PerturbSettings, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Divide sets into training and held-out ones; controls are always of the former.

    Args:
        screen: The screen.
        settings: The share of perturbations that are held out.
        seed: Seed of the division.
    """
    rng = np.random.default_rng(seed)
    target = screen.sets.meta["target"]
    names = rng.permutation(np.setdiff1d(target, [CONTROL]))
    chosen = names[: max(1, round(settings.test * len(names)))]
    if screen.vectors is not None:
        held_out = np.isin(target, chosen)
    else:
        held_out = np.zeros(len(target), dtype=bool)
        for name in chosen.tolist():
            own = np.flatnonzero(target == name)
            if len(own) > 1:
                held_out[rng.choice(own)] = True
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)


def read_screen(folder: Path, settings: PerturbSettings) -> Screen:
    """Read a screen in either layout.

    Raises:
        ValueError: If a file or a column is missing, or a context has no control cells.
    """
    file = expected_file(folder, FILES, _DESCRIBED)
    cells = open_h5ad(folder / file, backed=False)
    perturbation, place = _COLUMNS[file]
    expected_columns(file, cells.obs.columns, (perturbation, place), _DESCRIBED)
    columns = {
        "target": cells.obs[perturbation].astype(str).to_numpy(str),
        "context": cells.obs[place].astype(str).to_numpy(str),
    }
    names = np.asarray(cells.var_names).astype(str)
    x = _log_depth(sparse.csr_matrix(cells.X))
    genes = _variable_genes(x[columns["target"] == CONTROL], settings.genes, file)
    table = Observations(x[:, genes].tocsr(), columns, tuple(names[genes].tolist()))
    sets = by_label(
        table, ["target", "context"], meta=[], min_size=settings.fewest, max_size=settings.atoms,
        rng=settings.seed, atoms=Vectors(),
    )  # fmt: skip
    sets = _with_controls(sets, file)
    vectors = read_vectors(folder / VECTORS, _DESCRIBED) if file == AS_PUBLISHED else None
    if vectors is not None:
        described = np.isin(sets.meta["target"], [*vectors, CONTROL])
        if not (described & (sets.meta["target"] != CONTROL)).any():
            raise ValueError(
                f"{VECTORS} names none of the perturbed genes of {file}; it names "
                f"{', '.join(list(vectors)[:5])}, ... Names are gene symbols, as in obs."
            )
        sets = sets.select(described)
    return Screen(sets, vectors)


def _log_depth(counts: Any) -> Any:
    """Return log(1 + counts at the median depth) as CSR; cells without counts stay zero."""
    if counts.nnz and (counts.data.min() < 0 or (counts.data != np.round(counts.data)).any()):
        raise ValueError(
            "X holds numbers that are no counts: negative or not whole. Give raw counts, which "
            "are scaled to one depth and logged here."
        )
    depth = np.asarray(counts.sum(1), np.float64).ravel()
    x = counts.astype(np.float32)
    factor = np.median(depth[depth > 0]) / np.maximum(depth, 1)
    x.data = np.log1p(x.data * np.repeat(factor, np.diff(x.indptr))).astype(np.float32)
    return x


def _variable_genes(x: Any, most: int, file: str) -> NDArray[np.int64]:
    """Return the genes of the largest variance over control cells, in their order."""
    if not x.shape[0]:
        raise ValueError(f"{file} has no cells of the control {CONTROL!r}. {_DESCRIBED}")
    mean = np.asarray(x.mean(0)).ravel()
    variance = np.asarray(x.multiply(x).mean(0)).ravel() - mean**2
    largest = np.argsort(-variance, kind="stable")[:most]
    return np.sort(largest[variance[largest] > 1e-12])


def _with_controls(sets: Sets, file: str) -> Sets:
    """Keep contexts that have control cells.

    Raises:
        ValueError: If none has.
    """
    context = sets.meta["context"]
    with_control = np.unique(context[sets.meta["target"] == CONTROL])
    if not len(with_control):
        raise ValueError(f"{file} has too few cells of the control {CONTROL!r} in every context.")
    return sets.select(np.isin(context, with_control))
