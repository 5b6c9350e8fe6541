"""Image files by a pattern: pixels, channels, crops, names of sets, and what is refused."""

import contextlib
import pickle
import struct
import warnings
import weakref
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import distembed as de
from distembed.data.readers import picture_rows
from distembed.data.readers.picture_files import mapped_picture, read_picture
from distembed.data.readers.picture_rows import PictureRows
from distembed.data.store import check_store

image = pytest.importorskip("PIL.Image")


def pixels(seed, shape=(6, 5), kind=np.uint8):
    top = 255 if kind == np.uint8 else 60000
    return np.random.default_rng(seed).integers(0, top, shape).astype(kind)


def save(path, *pages):
    path.parent.mkdir(parents=True, exist_ok=True)
    first, *rest = map(image.fromarray, pages)
    options = {"save_all": True, "append_images": rest} if rest else {}
    first.save(path, **options)
    return path


def atoms(sets, name):
    return sets.batch([sets.ids.tolist().index(name)]).x.numpy()


@pytest.mark.parametrize("suffix", ["png", "tif", "bmp"])
def test_files_of_a_field_are_a_set(tmp_path, suffix):
    x = {well: [pixels(10 * w + i) for i in range(3 + w)] for w, well in enumerate(["A1", "A02"])}
    for well, images in x.items():
        for i, one in enumerate(images):
            save(tmp_path / well / f"cell{i}.{suffix}", one)
    sets = de.read(f"{tmp_path}/{{well}}/*.{suffix}", min_size=1)
    assert sorted(sets.ids.tolist()) == ["A02", "A1"]
    assert (sets.atoms.name, sets.event_shape) == ("images", (1, 6, 5))
    for well, images in x.items():
        np.testing.assert_array_equal(atoms(sets, well), np.stack(images)[:, None])


def test_colours_pages_and_sixteen_bits_are_channels(tmp_path):
    colour = pixels(0, (6, 5, 3))
    save(tmp_path / "a" / "0.png", colour)
    np.testing.assert_array_equal(
        de.read(f"{tmp_path}/{{well}}/*.png", min_size=1).batch([0]).x[0],
        colour.transpose(2, 0, 1),
    )
    pages = [pixels(i, kind=np.uint16) for i in range(3)]
    save(tmp_path / "a" / "0.tif", *pages)
    sets = de.read(f"{tmp_path}/{{well}}/*.tif", min_size=1)
    np.testing.assert_array_equal(sets.batch([0]).x[0], np.stack(pages))


def test_files_that_differ_in_the_channel_are_one_image(tmp_path):
    for well in ("A1", "B1"):
        for site in range(2):
            for channel in ("c-2", "c"):  # of the files c-2.tif comes first
                x = np.full((4, 4), 10 * site + (channel == "c-2"), np.uint8)
                save(tmp_path / f"{well}_{site}_{channel}.tif", x)
    sets = de.read(f"{tmp_path}/{{well}}_{{site}}_{{channel}}.tif", by="well", min_size=1)
    # channels are in the order of their names
    np.testing.assert_array_equal(atoms(sets, "A1")[:, :, 0, 0], [[0, 1], [10, 11]])
    (tmp_path / "B1_0_c-2.tif").unlink()
    with pytest.raises(ValueError, match=r"B1_0_c.tif .* are \['c'\]; .*\['c', 'c-2'\]"):
        de.read(f"{tmp_path}/{{well}}_{{site}}_{{channel}}.tif", by="well")


def boxes(path, rows, head="file,left,top,right,bottom,cell"):
    path.write_text("\n".join([head, *rows]) + "\n")
    return str(path)


