"""Miniatures of the data of applications, in the layout and with the quirks of the deposits."""

import numpy as np
import pandas as pd
import pytest

from distembed.apps.lineage.simulate import Clones, simulate
from distembed.apps.pooled_screen.tiles import tile_name


def clones(folder, **law):
    """Barcoded clones as deposited, with a prefix in the names of files."""
    simulate(folder, Clones(**{"clones": 40, "genes": 40, "late": 4.0, **law}))
    for path in list(folder.iterdir()):
        path.rename(folder / f"stateFate_inVitro_{path.name}")
    return folder


def screen(folder, genes=8, lines=("k562", "rpe1"), cells=12, width=30, seed=0):
    """A screen of genes in two cell lines, where the vector of a gene decides its effect."""
    anndata = pytest.importorskip("anndata")
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(genes, 6))
    effect = vectors @ rng.normal(0, 0.4, (6, width))
    base = rng.normal(1, 0.5, (len(lines), width))
    x, target, line = [], [], []
    for number, name in enumerate(lines):
        for gene in range(-1, genes):
            rate = np.exp(base[number] + (0 if gene < 0 else effect[gene]))
            x.append(rng.poisson(rate, (cells, width)))
            target += ["non-targeting" if gene < 0 else f"G{gene}"] * cells
            line += [name] * cells
    table = anndata.AnnData(
        np.concatenate(x).astype(np.float32),
        obs=pd.DataFrame(
            {"gene": target, "cell_type": line}, index=[f"c{i}" for i in range(len(target))]
        ),
    )
    folder.mkdir(exist_ok=True)
    table.write_h5ad(folder / "replogle.h5ad")
    np.savez(
        folder / "gene_vectors.npz",
        names=np.array([f"G{i}" for i in range(genes)]),
        vectors=vectors,
    )
    return folder


def tiles(folder, genes=5, side=96, cells=40, seed=0):
    """Tiles of 16-bit TIFF with four channels, boxes of cells, and a tile that is absent."""
    image = pytest.importorskip("PIL.Image")
    rng = np.random.default_rng(seed)
    names = ["non-targeting", *(f"G{i}" for i in range(genes))]
    rows = []
    for tile in range(4):
        pages = [np.full((side, side), 300, np.uint16) for _ in range(4)]
        for _ in range(cells):
            gene = int(rng.integers(len(names)))
            y, x = rng.integers(0, side, 2)
            box = [max(0, y - 5), max(0, x - 5), min(side, y + 6), min(side, x + 6)]
            pages[0][box[0] : box[2], box[1] : box[3]] = 9000
            pages[1][box[0] : box[2], box[1] : box[3]] = 2000 + 3000 * gene
            rows.append([names[gene], "P1", f"A{1 + tile % 2}", tile, *box, rng.normal()])
        if tile < 3:
            frames = [image.fromarray(page) for page in pages]
            path = folder / "P1" / tile_name(f"A{1 + tile % 2}", tile)
            path.parent.mkdir(parents=True, exist_ok=True)
            frames[0].save(path, save_all=True, append_images=frames[1:])
    columns = ["gene_symbol_0", "plate", "well", "tile", *(f"bounds_{i}" for i in range(4))]
    table = pd.DataFrame(rows, columns=[*columns, "cell_area"])
    table.to_parquet(folder / "interphase-reclassified_cp_phenotype_normalized.parquet")
    np.savez(
        folder / "gene_vectors.npz",
        names=np.array([f"G{i}" for i in range(genes)]),
        vectors=rng.normal(size=(genes, 4)),
    )
    return folder
