"""Count matrices of 10x: both layouts by hand, several samples, annotation, and damage."""

import contextlib
import gzip
import logging
import pickle

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

import distembed as de
from distembed.data.readers.exchange import ExchangeRows
from distembed.data.store import check_store

h5py = pytest.importorskip("h5py")

IDS = ["ENSG1", "ENSG2", "ENSG3", "ENSG4", "AB1"]
NAMES = ["CD3E", "MS4A1", "TBCE", "TBCE", "CD3"]
TYPES = ["Gene Expression"] * 4 + ["Antibody Capture"]
READ = ("CD3E", "MS4A1", "ENSG3", "ENSG4")


def counts(cells=6, seed=0):
    """Return counts of cells by features; every cell has a count of a gene."""
    x = np.random.default_rng(seed).poisson(0.8, (cells, len(IDS)))
    x[:, 0] += 1
    return x


def barcodes(cells, well=1):
    letters = [np.base_repr(i, 4).rjust(8, "0") for i in range(cells)]
    return [f"{''.join('ACGT'[int(c)] for c in name)}-{well}" for name in letters]


def write_h5(path, x, names=None, genome=None):
    """Write the file of Cell Ranger 3 and later, or that of 2 with the name of a genome."""
    by_barcode = scipy.sparse.csr_matrix(x)
    with h5py.File(path, "w") as file:
        file.attrs["filetype"] = "matrix"
        group = file.create_group(genome or "matrix")
        group["barcodes"] = np.array(names or barcodes(len(x)), "S18")
        group["data"] = by_barcode.data.astype(np.int32)
        group["indices"] = by_barcode.indices.astype(np.int64)
        group["indptr"] = by_barcode.indptr.astype(np.int64)
        group["shape"] = np.array(x.shape[::-1], np.int32)
        if genome:
            group["genes"], group["gene_names"] = np.array(IDS, "S9"), np.array(NAMES, "S9")
            return path
        features = group.create_group("features")
        features["_all_tag_keys"] = np.array(["genome"], "S6")
        features["id"], features["name"] = np.array(IDS, "S9"), np.array(NAMES, "S9")
        features["feature_type"] = np.array(TYPES, "S20")
        features["genome"] = np.array(["GRCh38"] * len(IDS), "S9")
    return path


def matrix_market(x):
    """Return the text of a matrix of features by barcodes, counted from 1."""
    places = [(j + 1, i + 1, int(x[i, j])) for i, j in zip(*np.nonzero(x), strict=True)]
    head = "%%MatrixMarket matrix coordinate integer general"
    comment = '%metadata_json: {"format_version": 2}'
    size = f"{x.shape[1]} {x.shape[0]} {len(places)}"
    return "\n".join([head, comment, size, *(" ".join(map(str, p)) for p in places), ""])