def test_boxes_are_crops_with_the_columns_of_their_table(tmp_path):
    x = {name: pixels(i, (8, 9)) for i, name in enumerate(["t1", "t2"])}
    for name, one in x.items():
        save(tmp_path / f"{name}.png", one)
    table = boxes(
        tmp_path / "b.csv",
        ["t2,0,0,3,2,007", "t1.png,1,2,4,4,08", "t2,6,6,9,8,009", f"{tmp_path}/t1.png,0,0,3,2,1"],
    )
    source = f"{tmp_path}/*.png"
    sets = de.read(source, boxes=table, min_size=1)
    np.testing.assert_array_equal(atoms(sets, "t1")[:, 0], [x["t1"][2:4, 1:4], x["t1"][0:2, 0:3]])
    np.testing.assert_array_equal(atoms(sets, "t2")[:, 0], [x["t2"][0:2, 0:3], x["t2"][6:8, 6:9]])
    # ids are text as it stands in the table
    assert sorted(de.read(source, boxes=table, by="cell", min_size=1).ids) == [
        "007", "009", "08", "1"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ("t9,0,0,3,2,1", "names 1 images that the pattern does not have, such as 't9'"),
        ("t1,-1,0,2,2,1", r"Row 2 of .* is the box \(-1, 0, 2, 2\) of t1, which has 9 x 8 pixels"),
        ("t1,7,0,10,2,1", "Leave out boxes that leave their image"),
        ("t1,3,0,3,2,1", "Row 2 of .* which has no area"),
        ("t1,3,2,2,4,1", "with left < right"),
        ("t1,0,2,3,2,1", "which has no area"),
        ("t1,0.5,0,3,2,1", "Row 2 of .* has left = 0.5; .* whole numbers of pixels"),
        ("t1,,0,3,2,1", "Row 2 of .* has left = nan; .* 1 rows are missing or no whole"),
        ("t1,a,0,3,2,1", "is no number of pixels"),
        ("t1,0,0,4,2,1", "Row 1 of .* is 1 x 2 x 3 .* and Row 2 of .* is 1 x 2 x 4"),
    ],
)
def test_boxes_that_are_refused(tmp_path, row, text):
    save(tmp_path / "t1.png", pixels(0, (8, 9)))
    with pytest.raises(ValueError, match=text):
        de.read(f"{tmp_path}/*.png", boxes=boxes(tmp_path / "b.csv", ["t1,0,0,3,2,1", row]))


def test_a_store_of_a_folder_of_images_is_refused_with_their_pattern(tmp_path):
    save(tmp_path / "tiles" / "t1.png", pixels(0))
    with pytest.raises(ValueError, match=r"by a pattern, in quotes: '.*tiles/\*\.png'"):
        de.build_store(tmp_path / "tiles", tmp_path / "store", by="well")


def strips(path, x, order="<", height=2, gap=0, **tags):
    """Write a grey TIFF in uncompressed strips, perhaps with a gap between them."""
    bits = 8 * x.dtype.itemsize
    parts = [x[i : i + height].astype(x.dtype.newbyteorder(order)).tobytes()
             for i in range(0, len(x), height)]  # fmt: skip
    entries = {256: x.shape[1], 257: len(x), 258: bits, 259: 1, 262: 1, 277: 1, 278: height,
               339: 3 if x.dtype.kind == "f" else 1}  # fmt: skip
    entries |= {int(name[1:]): value for name, value in tags.items()}
    table = 8 + 2 + 12 * (len(entries) + 2) + 4
    starts, at = [], table + 8 * len(parts)
    for part in parts:
        starts.append(at)
        at += len(part) + gap
    lines = [(t, 3, 1, struct.pack(f"{order}HH", v, 0)) for t, v in entries.items()]
    lines += [(273, 4, len(parts), struct.pack(f"{order}I", table)),
              (279, 4, len(parts), struct.pack(f"{order}I", table + 4 * len(parts)))]  # fmt: skip
    content = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(f"{order}IH", 8, len(lines))
    content += b"".join(struct.pack(f"{order}HHI", *line[:3]) + line[3] for line in sorted(lines))
    content += bytes(4) + struct.pack(f"{order}{len(parts)}I", *starts)
    content += struct.pack(f"{order}{len(parts)}I", *map(len, parts))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content + b"".join(part + bytes(gap) for part in parts))
    return path


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
def test_a_file_without_compression_is_mapped(tmp_path, order, kind):
    x = pixels(0, (7, 5), np.uint16).astype(kind)
    path = strips(tmp_path / "a.tif", x, order)
    (mapped,) = mapped_picture(path)
    assert isinstance(mapped, np.memmap)
    np.testing.assert_array_equal(mapped[0], x)
    np.testing.assert_array_equal(read_picture(path), mapped)


