r"""Simulation of branching clones with a known law of fates, in the layout of the deposit.

A clone c has a law of fates $b_c \sim \mathrm{Dirichlet}(a)$ over K fates and a heritable
programme $h_c \sim N(0, I_q)$. Log expression of a cell is

    early:  u + early_bias * sum_k b_ck d_k + heredity * H h_c + noise
    late:   u + d_k                         + heredity * H h_c + noise,   k ~ b_c,

u the undifferentiated state, $d_k$ the direction of fate k, H the directions of heritable
programmes. Counts are Poisson, and scaled to one depth as in the deposit. Without `early_bias` and
`heredity` early and late cells are independent; with `heredity` alone they share more than fates.

The files have the quirks of the deposit: cells without a barcode, cells with two, and a clone of
number 0.
"""

from __future__ import annotations

import gzip
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import io as scipy_io
from scipy import sparse

__all__ = ["Clones", "simulate"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Clones:
    """Sizes and effects of a simulation.

    Attributes:
        clones: Number of clones.
        early: Mean number of cells of a clone on days 2 and 4 together.
        late: Mean number of cells of a clone on day 6.
        genes: Number of genes.
        fates: Names of the fates.
        early_bias: How far early cells lean towards the fates of their clone.
        heredity: Size of what a clone inherits and fates do not show.
        concentration: Parameter a of the law of fates; small values are clones of one fate.
        depth: Expected counts of a cell.
    """

    clones: int = 1000
    early: float = 5.0
    late: float = 9.0
    genes: int = 120
    fates: tuple[str, ...] = ("Monocyte", "Neutrophil", "Baso", "Meg")
    early_bias: float = 0.3
    heredity: float = 0.1
    concentration: float = 0.5
    depth: float = 2000.0


def simulate(folder: Path, law: Clones | None = None, rng: int = 0) -> Path:
    """Write simulated clones as the files of the deposit; return the folder.

    Args:
        folder: Where to write; made if it does not exist.
        law: Sizes and effects.
        rng: Seed.

    Example:
        >>> from tempfile import mkdtemp
        >>> folder = simulate(Path(mkdtemp()), Clones(clones=3))
        >>> sorted(path.name.partition(".")[0] for path in folder.iterdir())
        ['clone_matrix', 'gene_names', 'metadata', 'normed_counts']
    """
    law, random = law or Clones(), np.random.default_rng(rng)
    counts_early = 1 + random.poisson(law.early - 1, law.clones)
    counts_late = 1 + random.poisson(law.late - 1, law.clones)
    clone = np.repeat(np.tile(np.arange(law.clones), 2), np.r_[counts_early, counts_late])
    late = np.arange(len(clone)) >= counts_early.sum()
    bias = random.dirichlet(np.full(len(law.fates), law.concentration), law.clones)
    fate = np.array([random.choice(len(law.fates), p=bias[c]) for c in clone])
    x = _expression(law, clone, late, fate, bias, random)
    day = np.where(late, 6, random.choice([2, 4], len(clone)))
    state = np.where(late, np.array(law.fates)[fate], "Undifferentiated")
    order = random.permutation(len(clone))
    membership = _barcodes(clone[order], law.clones, random)
    folder.mkdir(parents=True, exist_ok=True)
    _write_matrix(folder / "normed_counts.mtx.gz", sparse.coo_matrix(x[order]))
    _write_matrix(folder / "clone_matrix.mtx.gz", membership)
    _write_lines(folder / "gene_names.txt.gz", [f"Gene{j}" for j in range(law.genes)])
    header = ["Library", "Cell barcode", "Time point", "Cell type annotation", "Well"]
    rows = (
        f"LSK_d{d}\tB{number:06d}\t{d}.0\t{s}\t{d // 2}"
        for number, (d, s) in enumerate(zip(day[order], state[order], strict=True))
    )
    _write_lines(folder / "metadata.txt.gz", ["\t".join(header), *rows])
    return folder


def _expression(
    law: Clones,
    clone: NDArray[np.int64],
    late: NDArray[np.bool_],
    fate: NDArray[np.int64],
    bias: Array,
    random: np.random.Generator,
    programmes: int = 4,
) -> Array:
    """Draw scaled counts of cells, `(N, G)`."""
    base = random.normal(0, 1, law.genes)
    directions = random.normal(0, 0.8, (len(law.fates), law.genes))
    heritable = random.normal(0, 1, (programmes, law.genes))
    inherited = random.normal(0, 1, (law.clones, programmes)) @ heritable
    towards = np.where(late[:, None], directions[fate], law.early_bias * bias[clone] @ directions)
    noise = random.normal(0, 0.3, (len(clone), law.genes))
    rate = np.exp(base + towards + law.heredity * inherited[clone] + noise)
    depth = law.depth * random.lognormal(0, 0.3, len(clone))
    counts = random.poisson(rate / rate.sum(1, keepdims=True) * depth[:, None])
    scaled: Array = counts * (law.depth / np.maximum(counts.sum(1, keepdims=True), 1))
    return scaled


def _barcodes(clone: NDArray[np.int64], clones: int, random: np.random.Generator) -> Any:
    """Return cells x clones, where of 100 cells about 5 have no barcode and 1 has two."""
    cells = np.arange(len(clone))
    has = random.uniform(size=len(clone)) > 0.05
    second = random.uniform(size=len(clone)) < 0.01
    other = (clone + 1) % clones
    rows, columns = np.r_[cells[has], cells[second]], np.r_[clone[has], other[second]]
    return sparse.coo_matrix((np.ones(len(rows), int), (rows, columns)), (len(clone), clones))


def _write_matrix(path: Path, matrix: Any) -> None:
    text = io.BytesIO()
    scipy_io.mmwrite(text, matrix, precision=5)
    path.write_bytes(gzip.compress(text.getvalue(), 1, mtime=0))


def _write_lines(path: Path, lines: list[str]) -> None:
    path.write_bytes(gzip.compress(("\n".join(lines) + "\n").encode(), 1, mtime=0))
