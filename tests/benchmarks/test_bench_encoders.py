"""The bench of encoders, in a size that a test can run."""

import json

import numpy as np
import pytest

from distembed.benchmarks import encoders
from distembed.benchmarks.encoders import GRID, TASKS, Arm
from distembed.benchmarks.table import tabulate
from distembed.benchmarks.timed import Timed
from distembed.data.synthetic.gaussians import Gaussians
from distembed.encoders import ENCODERS
from distembed.evaluation import BASELINES
from distembed.generators import GENERATORS
from distembed.model.gde import GDE

SMALL = (Arm("deepsets", "deepsets"), Arm("plain", "deepsets", {"projection": False}),
         Arm("kernel", "kernel"))  # fmt: skip


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    settings = {"steps": 3, "every": 3, "batch": 4, "target": 4}
    monkeypatch.setattr(encoders, "CONFIG", encoders.CONFIG.model_copy(update=settings))
    monkeypatch.setattr(encoders, "TRAIN_SETS", 30)
    monkeypatch.setattr(encoders, "LATENT", 8)
    monkeypatch.setattr(encoders, "GRID", SMALL)
    tasks = {
        name: encoders.Task(task.prior, 8, 20, task.left_out, 30) for name, task in TASKS.items()
    }
    monkeypatch.setattr(encoders, "TASKS", tasks)


def run(**options):
    lines = []
    return encoders.bench(log=lines.append, **options), lines


def test_the_record(tiny):
    result, lines = run(seeds=2, tasks=["ladder_b", "ladder_c"])
    assert result["bench"] == "encoders"
    assert result["config"]["gde"] == "deepsets+flow"
    assert result["config"]["encoders"]["plain"] == {"name": "deepsets", "projection": False}
    assert result["config"]["train_sets"] == 30
    values = {(r["task"], r["method"], r["metric"]): r for r in result["rows"]}
    assert len(values) == len(result["rows"])
    for row in result["rows"]:
        assert np.isfinite(row["value"]), row
        assert row["seeds"] == 2
        assert row["low"] <= row["value"] <= row["high"]
        assert (row["seconds"] is not None) == (row["method"] == "gde")

    def methods(task, metric):
        return {m for t, m, k in values if (t, k) == (task, metric)}

    flow, diffusion = {"gde", "plain+flow"}, {"deepsets+diffusion", "plain+diffusion"}
    beside = {"untrained", *BASELINES}
    assert methods("ladder_b", "spearman_w2") == flow | {"kernel"} | beside
    assert methods("ladder_b", "spearman_w2_minus_bures") == flow | {"kernel"}
    assert methods("ladder_b", "ms_per_step") == flow
    assert not methods("ladder_b", "spearman_w2_equal_seconds")
    assert methods("ladder_c", "spearman_w2") == flow | diffusion | {"kernel", "floor"} | beside
    assert methods("ladder_c", "spearman_w2_equal_seconds") == flow | diffusion | {"kernel"}
    assert not methods("ladder_c", "spearman_w2_minus_bures")
    for method in ("gde", "kernel"):
        equal = values["ladder_c", method, "spearman_w2_equal_seconds"]["value"]
        assert equal == values["ladder_c", method, "spearman_w2"]["value"]
    gap = values["ladder_b", "kernel", "spearman_w2_minus_bures"]["value"]
    level, bures = (values["ladder_b", m, "spearman_w2"]["value"] for m in ("kernel", "bures"))
    assert gap == pytest.approx(level - bures)
    assert any("agree to" in line for line in lines)
    json.dumps(result, allow_nan=False)
    table = tabulate([result]).splitlines()
    assert "| gde |" in "\n".join(table)


def test_the_seconds_of_the_default_are_the_budget(tiny, monkeypatch):
    """An encoder twice as slow has half the steps."""
    seen, pace = [], {"deepsets": 2.0, "plain": 4.0, "kernel": 9.0}
    fit = encoders._fit

    def timed(arm, generator, train, config, steps):
        seen.append((arm.label, generator, steps))
        return Timed(fit(arm, generator, train, config, 1).model, pace[arm.label], steps)

    monkeypatch.setattr(encoders, "_fit", timed)
    monkeypatch.setattr(
        encoders, "CONFIG", encoders.CONFIG.model_copy(update={"steps": 10, "every": 10})
    )
    run(seeds=1, tasks=["ladder_c"])
    assert seen == [
        ("deepsets", "flow", 10),
        ("deepsets", "diffusion", 10),
        ("deepsets", "diffusion", 10),
        ("plain", "flow", 10),
        ("plain", "flow", 5),
        ("plain", "diffusion", 10),
        ("plain", "diffusion", 5),
        ("kernel", "flow", 1),
    ]


def test_score_is_what_a_pilot_needs(tiny):
    train = encoders.training_sets("ladder_a", 0, 30)
    assert train.sizes.tolist() == [20] * 30
    assert np.array_equal(train.batch([3]).x, train.batch([3]).x)
    assert not np.array_equal(
        train.batch([3]).x, encoders.training_sets("ladder_a", 1).batch([3]).x
    )
    model = GDE(latent=8).fit(train, steps=2, progress=False)
    found = encoders.score(model, "ladder_a", 0)
    assert {method for method, _ in found} == {"gde", "untrained", *BASELINES}
    assert found == encoders.score(model, "ladder_a", 0)
    other = encoders.score(model, "ladder_a", 1)
    assert other["bures", "spearman_w2"] != found["bures", "spearman_w2"]
    gap = found["gde", "spearman_w2"] - found["bures", "spearman_w2"]
    assert found["gde", "spearman_w2_minus_bures"] == pytest.approx(gap)


def test_an_unknown_task_is_refused():
    with pytest.raises(ValueError, match=r"no task 'ladder_z'; there are: ladder_a, "):
        run(tasks=["ladder_z"])


def test_the_grid_is_every_encoder_and_starts_with_the_default():
    assert {arm.encoder for arm in GRID} == set(ENCODERS) - {"composed"}  # of other members
    assert set(encoders.GENERATORS) <= set(GENERATORS)
    default = GDE()
    assert (GRID[0].encoder, encoders.GENERATORS[0]) == (
        default.spec.encoder, default.spec.generator,
    )  # fmt: skip
    assert not GRID[0].options
    assert default.latent == encoders.LATENT
    assert len({arm.label for arm in GRID}) == len(GRID)
    for arm in GRID:
        GDE({"name": arm.encoder, **arm.options}).spec.resolved(Gaussians.prior(3, 5, 10)).build(
            (5,), 0
        )


def test_the_tasks_are_those_of_the_ladder():
    assert set(TASKS) == {"ladder_a", "ladder_b", "ladder_c", "gaussian_2d"}
    for name, task in TASKS.items():
        sets = task.prior(3, task.points, 0)
        ladder = name.startswith("ladder")
        assert (task.sets, task.points, sets.event_shape) == (
            (100, 64, (5,)) if ladder else (400, 500, (2,))
        )
        assert task.truth == 800