def test_pages_and_colours_are_mapped(tmp_path):
    pages = [pixels(i, kind=np.uint16) for i in range(3)]
    mapped = mapped_picture(save(tmp_path / "a.tif", *pages))
    np.testing.assert_array_equal(np.concatenate(mapped), pages)
    colour = pixels(0, (6, 5, 3))
    (mapped,) = mapped_picture(save(tmp_path / "b.tif", colour))
    np.testing.assert_array_equal(mapped, colour.transpose(2, 0, 1))


@pytest.mark.parametrize(
    ("kind", "tags"),
    [
        (np.uint8, {"t262": 0}),  # white is zero
        (np.uint8, {"t274": 3}),  # turned by 180 degrees
        (np.uint8, {"t266": 2}),  # bits from the other end
        (np.uint8, {"gap": 3}),
        (np.int16, {"t339": 2}),
    ],
    ids=str,
)
def test_what_is_not_stored_as_it_is_read_is_not_mapped(tmp_path, kind, tags):
    path = strips(tmp_path / "w" / "a.tif", pixels(0, (7, 5)).astype(kind), **tags)
    assert mapped_picture(path) is None
    with contextlib.suppress(ValueError):  # pillow may not read it
        x = de.read(f"{tmp_path}/{{well}}/*.tif", min_size=1).batch([0]).x
        np.testing.assert_array_equal(x[0], read_picture(path))


def test_a_compressed_or_a_cut_file_is_not_mapped(tmp_path):
    path = tmp_path / "a.tif"
    image.fromarray(pixels(0)).save(path, compression="tiff_deflate")
    assert mapped_picture(path) is None
    path = strips(tmp_path / "b.tif", pixels(0))
    path.write_bytes(path.read_bytes()[:-1])
    assert mapped_picture(path) is None
    assert mapped_picture(save(tmp_path / "a.png", pixels(0))) is None