def write_folder(folder, x, names=None, packed=True, prefix=""):
    """Write the folder of Cell Ranger 3 and later, or that of 2, which is not compressed."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = zip(IDS, NAMES, TYPES, strict=True)
    listed = "features.tsv" if packed else "genes.tsv"
    texts = {
        "matrix.mtx": matrix_market(x),
        "barcodes.tsv": "".join(f"{b}\n" for b in names or barcodes(len(x))),
        listed: "".join("\t".join(row[: 3 if packed else 2]) + "\n" for row in rows),
    }
    for name, text in texts.items():
        content = gzip.compress(text.encode()) if packed else text.encode()
        (folder / f"{prefix}{name}{'.gz' if packed else ''}").write_bytes(content)
    return folder


def test_the_published_layouts_are_read_exactly(tmp_path, caplog):
    x = counts()
    new = de.read(write_h5(tmp_path / "filtered_feature_bc_matrix.h5", x))
    assert "'Antibody Capture' are left out" in caplog.text
    assert "2 features whose name others have" in caplog.text
    folder = de.read(write_folder(tmp_path / "s1", x))
    named = de.read(str(write_folder(tmp_path / "s1", x) / "matrix.mtx.gz"))
    for sets, name in ((new, "filtered_feature_bc_matrix"), (folder, "s1"), (named, "s1")):
        assert (sets.ids.tolist(), sets.features, sets.atoms.name) == ([name], READ, "counts")
        np.testing.assert_array_equal(sets.batch([0]).x, x[:, :4])
        assert sets.observations.sparse
    # of the older layouts, all features are genes
    old = de.read(write_h5(tmp_path / "old.h5", x, genome="GRCh38"))
    plain = de.read(write_folder(tmp_path / "s2", x, packed=False))
    for sets in (old, plain):
        np.testing.assert_array_equal(sets.batch([0]).x, x)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 9))
def test_both_layouts_hold_the_same_numbers(tmp_path_factory, seed, cells):
    folder = tmp_path_factory.mktemp("x")
    x = np.random.default_rng(seed).poisson(0.3, (cells, len(IDS)))
    options = {"min_size": 1, "modality": ["Gene Expression", "Antibody Capture"]}
    one = de.read(write_h5(folder / "x.h5", x), **options).batch([0]).x
    two = de.read(write_folder(folder / "x", x), **options).batch([0]).x
    np.testing.assert_array_equal(one, x)
    np.testing.assert_array_equal(two, x)


def test_features_are_chosen_by_type_name_or_id(tmp_path):
    x = counts()
    path = write_h5(tmp_path / "a.h5", x)
    assert de.read(path, modality="Antibody Capture").features == ("CD3",)
    some = de.read(path, genes=["ENSG4", "CD3E"])
    assert some.features == ("ENSG4", "CD3E")  # as among all, so that a model finds it again
    assert de.read(path, genes=list(some.features)).features == some.features
    np.testing.assert_array_equal(some.batch([0]).x, x[:, [3, 0]])
    with pytest.raises(ValueError, match=r"no feature of a.h5 'CD3D'; close names are: 'CD3E'"):
        de.read(path, genes=["CD3D"])
    with pytest.raises(ValueError, match="no type of features in a.h5 'Antibody'"):
        de.read(path, modality="Antibody")


@pytest.mark.parametrize("layout", ["h5", "folder"])
def test_several_samples_by_a_pattern(tmp_path, layout):
    x = {name: counts(4 + i, i) for i, name in enumerate(["d1_a", "d1_b", "d2_a"])}
    for name, values in x.items():
        if layout == "h5":
            write_h5(tmp_path / f"{name}.h5", values)
        else:
            write_folder(tmp_path / name / "outs", values)
    end = ".h5" if layout == "h5" else "/outs"
    files = de.read(f"{tmp_path}/*{end}")
    fields = de.read(f"{tmp_path}/{{donor}}_{{sample}}{end}")
    donors = de.read(f"{tmp_path}/{{donor}}_{{sample}}{end}", by="donor")
    assert [name.removesuffix("/outs") for name in files.ids] == list(x)
    assert fields.ids.tolist() == ["d1|a", "d1|b", "d2|a"]
    assert (donors.ids.tolist(), donors.sizes.tolist()) == (["d1", "d2"], [9, 6])
    for sets in (files, fields):
        for i, values in enumerate(x.values()):
            np.testing.assert_array_equal(sets.batch([i]).x, values[:, :4])


def test_files_with_a_prefix_are_told_apart(tmp_path):
    x = {name: counts(5, i) for i, name in enumerate(["GSM1_", "GSM2_"])}
    for prefix, values in x.items():
        write_folder(tmp_path, values, prefix=prefix)
    sets = de.read(f"{tmp_path}/{{sample}}_matrix.mtx.gz")
    assert sets.ids.tolist() == ["GSM1", "GSM2"]
    np.testing.assert_array_equal(sets.batch([1]).x, x["GSM2_"][:, :4])


def test_samples_of_one_file_are_the_digits_after_barcodes(tmp_path):
    x = counts(6)
    path = write_h5(tmp_path / "aggr.h5", x, barcodes(3, 1) + barcodes(3, 2))
    sets = de.read(path, by="gem_well")
    assert sets.ids.tolist() == ["1", "2"]
    np.testing.assert_array_equal(sets.batch([1]).x, x[3:, :4])


def test_features_in_another_order_are_matched_by_id(tmp_path):
    x = counts()
    write_h5(tmp_path / "a.h5", x)
    with h5py.File(write_h5(tmp_path / "b.h5", x[:, [1, 0, 2, 3, 4]]), "r+") as file:
        for name in ("id", "name"):
            values = file["matrix/features"][name][()]
            file["matrix/features"][name][...] = values[[1, 0, 2, 3, 4]]
    sets = de.read(f"{tmp_path}/*.h5")
    np.testing.assert_array_equal(sets.batch([1]).x, x[:, :4])
    with h5py.File(tmp_path / "b.h5", "r+") as file:
        file["matrix/features/id"][0] = b"ENSG9"
    with pytest.raises(ValueError, match=r"b.h5 has not the features .* 'ENSG2'. .*`genes`"):
        de.read(f"{tmp_path}/*.h5")
    assert de.read(f"{tmp_path}/*.h5", genes=["ENSG3"]).features == ("ENSG3",)


def test_a_feature_that_a_later_file_has_twice_is_refused(tmp_path):
    for name in ("a.h5", "b.h5"):
        write_h5(tmp_path / name, counts(6))
    with h5py.File(tmp_path / "b.h5", "r+") as file:
        file["matrix/features/id"][3] = b"ENSG1"
    with pytest.raises(ValueError, match=r"b.h5 has the feature 'ENSG1' twice"):
        de.read(f"{tmp_path}/*.h5", genes=["ENSG1", "ENSG2"])


def test_cells_are_joined_with_a_table(tmp_path, caplog):
    x = counts(6)
    path, names = write_h5(tmp_path / "a.h5", x), barcodes(6)
    order = [4, 0, 2, 1]  # cells 3 and 5 have no row
    table = {
        "cell": [*(names[i] for i in order), "unknown-1"],
        "donor": ["007", "007", "8", "8", "9"],
        "x": [4.0, 0.0, 2.0, 1.0, 9.0],
    }
    sets = de.read(path, by="donor", annotation=table)
    assert sets.ids.tolist() == ["007", "8"]
    assert "2 of 6 cells of a.h5 have no row" in caplog.text
    np.testing.assert_array_equal(sets.batch([0]).x, x[[0, 4], :4])
    np.testing.assert_array_equal(sets.batch([1]).x, x[[1, 2], :4])
    atoms = de.read_atoms(path, annotation=table, labels="donor")
    assert atoms.columns["x"].tolist() == [0, 1, 2, 4]
    near = de.by_kernel(atoms, ["x"], [[0.0], [2.0]], de.Kernel("box", 1.5))
    np.testing.assert_array_equal(near.batch([0]).x, x[[0, 1], :4])


def test_rows_of_a_table_are_of_their_sample(tmp_path):
    for name, seed in (("s1", 0), ("s2", 1)):
        write_h5(tmp_path / f"{name}.h5", counts(4, seed))
    names = barcodes(4)
    table = {"barcode": names + names, "type": ["T"] * 4 + ["B"] * 4}
    pattern = f"{tmp_path}/{{sample}}.h5"
    with pytest.raises(ValueError, match="several rows .* the same name .* 'sample'"):
        de.read(pattern, by="type", annotation=table)
    once = {"barcode": names, "type": ["T"] * 4}
    with pytest.raises(ValueError, match="Several files have the barcode .*the column 'sample'"):
        de.read(pattern, by="type", annotation=once)
    sets = de.read(pattern, by="type", annotation=table | {"sample": ["s1"] * 4 + ["s2"] * 4})
    assert sets.meta["sample"].tolist() == ["s1", "s2"]
    np.testing.assert_array_equal(sets.batch([1]).x, counts(4, 1)[:, :4])


@pytest.mark.parametrize(
    ("table", "options", "text"),
    [
        ({"cell": ["AAC"], "d": ["1"]}, {}, "No id of a.h5, such as 'AAAAAAAA-1', is in a dict"),
        ({"cell": ["AAC"], "d": ["1"]}, {"key": "id"}, "no column of a dict 'id'"),
        ({"cell": ["AAAAAAAA-1"] * 2, "d": ["1", "2"]}, {}, "several rows for the cell"),
        ({"cell": ["AAAAAAAA-1"], "d": ["1"]}, {"by": "e"}, "no column of a.h5 'e'"),
    ],
)
def test_tables_that_do_not_fit_are_refused(tmp_path, table, options, text):
    path = write_h5(tmp_path / "a.h5", counts())
    with pytest.raises(ValueError, match=text):
        de.read(path, annotation=table, **options)


def test_barcodes_without_counts_are_named(tmp_path, caplog):
    x = counts()
    x[2, :4] = 0
    de.read(write_h5(tmp_path / "raw.h5", x))
    assert "1 of 6 barcodes of raw.h5 have no count" in caplog.text


@pytest.mark.parametrize("layout", ["h5", "packed", "plain"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"genes": ["ENSG4", "CD3E"]},
        {"modality": ["Gene Expression", "Antibody Capture"], "by": "gem_well"},
        {"annotation": "cells.csv", "by": "donor", "weights": "w"},
    ],
    ids=str,
)
def test_a_store_reads_counts_in_parts(tmp_path, monkeypatch, layout, options, largest_part):
    monkeypatch.chdir(tmp_path)
    names = barcodes(7, 1) + barcodes(4, 2)
    if layout == "plain":
        options = {n: v for n, v in options.items() if n != "modality"}
    for name, seed in (("s1", 0), ("s2", 1)):
        x = counts(11, seed)
        x[[0, 5, 10]] = 0  # cells without an entry at the start, within and at the end
        x[[0, 10], 1] = seed
        if layout == "h5":
            write_h5(tmp_path / f"{name}.h5", x, names)
        else:
            write_folder(tmp_path / name, x, names, packed=layout == "packed")
    source = "{sample}.h5" if layout == "h5" else "s?"
    column = "sample" if layout == "h5" else "file"
    rows = [f"{n},{s},{'ab'[k % 2]},{k + 1}" for s in ("s1", "s2") for k, n in enumerate(names)]
    lines = [f"barcode,{column},donor,w", *rows[:8], *rows[11:20]]  # cells 8 to 10 have no row
    (tmp_path / "cells.csv").write_text("\n".join(lines) + "\n")
    whole = de.read(source, **options)
    sets = de.build_store(source, tmp_path / "store", memory=2 * 8 * 4, **options)
    assert (sets.ids.tolist(), sets.features) == (whole.ids.tolist(), whole.features)
    assert (sets.atoms, list(sets.meta)) == (whole.atoms, list(whole.meta))
    one, other = (s.batch(range(len(s))) for s in (sets, whole))
    np.testing.assert_array_equal(one.x, other.x)
    np.testing.assert_allclose(one.w, other.w, rtol=1e-6)
    check_store(tmp_path / "store")
    changed = max(tmp_path.glob("s1*" if layout == "h5" else "s1/barcodes*"))
    changed.write_bytes(changed.read_bytes() + b"\n")
    with pytest.raises(ValueError, match="has changed since the store"):
        check_store(tmp_path / "store")
    assert 0 < largest_part()


@pytest.mark.parametrize("block", [1, 20, 10**6])
def test_cells_of_a_text_file_are_those_of_the_whole(tmp_path, block):
    x = counts(9, 3)
    x[4] = 0
    path = write_folder(tmp_path / "s", x) / "matrix.mtx.gz"
    rows = ExchangeRows(path, [path], block)
    for low, high in ((0, 2), (2, 5), (4, 9), (0, 9), (7, 8), (8, 9), (1, 3)):
        np.testing.assert_array_equal(rows.between(low, high).toarray(), x[low:high])
    assert rows.dtype == np.int64
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(rows))[6:].toarray(), x[6:])


def test_entries_in_another_order_are_read_whole(tmp_path, caplog):
    x = counts(9, 3)
    folder = write_folder(tmp_path / "s", x, packed=False)
    head, lines = (text := (folder / "matrix.mtx").read_text().split("\n"))[:3], text[3:-1]
    (folder / "matrix.mtx").write_text("\n".join([*head, *sorted(lines), ""]))
    sets = de.build_store(folder, tmp_path / "store")
    np.testing.assert_array_equal(sets.batch([0]).x, x)
    assert "matrix.mtx are not in the order of barcodes" in caplog.text
    assert "sort its lines by their second number" in caplog.text


@pytest.mark.parametrize(
    ("edit", "text"),
    [
        (lambda t: t + "1 6 3\n", r"it states \d+ entries, and has \d+"),
        (lambda t: t[: t.rindex("\n", 0, -2) + 1], r"it states \d+ entries, and has \d+"),
        (lambda t: t + "9 6 3\n", "is damaged or cut off"),
        (lambda t: t + "5 6\n", "is damaged or cut off"),
        (lambda t: t + "5 6 x\n", "is damaged or cut off"),
    ],
)
def test_a_store_refuses_damaged_folders(tmp_path, edit, text):
    folder = write_folder(tmp_path / "s", counts(), packed=False)
    file = folder / "matrix.mtx"
    file.write_text(edit(file.read_text()))
    with pytest.raises(ValueError, match=text):
        de.build_store(folder, tmp_path / "store")


def test_the_command_line_reads_a_pattern(tmp_path):
    from cli_table import run_verb

    for i in range(3):
        write_h5(tmp_path / f"p{i}.h5", counts(4, i))
    store = str(tmp_path / "store")
    genes = ["--genes", "CD3E", "--genes", "ENSG4"]
    outcome = run_verb("data", "build", f"{tmp_path}/*.h5", "-o", store, *genes)
    assert outcome.code == 0, outcome.err
    sets = de.read(store)
    assert (sets.ids.tolist(), sets.features) == (["p0", "p1", "p2"], ("CD3E", "ENSG4"))
    np.testing.assert_array_equal(sets.batch([2]).x, counts(4, 2)[:, [0, 3]])


def test_verbs_take_a_pattern_of_folders(tmp_path):
    from distembed.cli.loading import expand_path

    write_folder(tmp_path / "p1" / "outs", counts())
    assert expand_path(f"{tmp_path}/{{donor}}/outs") == tmp_path / "{donor}" / "outs"
    with pytest.raises(FileNotFoundError, match="No file has a name of the form"):
        expand_path(f"{tmp_path}/{{donor}}")  # folders without a matrix


@pytest.mark.parametrize("inner", ["", "outs/", "outs/filtered/"])
@pytest.mark.parametrize("verb", ["read", "build_store"])
def test_a_folder_of_samples_is_refused_with_its_pattern(tmp_path, verb, inner):
    for name in ("s1", "s2"):
        write_folder(tmp_path / "runs" / name / inner, counts())
    runs = tmp_path / "runs"
    with pytest.raises(ValueError, match="is a folder of folders") as error:
        de.read(runs) if verb == "read" else de.build_store(runs, tmp_path / "store")
    pattern = str(error.value).split("'")[1]
    assert pattern == f"{runs}/*/{inner}".rstrip("/")
    assert len(de.read(pattern)) == 2


def test_a_store_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no store .*absent"):
        de.build_store(write_folder(tmp_path / "s1", counts()), tmp_path / "b", like="absent")


def edited(name, edit):
    def change(path):
        with h5py.File(path, "r+") as file:
            values = file["matrix"][name][()]
            del file["matrix"][name]
            if (new := edit(values)) is not None:
                file["matrix"][name] = new

    return change


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (edited("data", lambda v: None), "damaged, or has not the layout"),
        (edited("data", lambda v: v[:-1]), "damaged, or has not the layout"),
        (edited("data", lambda v: v.astype("S4")), "damaged, or has not the layout"),
        (edited("indices", lambda v: v + 99), "damaged, or has not the layout"),
        (edited("indptr", lambda v: v[::-1].copy()), "damaged, or has not the layout"),
        (edited("shape", lambda v: v[:1]), "damaged, or has not the layout"),
        (edited("shape", lambda v: v + [1, 0]), "their lists have 5 and 6"),
        (edited("barcodes", lambda v: v[:-1]), "their lists have 5 and 5"),
        (edited("barcodes", lambda v: np.repeat(v[:1], 6)), "has the barcode .* twice"),
        (edited("barcodes", lambda v: np.arange(6)), "damaged, or has not the layout"),
        (edited("features/name", lambda v: v[:-1]), "5 ids, 4 names and 5 types"),
        (lambda path: path.write_bytes(path.read_bytes()[:900]), "is damaged or is not HDF5"),
        (lambda path: path.write_text("a,b\n"), "is damaged or is not HDF5"),
    ],
)
def test_damaged_files_are_refused(tmp_path, change, text):
    path = write_h5(tmp_path / "a.h5", counts())
    change(path)
    with pytest.raises(ValueError, match=text):
        de.read(path)


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 10**6), st.binary(min_size=1, max_size=6))
def test_damage_anywhere_ends_in_a_message(tmp_path_factory, where, what):
    """Bytes of a folder's files are overwritten or cut; numbers change, or an error names it."""
    folder = write_folder(tmp_path_factory.mktemp("d") / "s", counts(), packed=bool(where % 2))
    files = sorted(folder.iterdir())
    path = files[where % len(files)]
    content = bytearray(path.read_bytes())
    place = where % len(content)
    content[place : place + len(what)] = what
    path.write_bytes(bytes(content[: len(content) - where % 3]))
    # an error of another type would be no message
    with contextlib.suppress(ValueError, FileNotFoundError):
        sets = de.read(folder, min_size=1, genes=["ENSG1"])
        assert sets.batch([0]).x.isfinite().all()


