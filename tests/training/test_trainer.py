"""The training loop on modules whose training has a closed form."""

import contextlib
import logging
import math

import pytest
import torch
from safetensors import safe_open
from torch import nn
from training_fakes import Scalar, config, sets, train

from distembed.training.steps import held_out_sets, training_step, validation_steps
from distembed.training.trainer import Trainer
from distembed.training.weights import WeightAverage, trained_state


def forever(weight, step):
    """A constant gradient: AdamW moves by the learning rate exactly, whatever it is."""
    return -weight


def weight_of(module):
    return float(module.weight.detach())


def noise_of(step):
    return torch.rand((), generator=step.rng)


def rates(settings):
    """The schedule as it is documented, at steps 0 .. steps - 1."""
    k = range(settings.steps)
    return [
        settings.lr
        * min(1, (i + 1) / max(settings.warmup, 1))
        * (1 + math.cos(math.pi * i / settings.steps))
        / 2
        for i in k
    ]


@pytest.mark.parametrize("warmup", [0, 1, 4, 30])
def test_learning_rate(warmup):
    settings = config(steps=12, every=1, warmup=warmup, lr=0.3)
    history = train(Scalar(forever), sets(), settings)
    assert [r["step"] for r in history] == list(range(13))
    assert [r["lr"] for r in history] == pytest.approx([0, *rates(settings)])


def test_the_optimiser_follows_the_schedule():
    settings = config(steps=12, lr=0.1, ema=0, weight_decay=0)
    module = Scalar(forever)
    train(module, sets(), settings)
    # Adam divides a constant gradient by itself, up to its epsilon of 1e-8
    assert weight_of(module) == pytest.approx(sum(rates(settings)), rel=1e-5)


def test_weight_decay_is_decoupled():
    settings = config(steps=5, lr=0.1, ema=0, weight_decay=0.5)
    module = Scalar(lambda weight, step: 0 * weight, start=2.0)
    train(module, sets(), settings)
    left = math.prod(1 - 0.5 * rate for rate in rates(settings))
    assert weight_of(module) == pytest.approx(2 * left, rel=1e-5)


@pytest.mark.parametrize("ema", [0.0, 0.3, 0.999])
def test_what_is_left_is_the_average(ema):
    settings = config(steps=8, lr=0.1, ema=ema, weight_decay=0)
    module = Scalar(forever)
    train(module, sets(), settings)
    weight = average = 0.0
    for k, rate in enumerate(rates(settings)):
        weight += rate
        decay = min(ema, (1 + k) / (10 + k))
        average = decay * average + (1 - decay) * weight
    assert weight_of(module) == pytest.approx(average, rel=1e-5)
    assert (ema == 0) == (average == pytest.approx(weight))


class PartlyFrozen(nn.Module):
    """A frozen network with running statistics, and a layer that is trained on its outputs."""

    def __init__(self):
        super().__init__()
        frozen = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Dropout(0.5))
        self.frozen = frozen.requires_grad_(False)
        self.offset = nn.Parameter(torch.ones(3), requires_grad=False)
        self.head = nn.Linear(3, 1)
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    def forward(self, step):
        if torch.is_grad_enabled():
            self.count += 1
        out = self.head(self.frozen(step.context.mean(step.context.x)) + self.offset)
        return (out[:, 0] - step.index).square()


def test_frozen_parts_stay():
    module = PartlyFrozen()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    train(module, sets(), config(ema=0))
    for name, value in module.state_dict().items():
        assert value.equal(before[name]) == (not name.startswith(("head", "count"))), name
    assert module.count == config().steps


def test_frozen_parts_are_not_copied(tmp_path):
    module = PartlyFrozen()
    path = tmp_path / "run.ckpt"
    trainer = Trainer(module, sets(), config(), checkpoint=path)
    trained = {"head.weight", "head.bias"}
    assert trainer.average.values.keys() == trained
    assert trainer.best.keys() == trained | {"count"}
    trainer.fit()
    with safe_open(path, framework="pt") as file:
        names = set(file.keys())
    assert {name for name in names if "frozen" in name or "offset" in name} == set()
    assert {f"{group}.head.weight" for group in ("weights", "average", "best")} <= names


