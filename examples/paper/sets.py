"""Write the training sets of a table of the GDE paper (arXiv 2505.18150) to a store.

python examples/paper/sets.py table5                    # 50,000 sets, as published
python examples/paper/sets.py table5 500                # fewer
python examples/paper/sets.py table2_images train-images-idx3-ubyte.gz
"""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

import distembed as de
from distembed.data.synthetic.counts import Multinomials
from distembed.data.synthetic.gaussians import Gaussians, Mixtures
from distembed.protocols import Collection
from distembed.sets.collection import Sets
from distembed.sets.mixtures import mixtures

SEED = 42


def simplex(sets: int) -> Multinomials:
    """Draw 100 atoms of Multinomial(20, p) a set, p uniform on the simplex."""
    p = np.random.default_rng(SEED).dirichlet([1, 1, 1], sets)
    return Multinomials(p, 20, size=100, seed=SEED)


def images(path: str) -> Sets:
    """Mix the first three classes of an IDX file to sets of 100 images."""
    classes = de.read(path).select([0, 1, 2])
    return mixtures(classes, 10_000, 3, size=(100, 100), rng=SEED)


PRIORS: dict[str, tuple[int, Callable[[int], Collection]]] = {
    "table5": (50_000, lambda n: Gaussians.prior(n, 5, 40, 1.0, size=64, seed=SEED)),
    "table6": (50_000, lambda n: Gaussians.prior(n, 5, 40, 0.1, size=64, seed=SEED)),
    "table2_mixtures": (50_000, lambda n: Mixtures.prior(n, 3, 5, 40, size=64, seed=SEED)),
    "figure3": (10_000, simplex),
    "figure10_gaussians": (50_000, lambda n: Gaussians.prior(n, 2, 10, size=500, seed=SEED)),
    "figure10_mixtures": (50_000, lambda n: Mixtures.prior(n, 3, 2, 10, size=1_000, seed=SEED)),
}
"""Number of sets as published, and the sets, by table."""


def write(table: str, number: str | int | None = None, folder: Path = Path("paper_sets")) -> Sets:
    """Write the sets of a table; a number of sets, or of images the file, follows its name."""
    if table == "table2_images":
        sets: Collection = images(str(number))
    else:
        published, draw = PRIORS[table]
        sets = draw(int(number or published))
    atoms = sets.batch(range(len(sets)))
    labels = np.repeat(np.arange(len(sets)), atoms.sizes.numpy())
    return de.build_store(atoms.x.numpy(), folder / table, by=labels, force=True)


if __name__ == "__main__":
    print(write(*sys.argv[1:]))
