"""Which models the bench of encoders fits, and for how many steps."""

from dataclasses import replace

import pytest

from distembed.benchmarks.bench import Arm, Trial
from distembed.benchmarks.encoders import BENCH, TASKS
from distembed.benchmarks.fitting import FittedModel
from distembed.encoders import DEFAULT_ENCODERS, ENCODERS
from distembed.evaluation import BASELINES
from distembed.generators import DEFAULT_GENERATORS, GENERATORS
from distembed.model.gde import GDE
from distembed.registry import applicable, split_member

FULL = BENCH.scales["full"]


@pytest.mark.slow
def test_the_rows(cells):
    values = cells("encoders")

    def methods(task, metric):
        return {m for t, m, k in values if (t, k) == (task, metric)}

    flow, diffusion = {"gde", "gnn+flow"}, {"residual+diffusion", "gnn+diffusion"}
    references = {"untrained", *applicable(BASELINES, "vectors")}
    assert methods("ladder_b", "spearman_w2") == flow | {"kernel"} | references
    assert methods("ladder_b", "spearman_w2_minus_bures") == flow | {"kernel"}
    assert methods("ladder_b", "ms_per_step") == flow
    assert not methods("ladder_b", "spearman_w2_equal_seconds")
    every = flow | diffusion | {"kernel"}
    assert methods("ladder_c", "spearman_w2") == every | {"floor"} | references
    assert methods("ladder_c", "spearman_w2_equal_seconds") == every
    assert not methods("ladder_c", "spearman_w2_minus_bures")
    for method in ("gde", "kernel"):
        equal = values["ladder_c", method, "spearman_w2_equal_seconds"]
        assert equal == values["ladder_c", method, "spearman_w2"]
    gap = values["ladder_b", "kernel", "spearman_w2_minus_bures"]
    level, bures = (values["ladder_b", m, "spearman_w2"] for m in ("kernel", "bures"))
    assert gap == pytest.approx(level - bures)


class Paced(Trial):
    """A trial whose models have a pace of their own, and are trained for one step."""

    PACE = {"residual": 2.0, "gnn": 4.0, "kernel": 9.0}
    runs = []

    def fit(self, model, train, *, steps, context):
        parts = (model.spec.encoder, model.spec.generator)
        encoder, generator = (split_member(part, "member")[0] for part in parts)
        self.runs.append((encoder, generator, steps))
        fitted = super().fit(model, train, steps=1, context=context)
        return FittedModel(fitted.model, 1.0, self.PACE[encoder], steps)


@pytest.mark.filterwarnings("ignore:The generator:UserWarning")
@pytest.mark.filterwarnings("ignore:Embeddings hardly differ:UserWarning")
@pytest.mark.slow
def test_the_seconds_of_the_default_are_the_budget(tmp_path, monkeypatch):
    """An encoder twice as slow has half the steps."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    tiny = BENCH.scales["tiny"]
    settings = replace(tiny, training=tiny.training.changed({"steps": 10, "every": 10}))
    trial = Paced("ladder_c", TASKS["ladder_c"], settings, 0, None, len)
    list(trial.task.measure(trial))
    assert trial.runs == [
        ("residual", "flow", 10),
        ("residual", "diffusion", 10),
        ("residual", "diffusion", 10),
        ("gnn", "flow", 10),
        ("gnn", "flow", 5),
        ("gnn", "diffusion", 10),
        ("gnn", "diffusion", 5),
        ("kernel", "flow", 1),
    ]


def test_training_sets_keep_their_atoms():
    train, truth = TASKS["ladder_a"].data(BENCH.scales["tiny"], 0)
    assert train.sizes.tolist() == [20] * 30
    assert (train.batch([3]).x == train.batch([3]).x).all()
    other, unlike = TASKS["ladder_a"].data(BENCH.scales["tiny"], 1)
    assert (train.batch([3]).x != other.batch([3]).x).any()
    assert (truth.batch.x != unlike.batch.x).any()


def test_the_arms_are_every_encoder_and_start_with_the_default():
    members = {split_member(arm.encoder, "encoder")[0] for arm in FULL.arms}
    # no baseline of vectors: moments of images, whose remainder adds to distances
    others = {"composed", "orthogonal_moments"}
    assert members | {"attention", "induced"} == set(applicable(ENCODERS, "vectors")) - others
    assert set(FULL.generators) <= set(GENERATORS)
    assert FULL.arms[0].encoder == DEFAULT_ENCODERS["vectors"]
    assert FULL.generators[0] == DEFAULT_GENERATORS["vectors"]
    assert FULL.latent == GDE().latent


def test_the_tasks_are_those_of_the_ladder():
    assert set(TASKS) == {"ladder_a", "ladder_b", "ladder_c", "gaussian_2d"}
    assert (FULL.ladder, FULL.gaussian, FULL.train_sets) == ((100, 64), (400, 500), 5_000)
    assert (FULL.pairs.measured_pairs, FULL.pairs.measured_atoms) == (400, 800)
    assert Arm("gde").enters("any task")
