"""IDX files: a miniature of MNIST is read, and what is damaged is refused."""

import gzip
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import distembed as de
from distembed.data.readers.idx import read_idx

CODES = {"u1": 0x08, "i1": 0x09, ">i2": 0x0B, ">i4": 0x0C, ">f4": 0x0D, ">f8": 0x0E}


def written(x, dtype="u1"):
    """The bytes of an IDX file, by its specification."""
    header = bytes([0, 0, CODES[dtype], x.ndim]) + struct.pack(f">{x.ndim}I", *x.shape)
    return header + x.astype(dtype).tobytes()


@pytest.fixture(params=["train-images-idx3-ubyte.gz", "train-images.idx3-ubyte"])
def images(request, tmp_path):
    """Return twelve images of 4 x 3 pixels with the labels 0, 1, 2, 0, ..., and their path."""
    x = np.random.default_rng(0).integers(0, 256, (12, 4, 3))
    path = tmp_path / request.param
    labels = tmp_path / request.param.replace("images", "labels").replace("idx3", "idx1")
    for file, array in ((path, x), (labels, np.arange(12) % 3)):
        opening = gzip.open if file.suffix == ".gz" else open
        with opening(file, "wb") as stream:
            stream.write(written(array))
    return path, x


def test_a_miniature_of_mnist(images):
    path, x = images
    sets = de.read(path)
    assert sets.ids.tolist() == ["0", "1", "2"]
    assert sets.atoms.name == "images"
    assert (sets.atoms.low, sets.atoms.high) == (0, 255)
    np.testing.assert_array_equal(sets.batch([1]).x.numpy(), x[1::3, None])


@given(
    arrays.arrays(
        np.int64, arrays.array_shapes(max_dims=4, max_side=4), elements=st.integers(0, 99)
    ),
    st.sampled_from(sorted(CODES)),
    st.booleans(),
)
def test_every_type_and_shape_comes_back(tmp_path_factory, x, dtype, packed):
    path = tmp_path_factory.mktemp("idx") / ("x.gz" if packed else "x")
    content = written(x, dtype)
    path.write_bytes(gzip.compress(content) if packed else content)
    read = read_idx(path)
    assert read.dtype == np.dtype(dtype).newbyteorder("=")
    np.testing.assert_array_equal(read, x)


def test_what_is_damaged_is_refused(tmp_path):
    content = written(np.arange(6).reshape(2, 3))
    damaged = {
        "two zero bytes": b"\x89PNG" + content[4:],
        "ends in its header": content[:9],
        "6 bytes of numbers, and holds 4 bytes": content[:-2],
        "holds more": content + b"0",
    }
    for reason, changed in damaged.items():
        path = tmp_path / "x"
        path.write_bytes(changed)
        with pytest.raises(ValueError, match=reason):
            read_idx(path)
    packed = tmp_path / "x.gz"
    packed.write_bytes(gzip.compress(content)[:-9])
    with pytest.raises(ValueError, match="damaged, cut off"):
        read_idx(packed)
    packed.write_bytes(gzip.compress(bytes([0, 0, 8, 3]) + struct.pack(">3I", 2**31, 2**20, 9)))
    with pytest.raises(ValueError, match="its header claims"):
        read_idx(packed)
    with pytest.raises(FileNotFoundError, match="no file"):
        read_idx(tmp_path / "absent")


def test_labels_that_do_not_fit_are_named(images):
    path, _ = images
    labels = path.with_name(path.name.replace("images", "labels").replace("idx3", "idx1"))
    short = written(np.zeros(5))
    labels.write_bytes(gzip.compress(short) if labels.suffix == ".gz" else short)
    with pytest.raises(ValueError, match="12 images, and .*one label an image"):
        de.read(path)
    labels.unlink()
    with pytest.raises(FileNotFoundError, match=r"train-labels.idx1-ubyte.*no such file"):
        de.read(path)
    with pytest.raises(FileNotFoundError):
        de.read(path.with_name("absent-images-idx3-ubyte"))
