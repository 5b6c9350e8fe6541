"""The recipe of sets: every verb writes its own, which a stored model keeps and shows."""

import numpy as np
import pytest

import distembed as de
from distembed.sets.noisy import InversionSettings
from distembed.sets.recipe import recipe_of


@pytest.fixture(scope="module")
def atoms():
    rng = np.random.default_rng(0)
    table = {
        "x": rng.uniform(0, 9, 120), "day": np.arange(120), "m": rng.normal(size=120),
        "donor": np.repeat(list("abcdef"), 20), "tile": np.tile(np.repeat(list("12"), 10), 6),
    }  # fmt: skip
    return de.read_atoms(table, columns="m", labels=["donor", "tile"])


def test_every_verb_writes_its_arguments(atoms):
    kernel = de.Kernel("box", 2.0)
    confusion = {s: {o: 0.9 if s == o else 0.02 for o in "abcdef"} for s in "abcdef"}
    sets = {
        "by_kernel(coordinates=['x'], anchors=5, kernel=Kernel(name='box', scale=2.0, mass=0.999),"
        " within='donor', min_size=2)": de.by_kernel(atoms, ["x"], 5, kernel, within="donor"),
        "by_kernel(coordinates=['x'], anchors=a table of 2 rows, kernel=Kernel(name='box', "
        "scale=2.0, mass=0.999), min_size=2)": de.by_kernel(
            atoms, ["x"], {"x": [2.0, 7.0]}, kernel
        ),
        "by_window(along='day', width=30, stride=15, min_size=2)": de.by_window(
            atoms, "day", width=30, stride=15
        ),
        "by_label(by=['donor', 'tile'], min_size=2)": de.hierarchy(atoms, ["donor", "tile"])[
            "tile"
        ],
        "by_noisy_label(by='donor', confusion=a table of 6 rows, min_size=2)": de.by_noisy_label(
            atoms, "donor", confusion, settings=InversionSettings(8, (0.1,))
        ),
    }
    share = np.random.default_rng(0).uniform(size=120)
    graded = de.read_atoms({"a": share, "b": 1 - share, "m": share}, columns="m", keep=["a", "b"])
    sets |= {
        "by_noisy_label(by=['a', 'b'], prior=a table of 2 rows, min_size=2)": de.by_noisy_label(
            graded, ["a", "b"], prior={"a": 0.5, "b": 0.5}
        )
    }
    for recipe, made in sets.items():
        assert made.recipe == recipe
        assert made.select([0]).recipe == recipe


def test_mixtures_name_what_they_are_of(atoms):
    donors = de.hierarchy(atoms, ["donor", "tile"])["donor"]
    mixed = de.mixtures(donors, 4, 2, size=(4, 8))
    assert mixed.recipe == (
        "mixtures(n=4, k=2, alpha=1.0, size=(4, 8)) of by_label(by=['donor'], min_size=2)"
    )


def test_data_are_counted_and_not_written():
    assert (
        recipe_of("f", {"a": np.zeros((3, 2)), "b": [[1.0], [2.0]]}) == "f(a=3 given, b=2 given)"
    )


def test_a_model_keeps_and_shows_it(atoms, tmp_path):
    sets = de.by_window(atoms, "day", width=20, stride=20)
    model = de.GDE(encoder="moments", generator="explicit", latent=4).fit(
        sets, steps=1, metric_steps=0, validation=0.0, progress=False
    )
    again = de.load(model.save(tmp_path / "model"))
    assert again._state.recipe == sets.recipe
    card = (tmp_path / "model" / "README.md").read_text()
    assert "| sets | by_window(along='day', width=20, stride=20, min_size=2) |" in card
    plain = de.GDE(encoder="moments", generator="explicit", latent=4).fit(
        sets.batch(range(len(sets))), steps=1, metric_steps=0, validation=0.0, progress=False
    )
    assert "| sets |" not in str(plain.card())
