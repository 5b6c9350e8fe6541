"""Kernels: weights against the definition on all pairs, boundaries, and what is refused."""

import logging

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distembed.data.observations import Observations
from distembed.sets.anchors import coordinates_of, grid_anchors
from distembed.sets.kernel import Kernel, by_kernel

KERNEL_NAMES = ("gaussian", "epanechnikov", "box")


def tissue(rows=60, seed=0):
    rng = np.random.default_rng(seed)
    columns = {"x": rng.uniform(0, 10, rows), "y": rng.uniform(0, 10, rows)}
    columns |= {"section": np.where(rng.random(rows) < 0.5, "s1", "s2"), "v": rng.random(rows)}
    return Observations(np.arange(float(rows))[:, None], columns)


def measures(sets):
    """Return the weight of every row in every set, `(S, R)`."""
    out = np.zeros((len(sets), sets.observations.rows))
    for s in range(len(sets)):
        batch = sets.batch([s])
        out[s, batch.x.flatten().numpy().astype(int)] = batch.w.numpy()
    return out


def direct(obs, places, kernel, weights=None, section=None):
    at = np.stack([obs.columns["x"], obs.columns["y"]], 1)
    d = np.linalg.norm(places[:, None] - at, axis=-1)
    q = (d / kernel.scale) ** 2
    w = {"gaussian": np.exp(-q / 2), "epanechnikov": (1 - q).clip(0), "box": 1.0 * (q <= 1)}
    w = np.where(d <= kernel.reach(2), w[kernel.name], 0)
    w = w if weights is None else w * weights
    if section is not None:
        w = w * (section[:, None] == obs.columns["section"])
    return w / w.sum(1, keepdims=True)


@given(st.sampled_from(KERNEL_NAMES), st.integers(0, 100), st.booleans(), st.booleans())
def test_weights_are_the_kernel_of_all_pairs(name, seed, weighted, bounded):
    obs, kernel = tissue(seed=seed), Kernel(name, 4.0)
    rng = np.random.default_rng(seed)
    places = rng.uniform(2, 8, (5, 2))
    section = rng.choice(["s1", "s2"], 5) if bounded else None
    anchors = places
    if bounded:
        anchors = {"x": places[:, 0], "y": places[:, 1], "section": section, "stage": np.arange(5)}
    sets = by_kernel(
        obs, ["x", "y"], anchors, kernel, min_size=1,
        within="section" if bounded else None, weights="v" if weighted else None,
    )  # fmt: skip
    expected = direct(obs, places, kernel, obs.columns["v"] if weighted else None, section)
    np.testing.assert_allclose(measures(sets), expected, atol=1e-6)
    np.testing.assert_allclose(sets.meta["x"], places[:, 0])
    if bounded:
        assert sets.meta["stage"].tolist() == list(range(5))


def test_the_nearest_atoms_have_equal_weights_within_their_section():
    obs = tissue()
    anchors = {"x": [5.0], "y": [5.0], "section": ["s1"], "id": ["middle"]}
    sets = by_kernel(obs, ["x", "y"], anchors, Kernel("nearest", 4), within="section")
    at = np.stack([obs.columns["x"], obs.columns["y"]], 1)
    d = np.linalg.norm(at - 5, axis=1) + np.where(obs.columns["section"] == "s1", 0, np.inf)
    assert sorted(sets.rows.tolist()) == sorted(np.argsort(d)[:4].tolist())
    assert not sets.weighted
    assert sets.ids.tolist() == ["middle"]


def test_a_cut_gaussian_keeps_the_stated_mass_of_a_uniform_density():
    rng = np.random.default_rng(0)
    for dimensions in (1, 2, 3):
        d = np.linalg.norm(rng.normal(size=(200_000, dimensions)), axis=1)
        share = (d <= Kernel("gaussian", 1.0, 0.9).reach(dimensions)).mean()
        assert abs(share - 0.9) < 5 * np.sqrt(0.9 * 0.1 / 200_000)


