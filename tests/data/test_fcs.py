"""FCS files: values, names, compensation, several files, and what is refused."""

import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import distembed as de

flowio = pytest.importorskip("flowio")

NAMES = ["FSC-A", "B525-A", "R660-A", "Time"]
MARKERS = ["", "CD4", "CD8", ""]
SPILL = {"SPILLOVER": "2,B525-A,R660-A,1,0.2,0.1,1"}


def write(path, x, names=NAMES, markers=MARKERS, keywords=None):
    with path.open("wb") as file:
        flowio.create_fcs(file, x.ravel().tolist(), names, markers, keywords)
    return path


def cells(seed, n=30):
    rng = np.random.default_rng(seed)
    x = rng.normal(100, 10, (n, 4)).astype(np.float32)
    x[:, 3] = np.arange(n)
    return x


def test_each_file_is_a_set_and_markers_name_the_channels(tmp_path, caplog):
    x = {name: cells(i, 20 + i) for i, name in enumerate(["p1", "p2", "p10"])}
    for name, values in x.items():
        write(tmp_path / f"{name}.fcs", values)
    sets = de.read(str(tmp_path / "*.fcs"))
    assert sets.ids.tolist() == ["p1", "p10", "p2"]
    assert sets.features == ("FSC-A", "CD4", "CD8")
    for i, name in enumerate(sets.ids):
        np.testing.assert_array_equal(sets.batch([i]).x, x[name][:, :3])
    assert "spillover" not in caplog.text
    some = de.read(str(tmp_path / "{patient}.fcs"), columns="CD*")
    assert (some.features, some.ids.tolist()) == (("CD4", "CD8"), ["p1", "p10", "p2"])
    timed = de.read(str(tmp_path / "p1.fcs"), columns=["CD4", "Time"])
    np.testing.assert_array_equal(timed.batch([0]).x, x["p1"][:, [1, 3]])


def test_a_spillover_matrix_is_inverted_when_asked(tmp_path, caplog):
    true = cells(0).astype(np.float64)
    mixed = true.copy()
    mixed[:, 1:3] = true[:, 1:3] @ np.array([[1, 0.2], [0.1, 1]])
    path = str(write(tmp_path / "a.fcs", mixed, keywords=SPILL))
    raw = de.read(path).batch([0]).x
    assert "a.fcs holds a spillover matrix, which is not applied" in caplog.text
    np.testing.assert_allclose(raw, mixed[:, :3], rtol=1e-6)
    np.testing.assert_allclose(de.read(path, compensate=True).batch([0]).x, true[:, :3], rtol=1e-5)
    caplog.clear()
    np.testing.assert_array_equal(de.read(path, compensate=False).batch([0]).x, raw)
    assert not caplog.text


def test_channels_in_another_order_are_matched_by_name(tmp_path):
    one, two = cells(0), cells(1)
    write(tmp_path / "a.fcs", one)
    order = [2, 0, 1, 3]
    write(
        tmp_path / "b.fcs", two[:, order], [NAMES[i] for i in order], [MARKERS[i] for i in order]
    )
    sets = de.read(str(tmp_path / "*.fcs"))
    np.testing.assert_array_equal(sets.batch([1]).x, two[:, :3])


def test_a_marker_of_two_channels_names_neither(tmp_path):
    path = write(tmp_path / "a.fcs", cells(0), markers=["", "CD4", "CD4", ""])
    assert de.read(str(path)).features == ("FSC-A", "B525-A", "R660-A")