def test_buffers_are_those_of_the_best_validation():
    held_out = [0, 1]

    class Counted(Scalar):
        def __init__(self):
            super().__init__(drifting(held_out).f)
            self.register_buffer("count", torch.zeros(()))

        def forward(self, step):
            if torch.is_grad_enabled():
                self.count += 1
            return super().forward(step)

    module = Counted()
    settings = config(steps=1000, every=1, lr=0.01, warmup=0, ema=0, patience=4)
    history = train(module, sets(), settings, held_out=held_out)
    assert history[-1]["step"] == 9
    assert module.count == 5


def test_a_shared_parameter_is_averaged_once():
    module = nn.Module()
    module.first = module.second = nn.Linear(2, 2)
    average = WeightAverage(module, 0.5)
    assert average.values.keys() == {"first.weight", "first.bias"} == trained_state(module).keys()


def test_the_average_takes_the_place_of_the_parameters_for_a_while():
    layer = nn.Linear(2, 1)
    average = WeightAverage(layer, 0.9)
    parameters, start = list(layer.parameters()), layer.weight.detach().clone()
    with torch.no_grad():
        layer.weight.add_(1)
    with contextlib.suppress(KeyError), average.applied():
        assert layer.weight.equal(start)
        assert average.values["weight"].equal(start + 1)
        raise KeyError
    assert layer.weight.equal(start + 1)
    assert average.values["weight"].equal(start)
    assert all(a is b for a, b in zip(parameters, layer.parameters(), strict=True))


def test_a_step_is_a_pure_function_of_seed_and_number():
    from distembed.sets.sampler import Sampler

    def draw(seed, k):
        sampler = Sampler(sets(), batch=4, context=(2, 9), target=3, seed=seed)
        step = training_step(sampler, k, torch.device("cpu"))
        noise = torch.rand(5, generator=step.rng)
        return step.context.x, step.context.offsets, step.target.x, step.index, noise

    first = draw(0, 7)
    draw(0, 3)  # whatever happened before
    torch.manual_seed(99)
    assert all(a.equal(b) for a, b in zip(first, draw(0, 7), strict=True))
    for other in (draw(0, 8), draw(1, 7)):
        assert not first[-1].equal(other[-1])
        assert not first[2].equal(other[2])


def test_validation_has_the_same_atoms_and_noise_every_time():
    def loss(weight, step):
        return noise_of(step) + step.context.x.mean() + step.target.x.mean() + 0 * weight

    settings = config(steps=6, every=1, weight_decay=0, patience=0)
    history = train(Scalar(loss), sets(), settings, held_out=[0, 1, 2])
    scores = [r["validation"] for r in history]
    assert len(scores) == 7
    assert len(set(scores)) == 1, "the weights did not move"
    assert len({r["loss"] for r in history if "loss" in r}) == 6, "and training noise did"


def test_validation_spans_the_contexts():
    steps = validation_steps(sets(), config(context=(2, 16)), [0, 1], torch.device("cpu"))
    sizes = [int(step.context.sizes[0]) for step in steps]
    assert sizes[0] == 2
    assert sizes[-1] == 16
    assert sizes == sorted(sizes)
    assert all(set(step.index.tolist()) <= {0, 1} for step in steps)
    assert validation_steps(sets(), config(), [], torch.device("cpu")) == []


def test_training_never_reads_held_out_sets():
    read = set()

    def loss(weight, step):
        if torch.is_grad_enabled():
            read.update(step.index.tolist())
        return 0 * weight

    train(Scalar(loss), sets(), config(steps=20), held_out=[2, 5])
    assert read == set(range(10)) - {2, 5}


def drifting(held_out, best=0.05):
    """Training pushes the weight up for ever; held-out sets want it at `best`."""

    def loss(weight, step):
        held = torch.isin(step.index, torch.tensor(held_out))
        return torch.where(held, (weight - best) ** 2, -weight)

    return Scalar(loss)