def test_anchors_drawn_among_atoms_are_near_themselves():
    obs = tissue()
    sets = by_kernel(obs, ["x", "y"], 10, Kernel("gaussian", 3.0), within="section", rng=1)
    again = by_kernel(obs, ["x", "y"], 10, Kernel("gaussian", 3.0), within="section", rng=1)
    assert sets.ids.tolist() == again.ids.tolist()
    weights = measures(sets)
    for s, row in enumerate(sets.ids.astype(int)):
        assert weights[s].argmax() == row
        assert sets.meta["section"][s] == obs.columns["section"][row]


def test_dates_are_coordinates_in_days():
    days = np.datetime64("2024-01-01") + np.arange(10)
    obs = Observations(np.arange(10.0)[:, None], {"date": days})
    anchors = {"date": np.array(["2024-01-05"], "datetime64[D]")}
    sets = by_kernel(obs, ["date"], anchors, Kernel("box", 2.0))
    assert sets.rows.tolist() == [2, 3, 4, 5, 6]


def test_a_grid_has_the_cells_with_atoms():
    places = np.random.default_rng(0).uniform(-3, 3, (50, 2))
    grid = grid_anchors(places, 1.5)
    near = np.abs(places[:, None] - grid).max(-1)
    assert (near.min(1) <= 0.75 + 1e-12).all()
    assert (near.min(0) <= 0.75 + 1e-12).all()
    assert len(np.unique(grid, axis=0)) == len(grid)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"coordinates": ["x", "z"]}, "no column 'z'"),
        ({"coordinates": []}, "coordinates is empty"),
        ({"coordinates": ["section"]}, "are <U2; they are numbers or dates"),
        ({"kernel": Kernel("gaussian", 1e3)}, "beyond the range of the atoms"),
        ({"kernel": Kernel("box", 1e-9)}, "below the spacing of the atoms"),
        ({"kernel": Kernel("nearest", 1000)}, "there are not as many"),
        ({"anchors": [[1.0, 2.0, 3.0]]}, r"shape \(1, 3\)"),
        ({"anchors": 1000}, "at least one and at most all"),
        ({"anchors": {"x": [1.0]}}, "no column of the anchors 'y'"),
        ({"within": "section"}, "Anchors at bare coordinates have no 'section'"),
        ({"anchors": [[1e3, 1e3]]}, "anchors and atoms have other units"),
    ],
)
def test_what_cannot_be_a_set_is_refused(changes, message):
    arguments = {"coordinates": ["x", "y"], "anchors": [[5.0, 5.0]], "kernel": Kernel("box", 2.0)}
    with pytest.raises(ValueError, match=message):
        by_kernel(tissue(), **(arguments | changes))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "cube"}, "no kernel 'cube'"),
        ({"scale": 0.0}, "positive scale"),
        ({"scale": np.nan}, "positive scale"),
        ({"name": "nearest", "scale": 2.5}, "is whole"),
        ({"mass": 1.0}, "between 0 and 1"),
    ],
)
def test_kernels_that_are_none(options, message):
    with pytest.raises(ValueError, match=message):
        Kernel(**options)


def test_a_missing_place_is_named():
    obs = tissue()
    obs.columns["x"][7] = np.nan
    with pytest.raises(ValueError, match="no coordinate in row 7"):
        by_kernel(obs, ["x", "y"], 3, Kernel())


@pytest.mark.parametrize("unit", ["D", "h", "s", "ns"])
def test_a_missing_date_is_named(unit):
    days = (np.datetime64("2024-01-01") + np.arange(10)).astype(f"datetime64[{unit}]")
    days[3] = "NaT"
    with pytest.raises(ValueError, match="no coordinate in row 3"):
        by_kernel(Observations(np.zeros((10, 1)), {"day": days}), ["day"], 2, Kernel("box", 2.0))