@pytest.fixture
def tiles(tmp_path):
    """Return a pattern, a table of boxes and the crops of each tile; two tiles are compressed."""
    rng, lines, crops = np.random.default_rng(0), [], {}
    for i in range(4):
        x, options = pixels(i, (20, 30)), {"compression": "tiff_deflate"} if i % 2 else {}
        image.fromarray(x).save(tmp_path / f"t{i}.tif", **options)
        corners = np.stack([rng.integers(0, 26, 9), rng.integers(0, 17, 9)], 1)
        lines += [f"t{i},{a},{b},{a + 4},{b + 3},c{a % 3}" for a, b in corners]
        crops[f"t{i}"] = np.stack([x[b : b + 3, a : a + 4] for a, b in corners])[:, None]
    order = rng.permutation(len(lines))
    crops = {k: v[order[order // 9 == i] % 9] for i, (k, v) in enumerate(crops.items())}
    return f"{tmp_path}/t*.tif", boxes(tmp_path / "b.csv", [lines[i] for i in order]), crops


def test_crops_that_are_not_held_are_those_that_are(tiles):
    source, table, crops = tiles
    for by in ("file", "cell"):
        held = de.read(source, boxes=table, by=by, min_size=1)
        lazy = de.read(source, boxes=table, by=by, min_size=1, hold=0)
        assert isinstance(held.observations.x, np.ndarray)
        assert isinstance(lazy.observations.x, PictureRows)
        assert (lazy.ids.tolist(), lazy.atoms, lazy.event_shape) == (
            held.ids.tolist(), held.atoms, held.event_shape,
        )  # fmt: skip
        names = [len(lazy) - 1, 0, 1]
        assert torch.equal(lazy.batch(names).x, held.batch(names).x)
        one, other = (s.batch([1, 0], 4, torch.Generator().manual_seed(0)) for s in (lazy, held))
        assert torch.equal(one.x, other.x)
        again = pickle.loads(pickle.dumps(lazy))
        assert torch.equal(again.batch([0]).x, held.batch([0]).x)
    lazy = de.read(source, boxes=table, min_size=1, hold=0)
    for name, x in crops.items():
        np.testing.assert_array_equal(atoms(lazy, name), x)
    train, test = lazy.split(2)
    assert len(train) == len(test) == 2


def test_one_image_is_in_memory_at_a_time(tiles, monkeypatch):
    source, table, _ = tiles
    alive, most = [], [0]

    def watched(path):
        x = read_picture(path)
        alive.append(weakref.ref(x))
        most[0] = max(most[0], sum(one() is not None for one in alive))
        return x

    monkeypatch.setattr(picture_rows, "read_picture", watched)
    sets = de.read(source, boxes=table, min_size=1, hold=0)
    rows = sets.observations.x
    small = PictureRows(rows._images, rows._number, rows._boxes, rows.shape[1:], rows.dtype, 0)
    assert np.array_equal(np.asarray(small), np.asarray(rows))
    assert most[0] == 2  # the one that is read, and the one before it


def test_a_store_of_crops_reads_an_image_at_a_time(tiles, tmp_path):
    source, table, crops = tiles
    store = de.build_store(source, tmp_path / "store", boxes=table, min_size=1, memory=300)
    assert (store.atoms.describe()["high"], store.observations.x.dtype) == (255, np.uint8)
    for name, x in crops.items():
        np.testing.assert_array_equal(atoms(store, name), x)
    check_store(tmp_path / "store")
    with Path(table).open("a") as file:
        file.write("t0,0,0,4,3,c9\n")
    with pytest.raises(ValueError, match=r"b.csv has changed since the store"):
        check_store(tmp_path / "store")


def test_an_image_that_changes_is_refused(tmp_path):
    for i in range(3):
        save(tmp_path / "w" / f"{i}.png", pixels(i))
    sets = de.read(f"{tmp_path}/{{well}}/*.png", hold=10)
    np.testing.assert_array_equal(sets.batch([0]).x[:, 0], [pixels(i) for i in range(3)])
    again = pickle.loads(pickle.dumps(sets))
    save(tmp_path / "w" / "1.png", pixels(1, (6, 7)))
    with pytest.raises(ValueError, match=r"1.png has another size or type of pixels than when"):
        again.batch([0])


@pytest.mark.parametrize(
    ("head", "rows"),
    [
        ("file,left,top,right,bottom", ["A1/s0,0,0,3,2", "A02/s0.png,1,2,4,4"]),
        ("well,file,left,top,right,bottom", ["A1,s0.png,0,0,3,2", "A02,s0,1,2,4,4"]),
        ("file,left,top,right,bottom,well", ["A1/s0.png,0,0,3,2,A1", "p/A02/s0.png,1,2,4,4,A02"]),
    ],
)
def test_boxes_of_files_of_one_name_are_told_apart_by_path_or_field(tmp_path, head, rows):
    x = {well: pixels(i, (8, 9)) for i, well in enumerate(["A1", "A02", "A3"])}
    for well, one in x.items():
        save(tmp_path / "p" / well / "s0.png", one)
    table = boxes(tmp_path / "b.csv", rows, head)
    sets = de.read(f"{tmp_path}/p/{{well}}/*.png", boxes=table, min_size=1)
    np.testing.assert_array_equal(atoms(sets, "A1")[0, 0], x["A1"][0:2, 0:3])
    np.testing.assert_array_equal(atoms(sets, "A02")[0, 0], x["A02"][2:4, 1:4])


def test_a_box_of_several_images_or_of_another_well_is_refused(tmp_path):
    for well in ("A1", "A2"):
        save(tmp_path / well / "s0.png", pixels(0))
    source, edges = f"{tmp_path}/{{well}}/*.png", "file,left,top,right,bottom"
    several = boxes(tmp_path / "b.csv", ["s0,0,0,3,2"], edges)
    with pytest.raises(ValueError, match=r"'s0', which 2 images have, such as .*A1/s0.png and"):
        de.read(source, boxes=several)
    other = boxes(tmp_path / "b.csv", ["A1/s0,0,0,3,2,A2"], f"{edges},well")
    with pytest.raises(ValueError, match="does not have, such as 'A1/s0' of well 'A2'"):
        de.read(source, boxes=other)


def test_what_is_refused(tmp_path):
    save(tmp_path / "w" / "a.png", pixels(0))
    save(tmp_path / "w" / "b.png", pixels(0, (6, 6)))
    with pytest.raises(ValueError, match=r"w/\*.png would be a set of its own. Name the sets by"):
        de.read(f"{tmp_path}/w/*.png")
    with pytest.raises(ValueError, match=r"a is 1 x 6 x 5 .* and b is 1 x 6 x 6"):
        de.read(f"{tmp_path}/{{well}}/*.png")
    whole = (tmp_path / "w" / "b.png").read_bytes()
    (tmp_path / "w" / "b.png").write_bytes(whole[:40])
    with pytest.raises(ValueError, match="b.png cannot be read as an image"):
        de.read(f"{tmp_path}/{{well}}/*.png")
    image.fromarray(pixels(0)).convert("P").save(tmp_path / "w" / "b.png")
    with pytest.raises(ValueError, match="it has a palette"):
        de.read(f"{tmp_path}/{{well}}/*.png")
    save(tmp_path / "p" / "a.tif", pixels(0), pixels(0, (3, 3)))
    with pytest.raises(ValueError, match="2 pages of a.tif have different sizes"):
        de.read(f"{tmp_path}/{{well}}/*.tif")
    boxes(tmp_path / "b.csv", ["w,1"], "file,left")
    with pytest.raises(ValueError, match="column of the table of boxes 'top'"):
        de.read(f"{tmp_path}/{{well}}/a.png", boxes=str(tmp_path / "b.csv"))


def test_what_pillow_warns_of_is_logged(tmp_path, caplog, monkeypatch):
    save(tmp_path / "w" / "a.png", pixels(0))
    own = image.open

    def doubtful(path):
        warnings.warn("a tag is damaged", stacklevel=1)
        return own(path)

    monkeypatch.setattr(image, "open", doubtful)
    de.read(f"{tmp_path}/{{well}}/*.png", min_size=1)
    assert "a.png: a tag is damaged" in caplog.text


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_damaged_file_is_read_or_refused(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("damaged")
    suffix = data.draw(st.sampled_from(["png", "tif", "jpg"]))
    path = save(folder / "w" / f"a.{suffix}", pixels(0))
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(content[: data.draw(st.integers(1, 2 * len(content)))]))
    with contextlib.suppress(ValueError):
        de.read(f"{folder}/{{well}}/*.{suffix}", min_size=1)


def test_an_image_that_claims_to_be_huge_is_refused(tmp_path, monkeypatch):
    save(tmp_path / "w" / "a.png", pixels(0))
    monkeypatch.setattr(image, "MAX_IMAGE_PIXELS", 20)
    with pytest.raises(ValueError, match=r"a.png claims to be too large: .*30 pixels"):
        de.read(f"{tmp_path}/{{well}}/*.png")


def chunk(kind, content):
    checked = kind + content
    return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))


def colour_png(path, x):
    """Write 16 bits a channel, which pillow reads as 8 and cannot write."""
    height, width, _ = x.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in x)
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


