"""Tables of polars and of Hugging Face `datasets` are read as a dict of their columns is."""

import numpy as np
import pytest

import distembed as de

RNG = np.random.default_rng(0)
COLUMNS = {
    "who": np.repeat(["a", "b", "c"], 4).tolist(),
    "u": RNG.normal(size=12).tolist(),
    "v": RNG.normal(size=12).tolist(),
    "group": np.repeat([1, 2, 3], 4).tolist(),
}


def hugging(columns=None):
    return pytest.importorskip("datasets").Dataset.from_dict(columns or COLUMNS)


def frame(columns=None):
    return pytest.importorskip("polars").DataFrame(columns or COLUMNS)


def same(sets, expected):
    assert sets.ids.tolist() == expected.ids.tolist()
    assert sets.features == expected.features
    assert sets.meta["group"].tolist() == expected.meta["group"].tolist()
    for i in range(len(expected)):
        np.testing.assert_array_equal(sets.batch([i]).x, expected.batch([i]).x)


@pytest.fixture(scope="module")
def expected():
    return de.read(COLUMNS, by="who", meta="group")


@pytest.mark.parametrize("make", [hugging, frame])
def test_columns_are_read(make, expected):
    same(de.read(make(), by="who", meta="group"), expected)


@pytest.mark.parametrize("form", ["torch", "numpy", "pandas"])
def test_the_format_of_a_dataset_does_not_matter(form, expected):
    if form == "pandas":
        pytest.importorskip("pandas")
    same(de.read(hugging().with_format(form), by="who", meta="group"), expected)


def test_rows_that_were_left_out_of_a_dataset_are_not_read():
    rows = [i for i, name in enumerate(COLUMNS["who"]) if name != "b"]
    sets = de.read(hugging().select(rows), by="who", columns=["u"])
    assert sets.ids.tolist() == ["a", "c"]
    np.testing.assert_allclose(sets.batch([1]).x[:, 0], COLUMNS["u"][8:], rtol=1e-6)


def test_class_labels_have_their_names(expected):
    datasets = pytest.importorskip("datasets")
    codes = {"a": 1, "b": 0, "c": 2}
    features = datasets.Features(
        {
            "who": datasets.ClassLabel(names=["b", "a", "c"]),
            "u": datasets.Value("float64"),
            "v": datasets.Value("float64"),
            "group": datasets.Value("int64"),
        }
    )
    coded = COLUMNS | {"who": [codes[name] for name in COLUMNS["who"]]}
    same(
        de.read(datasets.Dataset.from_dict(coded, features=features), by="who", meta="group"),
        expected,
    )


def test_strings_of_a_dataset_are_sequences():
    columns = {"who": ["a", "a", "b", "b"], "sequence": ["ACGT", "AC", "GGT", "T"]}
    sets = de.read(hugging(columns), by="who", sequence="sequence")
    assert sets.atoms.name == "tokens"
    assert sets.batch([1]).x.tolist() == [[3, 3, 4, 0], [4, 0, 0, 0]]


@pytest.mark.parametrize("make", [hugging, frame])
def test_lists_in_rows_are_refused_with_the_fix(make):
    lists = {"who": COLUMNS["who"], "x": [[1.0, 2.0]] * 12}
    with pytest.raises(ValueError, match="give one column for each of its numbers"):
        de.read(make(lists), by="who")


@pytest.mark.parametrize("make", [hugging, frame])
def test_missing_numbers_are_refused_or_kept_as_missing(make):
    holes = COLUMNS | {"u": [None if i == 3 else v for i, v in enumerate(COLUMNS["u"])]}
    with pytest.raises(ValueError, match="missing='mask'"):
        de.read(make(holes), by="who", columns=["u", "v"])
    sets = de.read(make(holes), by="who", columns=["u", "v"], missing="mask")
    observed = sets.batch([0]).observed
    assert observed.sum().item() == 7
    assert not observed[3, 0]


def test_a_dataset_needs_labels():
    with pytest.raises(ValueError, match="by"):
        de.read(hugging())


def test_splits_are_refused_with_the_fix():
    datasets = pytest.importorskip("datasets")
    with pytest.raises(TypeError, match=r"splits \(train, test\).*source\['train'\]"):
        de.read(datasets.DatasetDict({"train": hugging(), "test": hugging()}), by="who")


def test_a_stream_is_refused_with_the_fix():
    with pytest.raises(TypeError, match="without streaming=True"):
        de.read(hugging().to_iterable_dataset(), by="who")


def test_a_lazy_frame_is_refused_with_the_fix():
    with pytest.raises(TypeError, match=r"source\.collect\(\)"):
        de.read(frame().lazy(), by="who")