def test_early_stopping_leaves_the_best_weights():
    held_out = [0, 1]
    module = drifting(held_out)
    settings = config(steps=1000, every=1, lr=0.01, warmup=0, ema=0, patience=4)
    history = train(module, sets(), settings, held_out=held_out)
    scores = [r["validation"] for r in history]
    # a step of 0.01 each: 0.05 is reached at step 5, and 4 worse ones stop the run
    assert history[-1]["step"] == 9
    assert min(scores) == scores[5]
    assert weight_of(module) == pytest.approx(0.05, abs=1e-4)


@pytest.mark.parametrize(("best", "gained"), [(0.05, True), (-0.05, False)])
def test_training_that_gained_nothing_says_so(best, gained, caplog):
    settings = config(steps=5, every=1, lr=0.01, warmup=0, ema=0, patience=0)
    with caplog.at_level(logging.INFO):
        train(drifting([0, 1], best), sets(), settings, held_out=[0, 1])
    assert ("never fell below its initial value" in caplog.text) is not gained


def test_without_patience_nothing_stops():
    module = drifting([0, 1])
    settings = config(steps=20, every=1, lr=0.01, warmup=0, ema=0, patience=0)
    history = train(module, sets(), settings, held_out=[0, 1])
    assert history[-1]["step"] == 20
    assert min(history, key=lambda r: r["validation"])["step"] < 10
    assert weight_of(module) == pytest.approx(0.05, abs=0.01)


def test_without_held_out_sets_the_last_average_is_left():
    module = drifting([0, 1])
    settings = config(steps=20, lr=0.01, ema=0, validation=0)
    history = train(module, sets(), settings, indices=range(2, 10))
    assert weight_of(module) == pytest.approx(sum(rates(settings)), rel=1e-4)
    assert all("validation" not in r for r in history)


def test_it_leaves_a_module_that_does_not_train():
    module = Scalar(forever)
    train(module, sets(), config())
    assert not module.training


@pytest.mark.parametrize(
    "bad", [lambda w: w * torch.inf, lambda w: w * torch.nan, lambda w: w.sqrt() - w]
)
def test_an_infinite_gradient_is_refused(bad):
    def loss(weight, step):
        return bad(weight) if step.number == 4 else weight

    with pytest.raises(ValueError, match=r"loss at step 4 .*log1p.*learning rate"):
        train(Scalar(loss, start=0.0), sets(), config(lr=1e-30))


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_an_infinite_loss_is_refused(value):
    # the gradient is finite, the loss is not
    def loss(weight, step):
        return weight + (value if step.number == 4 else 0)

    with pytest.raises(ValueError, match="loss at step 4"):
        train(Scalar(loss), sets(), config())


def test_an_infinite_validation_is_refused():
    # it could never be the best: the run would end with the weights it began with
    def loss(weight, step):
        held = torch.isin(step.index, torch.tensor([0, 1]))
        return torch.where(held, torch.inf, 0.0) - weight

    with pytest.raises(ValueError, match="validation"):
        train(Scalar(loss), sets(), config(), held_out=[0, 1])


def test_a_gradient_is_clipped():
    # Adam forgets the scale of all gradients but not their ratio: a single huge one would
    # stand in the second moment for long and stop the weight
    weights = []
    for huge in (1.0, 1e4):
        module = Scalar(lambda w, step, huge=huge: -w * (huge if step.number == 0 else 1.0))
        train(module, sets(), config(steps=6, lr=0.1, ema=0, weight_decay=0, clip=1.0))
        weights.append(weight_of(module))
    assert weights[0] == pytest.approx(weights[1], rel=1e-5)


@pytest.mark.parametrize("count", [2, 19, 20, 100, 10_000])
def test_held_out_sets(count):
    held = held_out_sets(count, 0.1, seed=0)
    assert len(set(held)) == len(held)
    assert set(held) <= set(range(count))
    assert (held == held_out_sets(count, 0.1, seed=0)).all()
    assert len(held_out_sets(count, 0.0, seed=0)) == 0
    if count < 20:
        assert not len(held), "none to spare"
    else:
        assert len(held) == min(max(round(0.1 * count), 4), 256)
        assert list(held) != list(held_out_sets(count, 0.1, seed=1))