def colour_tiff(path, x):
    """Write one uncompressed strip of 16 bits a channel."""
    height, width, _ = x.shape
    content = x.astype("<u2").tobytes()
    at = 8 + 2 + 12 * 9 + 4
    entries = [
        (256, 3, 1, width), (257, 3, 1, height), (258, 3, 3, at), (259, 3, 1, 1), (262, 3, 1, 2),
        (273, 4, 1, at + 6), (277, 3, 1, 3), (278, 3, 1, height), (279, 4, 1, len(content)),
    ]  # fmt: skip
    table = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    start = b"II*\0" + struct.pack("<IH", 8, len(entries))
    path.write_bytes(start + table + bytes(4) + struct.pack("<HHH", 16, 16, 16) + content)


@pytest.mark.parametrize(("suffix", "write"), [("png", colour_png), ("tif", colour_tiff)])
def test_sixteen_bits_of_a_colour_are_not_cut_to_eight(tmp_path, suffix, write):
    path = tmp_path / f"a.{suffix}"
    write(path, np.full((4, 5, 3), 300, np.uint16))
    with image.open(path) as file:
        assert (file.mode, file.size) == ("RGB", (5, 4))  # as pillow reads it
    with pytest.raises(ValueError, match=f"a.{suffix} .* has 16 bits a channel, of which pillow"):
        read_picture(path)


