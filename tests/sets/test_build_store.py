"""A store holds the sets that `read` makes of the same source, however it is read."""

import gzip

import numpy as np
import pytest
import torch

import distembed as de
from distembed.data.readers.streams import MemoryStream, TableStream
from distembed.data.store import check_store
from distembed.sets.ranges import Ranges

DNA = {"name": "tokens", "alphabet": "ACGT"}
ROWS = 90
SMALL = 400
"""Bytes of a part: a few rows, so that sets are torn over many parts."""


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    donor = rng.integers(0, 6, ROWS)
    return {
        "donor": np.char.add("0", donor.astype(str)),
        "site": rng.choice(["lung", "skin"], ROWS),
        "age": 30.5 + donor,
        "code": np.char.add("1.", (10 * donor).astype(str)),  # 1.10 and 1.1 are not one number
        "w": rng.integers(0, 3, ROWS).astype(float),
        "PC1": rng.normal(size=ROWS),
        "PC2": rng.normal(size=ROWS).round(3),
        "n": rng.integers(0, 9, ROWS),
        "seq": np.array(["ACGTAC"[: 1 + k % 6] for k in range(ROWS)]),
    }


@pytest.fixture(scope="module")
def files(table, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sources")
    lines = [",".join(table)] + [
        ",".join(map(str, row)) for row in zip(*table.values(), strict=True)
    ]
    (folder / "a.csv").write_text("\n".join(lines) + "\n")
    with gzip.open(folder / "a.csv.gz", "wt") as file:
        file.write("\n".join(lines) + "\n")
    semicolons = [line.replace(",", ";").replace(".", ",") for line in lines]
    (folder / "commas.csv").write_text("\n".join(semicolons) + "\n")
    quoted = ['"note\nof rows",' + lines[0]] + [f'"a\n{k}",{x}\n' for k, x in enumerate(lines[1:])]
    (folder / "quoted.csv").write_text("\n".join(quoted) + "\n")
    return folder


def same(store, sets, w=1e-7):
    """Whether two collections are equal in all that a user sees."""
    assert store.ids.tolist() == sets.ids.tolist()
    assert store.sizes.tolist() == sets.sizes.tolist()
    assert (store.features, store.atoms, store.dtype) == (sets.features, sets.atoms, sets.dtype)
    assert list(store.meta) == list(sets.meta)
    for name, column in sets.meta.items():
        assert store.meta[name].dtype.kind == column.dtype.kind
        assert str(store.meta[name].tolist()) == str(column.tolist())  # NaN is not NaN
    assert store.weighted == sets.weighted
    one, other = (s.batch(range(len(s))) for s in (store, sets))
    assert torch.equal(one.x, other.x)
    assert torch.allclose(one.w, other.w, rtol=w, atol=0)
    draws = [s.batch([1, 0], 3, torch.Generator().manual_seed(1)) for s in (store, sets)]
    assert torch.equal(draws[0].x, draws[1].x)
    assert isinstance(store.rows, Ranges)


OPTIONS = {
    "plain": {"by": "donor", "columns": ["PC1", "PC2"]},
    "pattern": {"by": "donor", "columns": "PC*", "meta": ["age"]},
    "several": {"by": ["donor", "site"], "columns": "PC*", "min_size": 5},
    "weights": {"by": "donor", "columns": "PC*", "weights": "w"},
    "asked": {"by": "donor", "columns": "PC1", "weights": "w", "meta": ["donor", "age"]},
    "counts": {"by": "donor", "columns": ["n"]},
    "mixed": {"by": "donor", "columns": ["n", "PC1"], "atoms": "vectors"},
    "tokens": {"by": "donor", "columns": "seq", "atoms": DNA},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("source", ["frame", "a.csv", "a.csv.gz", "commas.csv", "quoted.csv"])
def test_tables(source, options, table, files, tmp_path):
    given = table if source == "frame" else files / source
    store = de.build_store(given, tmp_path / "store", memory=SMALL, **options)
    same(store, de.read(given, **options))
    same(de.read(tmp_path / "store"), de.read(given, **options))


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_parquet(options, table, tmp_path):
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    columns = {**table, "batch": pa.array([None if d == "00" else 7 for d in table["donor"]])}
    parquet.write_table(pa.table(columns), tmp_path / "a.parquet", row_group_size=17)
    store = de.build_store(tmp_path / "a.parquet", tmp_path / "store", memory=SMALL, **options)
    same(store, de.read(tmp_path / "a.parquet", **options))


ARRAYS = {
    "vectors": ((3,), np.float64),
    "half": ((3,), np.float16),
    "big_endian": ((2,), ">f4"),
    "counts": ((3,), np.int64),
    "bytes": ((2,), np.int8),
    "truths": ((2,), bool),
    "images": ((3, 9, 9), np.uint8),
    "channels_last": ((9, 9, 3), np.uint8),
    "floats_of_images": ((1, 9, 9), np.float32),
}


@pytest.mark.parametrize(("shape", "dtype"), ARRAYS.values(), ids=ARRAYS)
def test_arrays(shape, dtype, tmp_path):
    rng = np.random.default_rng(1)
    x = (5 * rng.normal(size=(ROWS, *shape))).astype(dtype)
    label = rng.choice(["b", "a", "c"], ROWS)
    same(de.build_store(x, tmp_path / "one", by=label, memory=999), de.read(x, by=label))
    parts = {name: x[label == name] for name in ("c", "a")}
    same(de.build_store(parts, tmp_path / "many", memory=999), de.read(parts))


def test_strings_of_sets(tmp_path):
    reads = {"s": ["ACG", "T", "ACGTACGT"], "r": ["A", "C"]}
    same(de.build_store(reads, tmp_path / "s", atoms=DNA, memory=8), de.read(reads, atoms=DNA))
    assert np.load(tmp_path / "s" / "x.npy").dtype == np.uint8


def test_a_map_is_not_loaded(tmp_path):
    x, label = np.random.default_rng(2).normal(size=(ROWS, 2)), np.arange(ROWS) % 4
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    same(de.build_store(mapped, tmp_path / "s", by=label, memory=64), de.read(x, by=label))


@pytest.fixture(scope="module")
def cells(table):
    anndata, sparse = pytest.importorskip("anndata"), pytest.importorskip("scipy.sparse")
    pd = pytest.importorskip("pandas")
    rng = np.random.default_rng(3)
    x = rng.poisson(0.7, (ROWS, 8)) * rng.integers(1, 5, (ROWS, 1))
    obs = pd.DataFrame({k: table[k] for k in ("donor", "site", "age", "code", "w")})
    obs["donor"] = obs["donor"].astype("category")
    var = pd.DataFrame({"hvg": np.arange(8) % 2 == 0}, index=[f"g{j}" for j in range(8)])
    obs.index = obs.index.astype(str)
    adata = anndata.AnnData(sparse.csr_matrix(x.astype(np.float32)), obs, var)
    adata.layers["dense"] = x + 0.5
    adata.obsm["X_pca"] = rng.normal(size=(ROWS, 3))
    return adata


CELLS = {
    "plain": {"by": "donor"},
    "several": {"by": ["site", "donor"], "meta": "age"},
    "weights": {"by": "donor", "weights": "w"},
    "mask": {"by": "donor", "genes": "hvg"},
    "names": {"by": "donor", "genes": ["g5", "g0"]},
    "layer": {"by": "donor", "layer": "dense"},
    "embedding": {"by": "site", "obsm": "X_pca", "min_size": 3},
}


@pytest.mark.parametrize("options", CELLS.values(), ids=CELLS)
def test_cells(options, cells, tmp_path):
    cells.write_h5ad(tmp_path / "c.h5ad")
    sets = de.read(tmp_path / "c.h5ad", **options)
    same(de.build_store(tmp_path / "c.h5ad", tmp_path / "s", memory=SMALL, **options), sets)
    same(de.build_store(cells, tmp_path / "t", memory=SMALL, **options), sets)


def test_many_files_are_one_source(table, files, tmp_path):
    parts = [slice(0, 20), slice(20, 21), slice(21, ROWS)]
    for k, part in enumerate(parts):
        rows = zip(*(column[part] for column in table.values()), strict=True)
        lines = [",".join(table)] + [",".join(map(str, row)) for row in rows]
        (tmp_path / f"part{k}.csv").write_text("\n".join(lines) + "\n")
    whole = de.read(files / "a.csv", by="donor", columns="PC*")
    listed = sorted(tmp_path.glob("*.csv"))
    for k, source in enumerate((str(tmp_path / "*.csv"), listed, [str(f) for f in listed])):
        same(de.build_store(source, tmp_path / f"s{k}", by="donor", columns="PC*"), whole)
    files_as_sets = de.build_store(listed, tmp_path / "t", columns="PC*", min_size=1)
    assert files_as_sets.ids.tolist() == ["part0", "part1", "part2"]
    assert files_as_sets.sizes.tolist() == [20, 1, ROWS - 21]


def test_parts_are_as_small_as_they_are_asked_for(table, files):
    from distembed.data.observations import Observations
    from distembed.data.readers.base import Request

    request = Request("donor")
    streams = (
        TableStream(files / "quoted.csv", "PC*", request),
        MemoryStream(Observations(np.zeros((ROWS, 2)), {"donor": table["donor"]}), ["donor"]),
    )
    for stream in streams:
        for atoms in (False, True):
            parts = list(stream.parts(7, atoms))
            assert [p.rows for p in parts] == [7] * 12 + [6]
            assert all((p.x is not None) == atoms for p in parts)
        assert np.concatenate([p.labels[0] for p in parts]).tolist() == table["donor"].tolist()


def test_metadata_of_a_store_is_joined_and_chosen(table, tmp_path):
    de.build_store(table, tmp_path / "s", by="donor", columns="PC*")
    second = {"donor": np.unique(table["donor"]), "dose": np.arange(6)}
    sets = de.read(tmp_path / "s", by="donor", meta=["age", "dose"], metadata=second)
    plain = de.read(table, by="donor", columns="PC*", meta=["age", "dose"], metadata=second)
    same(sets, plain)
    large = de.read(tmp_path / "s", min_size=16, metadata=second)
    same(large, de.read(table, by="donor", columns="PC*", min_size=16, metadata=second))
    pair = de.build_store(table, tmp_path / "t", by=["donor", "site"], columns="PC*")
    names = {"donor": np.repeat(second["donor"], 2), "site": ["lung", "skin"] * 6, "k": range(12)}
    joined = de.read(tmp_path / "t", metadata={k: np.array(list(v)) for k, v in names.items()})
    assert sorted(joined.meta["k"]) == list(range(12))
    assert (joined.ids == pair.ids).all()


@pytest.mark.parametrize("by", ["donor", ["donor", "site"]])
@pytest.mark.parametrize("meta", [None, ["age", "dose"]], ids=str)
def test_a_second_table_is_stored(table, by, meta, files, tmp_path):
    donors = sorted(set(table["donor"].tolist()))
    lines = ["donor,dose,name", *(f"{d},{k + 0.5},0{k}" for k, d in enumerate(donors))]
    (tmp_path / "meta.csv").write_text("\n".join(lines) + "\n")
    options = {"by": by, "columns": "PC*", "meta": meta, "metadata": tmp_path / "meta.csv"}
    store = de.build_store(files / "a.csv", tmp_path / "store", memory=SMALL, **options)
    same(store, de.read(files / "a.csv", **options))
    (tmp_path / "meta.csv").write_text("\n".join(lines[:-1]) + "\n")
    with pytest.raises(ValueError, match=r"meta.csv has changed since the store"):
        check_store(tmp_path / "store")
    with pytest.raises(ValueError, match="The metadata have no row for"):
        de.build_store(files / "a.csv", tmp_path / "other", **options)
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("source", ["object", "file"])
def test_columns_of_obs_that_vary_are_named_once(cells, source, tmp_path, caplog):
    given = cells
    if source == "file":
        given = tmp_path / "c.h5ad"
        cells.write_h5ad(given)
    said = "the columns site, w of obs vary within sets, and are left out"
    de.read(given, by="donor")
    assert caplog.text.count(said) == 1
    de.build_store(given, tmp_path / "s", by="donor")
    assert caplog.text.count(said) == 2
    de.read(given, by="donor", meta=["age"], weights="w")
    de.build_store(given, tmp_path / "t", by="donor", meta=["age"], weights="w")
    assert caplog.text.count("vary within sets") == 2


def test_a_part_without_atoms_of_sets(tmp_path):
    """Rows of weight zero, and sets that are dropped, may fill a part."""
    table = {
        "who": np.repeat(["a", "b", "a"], 4),
        "w": np.array([1.0] * 4 + [1.0, 0.0, 0.0, 0.0] + [1.0] * 4),
        "x": np.arange(12) + 0.5,
    }
    sets = de.build_store(
        table, tmp_path / "s", by="who", columns="x", weights="w", min_size=2, memory=32
    )
    assert sets.batch([0]).x.flatten().tolist() == [0.5, 1.5, 2.5, 3.5, 8.5, 9.5, 10.5, 11.5]


def with_gaps(table):
    """Return the table with missing values, and two rows without any."""
    rng = np.random.default_rng(1)
    gaps = {n: np.where(rng.random(ROWS) < 0.3, np.nan, table[n]) for n in ("PC1", "PC2", "n")}
    for name in ("PC1", "PC2"):
        gaps[name][[7, 50]] = np.nan
    return {**table, **gaps}


@pytest.mark.parametrize("source", ["memory", "csv", "parquet"])
@pytest.mark.parametrize("columns", [["PC1", "PC2"], ["PC1", "n"]])
def test_missing_values_are_stored_as_they_are_read(table, source, columns, tmp_path, caplog):
    gaps = with_gaps(table)
    path = gaps
    if source == "csv":
        path = tmp_path / "a.csv"
        lines = [
            ",".join(gaps),
            *(",".join(map(str, r)) for r in zip(*gaps.values(), strict=True)),
        ]
        path.write_text("\n".join(lines) + "\n")
    elif source == "parquet":
        arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        path = tmp_path / "a.parquet"
        parquet.write_table(arrow.table(gaps), path)
    options = {"by": "donor", "columns": columns, "missing": "mask", "weights": "w"}
    sets = de.read(path, **options)
    dropped = [r.message for r in caplog.records if "none of their features" in r.message]
    caplog.clear()
    built = de.build_store(path, tmp_path / "store", memory=SMALL, **options)
    assert [r.message for r in caplog.records if "none of their features" in r.message] == dropped
    for store in (built, de.read(tmp_path / "store"), de.read(tmp_path / "store", missing="mask")):
        assert (store.atoms, store.ids.tolist()) == (sets.atoms, sets.ids.tolist())
        assert store.sizes.tolist() == sets.sizes.tolist()
        one, other = (s.batch(range(len(s))) for s in (store, sets))
        assert torch.equal(one.observed, other.observed)
        assert torch.equal(one.filled, other.filled)
        assert torch.allclose(one.w, other.w)


def test_what_masks_are_not_for_is_refused(table, tmp_path):
    gaps = with_gaps(table)
    options = {"by": "donor", "columns": ["PC1", "PC2"]}
    with pytest.raises(ValueError, match=r"holds nan in feature 'PC1'.*missing='mask'"):
        de.build_store(gaps, tmp_path / "a", **options)
    with pytest.raises(ValueError, match="principal components read complete atoms"):
        de.build_store(gaps, tmp_path / "a", pca=1, missing="mask", **options)
    bad = {**gaps, "PC1": np.where(np.arange(ROWS) == 3, np.inf, gaps["PC1"])}
    with pytest.raises(ValueError, match="infinite value is not a sample"):
        de.build_store(bad, tmp_path / "a", missing="mask", **options)
    empty = {**gaps, "PC1": np.full(ROWS, np.nan), "PC2": np.full(ROWS, np.nan)}
    with pytest.raises(ValueError, match="All values are missing"):
        de.build_store(empty, tmp_path / "a", missing="mask", **options)
    with pytest.raises(ValueError, match="the atoms are tokens"):
        de.build_store(table, tmp_path / "a", "donor", "seq", atoms=DNA, missing="mask")
    whole = de.build_store(table, tmp_path / "whole", **options)
    with pytest.raises(ValueError, match="a store whose atoms are complete"):
        de.read(tmp_path / "whole", missing="mask")
    assert not whole.atoms.masked
    counts = de.build_store(
        {**table, "n": np.where(np.arange(ROWS) == 3, np.nan, table["n"])}, tmp_path / "counts",
        by="donor", columns="n", atoms="counts", missing="mask",
    )  # fmt: skip
    assert counts.atoms.describe() == {"name": "counts", "missing": "mask"}