@given(st.integers(-700_000, 700_000), st.sampled_from(["D", "h", "s", "us"]))
def test_dates_of_any_century_are_days(day, unit):
    date = np.datetime64(day, "D").astype(f"datetime64[{unit}]")
    assert coordinates_of({"day": np.array([date])}, ["day"]).tolist() == [[day]]


@pytest.mark.parametrize("section", [[1.0, 2.0], [1, 2], ["1", "2"], np.array([1, 2], object)])
def test_labels_of_anchors_are_read_as_those_of_atoms(section):
    obs = tissue()
    columns = dict(obs.columns) | {"section": np.where(obs.columns["section"] == "s1", 1.0, 2.0)}
    obs = Observations(obs.x, columns)
    anchors = {"x": [5.0, 5.0], "y": [5.0, 5.0], "section": section, "id": [7.0, 8.0]}
    sets = by_kernel(obs, ["x", "y"], anchors, Kernel("box", 4.0), within="section")
    assert sets.ids.tolist() == ["7", "8"]
    assert sets.meta["section"].tolist() == ["1", "2"]
    for s, value in enumerate((1.0, 2.0)):
        rows = sets.rows[sets.offsets[s] : sets.offsets[s + 1]]
        assert set(columns["section"][rows]) == {value}


def test_a_part_of_an_anchor_that_has_no_atoms_is_named():
    anchors = {"x": [5.0], "y": [5.0], "section": ["s3"]}
    with pytest.raises(ValueError, match="no section of atoms 's3'; close names are: 's2', 's1'"):
        by_kernel(tissue(), ["x", "y"], anchors, Kernel("box", 4.0), within="section")


def test_a_number_of_anchors_may_be_of_numpy():
    assert len(by_kernel(tissue(), ["x", "y"], np.int64(5), Kernel("box", 4.0))) == 5


def test_parts_with_fewer_atoms_than_the_nearest_are_counted(caplog):
    obs = tissue()
    anchors = {"x": [5.0, 5.0, 6.0], "y": [5.0, 5.0, 6.0], "section": ["s1", "s2", "s2"]}
    sizes = dict(zip(*np.unique(obs.columns["section"], return_counts=True), strict=True))
    assert sizes["s1"] != sizes["s2"]
    k = max(sizes.values())
    with caplog.at_level(logging.WARNING, "distembed"):
        sets = by_kernel(obs, ["x", "y"], anchors, Kernel("nearest", k), within="section")
    small = min(sizes, key=sizes.get)
    count = anchors["section"].count(small)
    assert caplog.messages == [
        f"{count} sets have {sizes[small]} atoms, not the {k} nearest: there are no more where "
        "they are"
    ]
    assert sets.sizes.tolist() == [sizes[s] for s in anchors["section"]]


def test_anchors_are_a_frame_of_any_library():
    """A frame of polars yields columns, and not their names, where one of pandas yields names."""

    class Frame:
        columns = ("x", "y", "id")

        def __iter__(self):
            return iter([[5.0], [5.0], ["middle"]])

        def __getitem__(self, name):
            return {"x": [5.0], "y": [5.0], "id": ["middle"]}[name]

    sets = by_kernel(tissue(), ["x", "y"], Frame(), Kernel("box", 4.0))
    assert sets.ids.tolist() == ["middle"]


def test_an_anchor_without_an_atom_in_reach_is_refused_by_name():
    atoms = Observations(np.arange(6.0)[:, None], {"t": np.arange(6.0)})
    table = {"t": [1.0, 90.0, 2.0, 95.0], "id": ["a", "far", "b", "further"]}
    with pytest.raises(
        ValueError, match=r"2 of 4 anchors have no atom within reach: far, fur.*'n"
    ):
        by_kernel(atoms, ["t"], table, Kernel("box", 1.5))
    assert len(by_kernel(atoms, ["t"], table, Kernel("nearest", 2))) == 4