def test_images_of_eight_and_of_sixteen_bits_are_not_stacked(tmp_path):
    save(tmp_path / "w" / "a.png", pixels(0))
    save(tmp_path / "w" / "b.png", pixels(0, kind=np.uint16))
    with pytest.raises(ValueError, match="a has pixels of type uint8, and b of uint16"):
        de.read(f"{tmp_path}/{{well}}/*.png")


def test_pages_that_grow_too_large_are_refused_before_they_are_read(tmp_path, monkeypatch):
    flat = [np.zeros((400, 400), np.uint8)] * 8
    first, *rest = map(image.fromarray, flat)
    path = tmp_path / "a.tif"
    first.save(path, save_all=True, append_images=rest, compression="tiff_deflate")
    assert read_picture(path).shape == (8, 400, 400)
    monkeypatch.setattr("distembed.data.readers.bounds._SIZE", 400 * 400 * 6)
    monkeypatch.setattr("distembed.data.readers.bounds._RATIO", 20)
    with pytest.raises(ValueError, match="a.tif has .* bytes, and its pages would take"):
        read_picture(path)


def test_a_box_of_a_name_that_two_images_have_is_refused(tmp_path):
    for well in ("A1", "B1"):
        save(tmp_path / well / "c.png", pixels(0, (8, 9)))
    source = f"{tmp_path}/{{well}}/*.png"
    table = boxes(tmp_path / "b.csv", ["c.png,0,0,3,2,1", "c.png,0,0,3,2,2"])
    with pytest.raises(ValueError, match=r"names 'c.png', which 2 images have, such as"):
        de.read(source, boxes=table, min_size=1)
    table = boxes(tmp_path / "b.csv", ["A1/c,0,0,3,2,1", "B1/c,0,0,3,2,2"])
    assert de.read(source, boxes=table, min_size=1).ids.tolist() == ["A1", "B1"]


def test_a_column_of_boxes_that_contradicts_the_name_of_a_file_is_refused(tmp_path):
    for well in ("A1", "B1"):
        save(tmp_path / f"{well}.png", pixels(0, (8, 9)))
    source, head = f"{tmp_path}/{{well}}.png", "file,left,top,right,bottom,well"
    rows = ["A1,0,0,3,2,A1", "B1,0,0,3,2,B1"]
    table = boxes(tmp_path / "b.csv", rows, head)
    assert de.read(source, boxes=table, min_size=1).ids.tolist() == ["A1", "B1"]
    table = boxes(tmp_path / "b.csv", [rows[0], "B1,0,0,3,2,A1"], head)
    with pytest.raises(ValueError, match="does not have, such as 'B1' of well 'A1'"):
        de.read(source, boxes=table, min_size=1)
