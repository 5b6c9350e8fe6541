"""Data sets on which the default fit is judged, each as training and held-out sets.

| task                   | a set                                | kind    | held out            |
|------------------------|--------------------------------------|---------|---------------------|
| `counts`               | negative binomials in 10 dimensions  | counts  | fresh sets          |
| `multinomial`          | 20 draws of 3 categories             | counts  | fresh sets          |
| `fractions`            | squashed Gaussians in (0, 1)^5       | vectors | fresh sets          |
| `kidney_glomeruli`     | glomeruli of a patient               | vectors | patients            |
| `perturbseq_papalexi`  | cells of a knockout and replicate    | counts  | sets                |
| `musk1`                | conformations of a molecule          | vectors | molecules           |
| `congress_ages`        | members of a chamber                 | vectors | sets                |
| `flow_dapg`            | a part of a sample of cells          | counts  | whole samples       |
| `lineage_larry`        | cells of a clone                     | vectors | clones              |
| `cell_features`        | cells of a well, of `images_bbbc013` | vectors | wells               |
| `methylation_epiclass` | reads of a sample, weighted          | counts  | donors              |
| `images_bbbc013`       | pictures of cells of a well          | images  | wells               |
| `omniglot28`           | drawings of a character              | images  | characters          |

All but the first three are folders of `$DISTEMBED_DATA`, read as `distembed.read` reads them where
no columns are named; of the methylated reads the two counts are taken, because the others are
positions. Defaults were chosen on the three families and on the four data sets after them, and are
reported on the others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from distembed.benchmarks.bench import data_folder, held_out_seed
from distembed.benchmarks.real_problems import CELLS, CHARACTERS, cell_images, character_images
from distembed.data.synthetic.base import Known
from distembed.data.synthetic.counts import Multinomials
from distembed.data.synthetic.families import counts
from distembed.data.synthetic.gaussians import Gaussians
from distembed.rng import stream
from distembed.sets.collection import Sets
from distembed.sets.read import read

__all__ = ["FAMILIES", "READERS", "DefaultData", "Reader", "Sizes", "family", "folder"]


@dataclass(frozen=True)
class Sizes:
    """How much of a data set is used.

    Attributes:
        train_sets: Training sets of synthetic families, and most of those of real data.
        test_sets: Held-out sets of synthetic families, and most of those of real data.
        atoms: Most atoms of a set.
        parts: Parts into which a sample of a cytometer is divided.
    """

    train_sets: int = 600
    test_sets: int = 60
    atoms: int = 300
    parts: int = 20


@dataclass(frozen=True)
class DefaultData:
    """Training and held-out sets.

    Attributes:
        name: The task, with how much of the data set is used, for the row of a table.
        train: Training sets.
        test: Held-out sets.
    """

    name: str
    train: Sets
    test: Sets

    @classmethod
    def of(cls, task: str, train: Sets, test: Sets) -> DefaultData:
        """Name two parts of a data set."""
        sizes = np.concatenate([train.sizes, test.sizes])
        numbers = " x ".join(map(str, train.event_shape))
        used = f"{len(train)} + {len(test)} sets of {sizes.min()} to {sizes.max()} atoms"
        return cls(f"{task}: {used}, {train.atoms.name} of {numbers}", train, test)


@dataclass(frozen=True)
class Reader:
    """How a folder of `$DISTEMBED_DATA` becomes sets.

    Attributes:
        folder: The folder.
        read: Reads the sets, from the path of the folder.
        group: Column of metadata whose values are not divided between training and held-out sets.
    """

    folder: str
    read: Callable[[Path, Sizes], Sets]
    group: str | None = None


def family(name: str, sizes: Sizes, seed: int) -> DefaultData:
    """Draw training and held-out sets of a synthetic family, and keep their atoms."""
    parts = [
        FAMILIES[name](count, sizes.atoms, part_seed)
        for count, part_seed in (
            (sizes.train_sets, seed),
            (sizes.test_sets, held_out_seed(seed)),
        )
    ]
    return DefaultData.of(name, *parts)


def folder(name: str, sizes: Sizes, seed: int) -> DefaultData:
    """Read a folder, and hold out a quarter of its sets or groups of sets."""
    reader = READERS[name]
    train, test = reader.read(data_folder(reader.folder), sizes).split(
        test=0.25, rng=seed, group=reader.group
    )
    train, test = (
        sets.select(torch.randperm(len(sets), generator=stream(seed, part))[:most].numpy())
        for part, sets, most in (
            ("train", train, sizes.train_sets),
            ("test", test, sizes.test_sets),
        )
    )
    return DefaultData.of(name, train, test)


def _kept(drawn: Known) -> Sets:
    return Sets.from_batch(drawn.batch(range(len(drawn))), drawn.atoms)


def _counts(sets: int, size: int, seed: int) -> Sets:
    return _kept(counts(sets, size, seed))


def _multinomial(sets: int, size: int, seed: int) -> Sets:
    uniform = torch.rand(sets, 3, generator=stream(seed, "simplex"))
    # normalised exponentials are Dirichlet(1, 1, 1)
    return _kept(Multinomials(-torch.log1p(-uniform.double()), 20, size, seed))


def _fractions(sets: int, size: int, seed: int) -> Sets:
    batch = Gaussians.prior(sets, 5, 10, size=size, seed=seed).batch(range(sets))
    return Sets.from_batch(batch.replace(x=(batch.x - 2.5).sigmoid()))


FAMILIES: dict[str, Callable[[int, int, int], Sets]] = {
    "counts": _counts,
    "multinomial": _multinomial,
    "fractions": _fractions,
}


def _papalexi(path: Path, sizes: Sizes) -> Sets:
    file = path / "papalexi2021_thp1.h5ad"
    return read(file, by=["target", "replicate"], min_size=10, max_size=sizes.atoms)


def _congress(path: Path, sizes: Sizes) -> Sets:
    return read(path / "members.parquet", by=["congress", "chamber"], max_size=sizes.atoms)


def _flow(path: Path, sizes: Sizes) -> Sets:
    """Read parts of samples, so that there are more sets than ten."""
    sets = read(path / "events.parquet", by="sample")
    rng = stream(0, "parts")
    size = min(sizes.atoms, int(sets.sizes.min()) // sizes.parts)
    rows = [
        sets.rows[sets.offsets[s] : sets.offsets[s + 1]][
            torch.randperm(int(sets.sizes[s]), generator=rng)[: size * sizes.parts].numpy()
        ]
        for s in range(len(sets))
    ]
    sample = np.repeat(sets.ids, sizes.parts)
    return replace(
        sets,
        rows=np.concatenate(rows),
        offsets=np.arange(len(sample) + 1) * size,
        ids=np.array([f"{name}_{i}" for i, name in enumerate(sample)]),
        meta={"sample": sample},
    )


def _epiclass(path: Path, sizes: Sizes) -> Sets:
    return read(
        path / "reads.parquet",
        by="sample_id",
        columns=["n_meth", "n_unmeth"],
        weights="count",
        metadata=path / "samples.csv",
        max_size=sizes.atoms,
    )


def _file(name: str, by: str) -> Callable[[Path, Sizes], Sets]:
    return lambda path, sizes: read(path / name, by=by, max_size=sizes.atoms)


READERS: dict[str, Reader] = {
    "kidney_glomeruli": Reader("kidney_glomeruli", _file("glomeruli.parquet", "patient")),
    "perturbseq_papalexi": Reader("perturbseq_papalexi", _papalexi),
    "musk1": Reader("musk1", _file("musk1.parquet", "molecule")),
    "congress_ages": Reader("congress_ages", _congress),
    "flow_dapg": Reader("flow_dapg", _flow, group="sample"),
    "lineage_larry": Reader("lineage_larry", _file("larry_invitro_781.h5ad", "clone")),
    "cell_features": Reader(CELLS, _file("cell_features.parquet", "well")),
    "methylation_epiclass": Reader("methylation_epiclass", _epiclass, group="donor"),
    "images_bbbc013": Reader(CELLS, lambda path, sizes: cell_images()),
    "omniglot28": Reader(CHARACTERS, lambda path, sizes: character_images()),
}
