"""Scores of the bench of images, and the split of real wells."""

import pytest

from distembed.benchmarks.images import BENCH, TASKS


@pytest.mark.slow
def test_real_images_are_best(cells):
    pytest.importorskip("sklearn")
    pytest.importorskip("matplotlib")
    values = {(m, k): v for (_, m, k), v in cells("images").items()}
    assert {m for m, _ in values} == {
        "gde", "flow_unet", "untrained", "floor", "random_set", "mean_image"
    }  # fmt: skip
    for metric in ("energy_unbiased", "energy", "sliced_w2", "energy_pca", "sliced_w2_pca"):
        assert values["floor", metric] == min(v for (_, k), v in values.items() if k == metric)
    # one image for all is told apart at once
    assert values["mean_image", "c2st"] > 0.95
    assert 0.3 < values["floor", "c2st"] < 0.7


def test_cells_are_split_by_well(data_dir, monkeypatch):
    monkeypatch.setenv("DISTEMBED_DATA", str(data_dir))
    assert TASKS["cells"].missing() is None
    train, test = TASKS["cells"].data(BENCH.scales["tiny"], 0)
    assert train.event_shape == (2, 32, 32)
    assert (len(train), len(test)) == (54, 18)
    assert not set(train.ids) & set(test.ids)