def test_gains_are_divided_out_and_logarithms_undone(tmp_path):
    """A file of 16-bit integers that is written by hand: gain 2, and four decades from 1."""
    values = np.array([[2, 0], [4, 256], [6, 512], [8, 1023]], ">u2")
    text = "/".join(
        ["", "$BEGINANALYSIS", "0", "$ENDANALYSIS", "0", "$BEGINSTEXT", "0", "$ENDSTEXT", "0",
         "$BYTEORD", "4,3,2,1", "$DATATYPE", "I", "$MODE", "L", "$NEXTDATA", "0", "$PAR", "2",
         "$TOT", "4", "$P1N", "A", "$P1B", "16", "$P1R", "1024", "$P1E", "0,0", "$P1G", "2",
         "$P2N", "B", "$P2B", "16", "$P2R", "1024", "$P2E", "4,1",
         "$BEGINDATA", "@begin@@", "$ENDDATA", "@endd@@@", ""]
    )  # fmt: skip
    begin = 58 + len(text)
    end = begin + values.nbytes - 1
    text = text.replace("@begin@@", f"{begin:8d}").replace("@endd@@@", f"{end:8d}")
    header = f"FCS3.1    {58:8d}{begin - 1:8d}{begin:8d}{end:8d}{0:8d}{0:8d}"
    (tmp_path / "a.fcs").write_bytes(header.encode() + text.encode() + values.tobytes())
    x = de.read(str(tmp_path / "a.fcs")).batch([0]).x
    np.testing.assert_allclose(x[:, 0], [1, 2, 3, 4])
    np.testing.assert_allclose(
        x[:, 1], 10 ** (4 * np.array([0, 256, 512, 1023]) / 1024), rtol=1e-6
    )


def test_the_command_line_reads_and_compensates(tmp_path):
    from cli_table import run_verb

    for i in range(12):
        write(tmp_path / f"p{i}.fcs", cells(i), keywords=SPILL)
    words = [f"data.path={tmp_path}/*.fcs", "data.compensate=true", f"out={tmp_path / 'run'}"]
    fast = ["train.steps=2", "train.metric_steps=0", "model.latent=4", "train.context=8"]
    outcome = run_verb("fit", *words, *fast)
    assert outcome.code == 0, outcome.err
    assert "spillover" not in outcome.err


@pytest.mark.parametrize(
    ("change", "options", "text"),
    [
        (lambda b: b[:200], {}, "cannot be read as an FCS file"),
        (lambda b: b"id,x\n1,2\n", {}, "cannot be read as an FCS file"),
        (lambda b: b[:-40], {}, "cannot be read as an FCS file"),
        (lambda b: b, {"compensate": True}, "has no spillover matrix"),
        (lambda b: b, {"columns": "CD9"}, "CD9"),
    ],
    ids=["header", "table", "short", "matrix", "column"],
)
def test_what_is_refused(tmp_path, change, options, text):
    path = write(tmp_path / "a.fcs", cells(0))
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(ValueError, match=text):
        de.read(str(path), **options)


@pytest.mark.parametrize("matrix", [
    "2,B525-A,G,1,0,0,1", "2,B525-A,R660-A,1,1,1,1", "2,B525-A", "2,B525-A,R660-A,1,nan,0,1",
    "2,B525-A,B525-A,1,0.1,0.2,1",
])  # fmt: skip
def test_a_matrix_that_does_not_fit_is_refused(tmp_path, matrix):
    path = write(tmp_path / "a.fcs", cells(0), keywords={"SPILL": matrix})
    with pytest.raises(ValueError, match="spillover matrix of a.fcs cannot be applied"):
        de.read(str(path), compensate=True)


def test_other_panels_and_empty_files_are_refused(tmp_path):
    write(tmp_path / "a.fcs", cells(0))
    write(tmp_path / "b.fcs", cells(0), markers=["", "CD4", "CD3", ""])
    with pytest.raises(ValueError, match="b.fcs and the first file .* CD3, CD8 are in one"):
        de.read(str(tmp_path / "*.fcs"))
    write(tmp_path / "c.fcs", cells(0)[:0])
    with pytest.raises(ValueError, match=r"c.fcs (has no event|cannot be read)"):
        de.read(str(tmp_path / "c.fcs"))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_damaged_file_is_read_or_refused(tmp_path_factory, data):
    path = write(tmp_path_factory.mktemp("damaged") / "a.fcs", cells(0, 8), keywords=SPILL)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(content[: data.draw(st.integers(1, 2 * len(content)))]))
    with contextlib.suppress(ValueError):
        de.read(str(path), compensate=data.draw(st.booleans()), min_size=1)


def test_two_channels_of_one_name_are_refused(tmp_path):
    path = write(tmp_path / "a.fcs", cells(0), ["FSC-A", "B525-A", "B525-A", "Time"], [""] * 4)
    with pytest.raises(ValueError, match="a.fcs has 2 channels 'B525-A'"):
        de.read(str(path))
