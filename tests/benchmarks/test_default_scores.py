"""The default fit is judged in the units of the data, on what readers return."""

import logging
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from distembed.batch import SetBatch
from distembed.benchmarks.bench import missing_data
from distembed.benchmarks.default_data import FAMILIES, READERS, Sizes, family, folder
from distembed.benchmarks.defaults import InDataUnits
from distembed.data.transforms.standardise import Standardise
from distembed.model.gde import GDE
from distembed.sets.collection import Sets

SETTINGS = {"steps": 1, "warmup": 0, "metric_steps": 0, "progress": False, "threads": 1}
SIZES = Sizes(train_sets=12, test_sets=5, atoms=10, parts=4)


def test_references_do_not_depend_on_the_model(cells):
    values = cells("defaults")
    tasks = {task for task, _, _ in values}
    assert tasks == {"counts: 24 + 6 sets of 20 to 20 atoms, counts of 10"}
    task = tasks.pop()
    for name in ("gde", "untrained", "mean_cov", "pooled", "floor"):
        assert (task, name, "energy_unbiased") in values
    assert values[task, "pooled", "energy_unbiased"] > values[task, "floor", "energy_unbiased"]
    assert 0 <= values[task, "gde", "outside"] <= 1


def test_draws_are_judged_in_the_units_of_the_data():
    rng = np.random.default_rng(0)
    x = rng.normal(3, 1, (30, 20, 1)) * np.array([1.0, 100.0])
    sets = Sets.from_batch(SetBatch.from_dense(torch.from_numpy(np.abs(x))))
    model = GDE(latent=8, transform=["log1p", "standardise"]).fit(sets, **SETTINGS)
    scale = Standardise().fit(sets.batch(range(30)).x, torch.ones(600))
    table = model.embed(sets)
    drawn = InDataUnits(model, scale).sample(table.z, 7, 0, table.effective_sizes)
    expected = scale(torch.from_numpy(model.sample(table, 7, 0))).numpy()
    assert np.array_equal(drawn, expected)


@pytest.mark.parametrize("name", FAMILIES)
def test_families_have_other_sets_held_out(name):
    data = family(name, SIZES, 0)
    assert (len(data.train), len(data.test)) == (12, 5)
    first = data.train.batch([0]).x, data.test.batch([0]).x
    assert not first[0].equal(first[1])
    assert data.name.startswith(f"{name}: 12 + 5 sets of 10 to 10 atoms")


@pytest.mark.parametrize("name", ["musk1", "congress_ages", "flow_dapg", "methylation_epiclass"])
def test_folders_are_divided_by_sets_or_groups(name, caplog):
    if reason := missing_data(name):
        pytest.skip(reason)
    with caplog.at_level(logging.ERROR):
        data = folder(name, SIZES, 0)
    assert len(data.train) == 12
    assert not {*data.train.ids} & {*data.test.ids}
    if group := READERS[name].group:
        assert not {*data.train.meta[group]} & {*data.test.meta[group]}


def test_every_folder_of_the_bench_is_described_in_the_data():
    if not (root := os.environ.get("DISTEMBED_DATA")):
        pytest.skip("DISTEMBED_DATA is unset")
    text = (Path(root) / "README.md").read_text()
    assert all(f"`{reader.folder}`" in text for reader in READERS.values())
