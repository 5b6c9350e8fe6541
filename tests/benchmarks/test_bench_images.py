"""The bench of images, in a size that a test can run."""

import json

import numpy as np
import pytest

from distembed.benchmarks import images
from distembed.benchmarks.images import ARMS, TASKS
from distembed.benchmarks.table import tabulate

pytestmark = pytest.mark.filterwarnings("ignore:The generator:UserWarning")


@pytest.fixture
def tiny(monkeypatch):
    settings = {"steps": 2, "every": 2, "batch": 2, "target": 4, "context": (8, 16)}
    monkeypatch.setattr(images, "CONFIG", images.CONFIG.model_copy(update=settings))
    monkeypatch.setattr(images, "ARMS", (ARMS[0], ARMS[1]))


def test_the_record(tiny, tmp_path, monkeypatch):
    pytest.importorskip("sklearn")
    pytest.importorskip("matplotlib")
    digits = TASKS["digits"].sets

    def few(seed):
        train, test = digits(seed)
        return train.select(range(30)), test.select(range(3))

    monkeypatch.setattr(images, "TASKS", {"digits": images.Task(few)})
    result = images.bench(seeds=1, plots=tmp_path / "new", log=lambda _: None)
    cells = {(r["method"], r["metric"]): r["value"] for r in result["rows"]}
    assert all(np.isfinite(value) for value in cells.values())
    assert {m for m, _ in cells} == {
        "gde", "flow_unet", "untrained", "floor", "random_set", "mean_image"
    }  # fmt: skip
    # real images of the set itself are closest, and one image for all is told apart at once
    for metric in ("energy", "sliced_w2", "energy_pca", "sliced_w2_pca"):
        assert cells["floor", metric] == min(v for (_, k), v in cells.items() if k == metric)
    assert cells["mean_image", "c2st"] > 0.95
    assert 0.3 < cells["floor", "c2st"] < 0.7
    assert (tmp_path / "new" / "images_digits.png").stat().st_size > 1000
    json.dumps(result, allow_nan=False)
    assert "| flow_unet |" in tabulate([result])


def test_cells_without_data_say_what_to_set(monkeypatch):
    monkeypatch.delenv("DISTEMBED_DATA", raising=False)
    with pytest.raises(ValueError, match="DISTEMBED_DATA is unset"):
        images.bench(tasks=["cells"], log=print)


def test_cells_are_split_by_well(data_dir, monkeypatch):
    monkeypatch.setenv("DISTEMBED_DATA", str(data_dir))
    train, test = TASKS["cells"].sets(0)
    assert train.event_shape == (2, 32, 32)
    assert (len(train), len(test)) == (54, 18)
    assert not set(train.ids) & set(test.ids)