@pytest.mark.parametrize(
    ("name", "edit", "text"),
    [
        ("matrix.mtx", lambda t: t.replace("general", "symmetric"), "starts with .*symmetric"),
        ("matrix.mtx", lambda t: t.replace("integer", "complex"), "starts with .*complex"),
        ("matrix.mtx", lambda t: "1 2 3\n", "starts with '1 2 3'"),
        ("matrix.mtx", lambda t: "\n".join(t.split("\n")[:2]), "does not state its size"),
        ("matrix.mtx", lambda t: "\n".join(t.split("\n")[:-3]), "is damaged or cut off"),
        ("matrix.mtx", lambda t: t.replace("5 6 ", "6 5 "), "is damaged|their lists have 5 and 6"),
        ("matrix.mtx", lambda t: t.replace("5 6 ", "5 99999999999 "), "would take"),
        ("genes.tsv", lambda t: t.replace("ENSG2\t", ""), "its lines have 1 to 2 fields"),
        ("barcodes.tsv", lambda t: t[t.index("\n") + 1 :], "their lists have 5 and 5"),
    ],
)
def test_damaged_folders_are_refused(tmp_path, name, edit, text):
    folder = write_folder(tmp_path / "s", counts(), packed=False)
    (folder / name).write_text(edit((folder / name).read_text()))
    with pytest.raises(ValueError, match=text):
        de.read(folder)


def test_what_is_no_such_matrix_is_refused(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["X"] = np.zeros(3)
    with pytest.raises(ValueError, match=r"not the layout of 10x.* It holds: X. AnnData is named"):
        de.read(tmp_path / "a.h5")
    with h5py.File(write_h5(tmp_path / "b.h5", counts(), genome="hg19"), "r+") as file:
        file.copy("hg19", "mm10")
    with pytest.raises(ValueError, match=r"b.h5 has the genomes hg19, mm10"):
        de.read(tmp_path / "b.h5")
    folder = write_folder(tmp_path / "s", counts())
    (folder / "barcodes.tsv.gz").unlink()
    with pytest.raises(FileNotFoundError, match=r"matrix.mtx.gz needs barcodes.tsv, perhaps .gz"):
        de.read(folder)
    (folder / "matrix.mtx.gz").rename(folder / "x.mtx.gz")
    with pytest.raises(ValueError, match="does not end in matrix.mtx"):
        de.read(folder / "x.mtx.gz")
    with pytest.raises(FileNotFoundError, match="There is no file"):
        de.read(tmp_path / "c.h5")


def test_the_kind_of_every_cell_is_logged_once(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    for i in range(3):
        write_h5(tmp_path / f"{i}.h5", counts(4, i))
    de.read(f"{tmp_path}/*.h5")
    assert caplog.text.count("'Antibody Capture' are left out") == 1
