"""Fitting: what it takes, what it leaves, and what it must not touch."""

import logging
import random
import time

import numpy as np
import pytest
import torch
from model_fakes import FAST, SMALL, table
from torch import nn

import distembed as de
from distembed.batch import SetBatch
from distembed.data.observations import Observations
from distembed.data.synthetic.gaussians import Gaussians
from distembed.sets.construct import by_label
from distembed.sets.fingerprint import fingerprints
from distembed.sets.mixtures import mixtures
from distembed.training.config import TrainConfig


class Killed(Exception):
    """The process is gone."""


def state(model):
    return model.network.state_dict()


def assert_same(one, other):
    assert one.keys() == other.keys()
    assert [k for k in one if not one[k].equal(other[k])] == []


def sets(count=24, size=60, seed=0):
    return Gaussians.prior(count, 2, 10, size=size, seed=seed)


class MeanEncoder(nn.Module):
    """A user's own encoder."""

    def __init__(self, latent=6, d=2):
        super().__init__()
        self.latent = latent
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.outer = nn.Linear(d, latent)

    def forward(self, batch):
        return self.outer(batch.mean(batch.flat))


def test_fit_returns_the_model_and_its_history(named):
    fitted = de.GDE(**SMALL)
    assert fitted.fit(named, **FAST) is fitted
    assert fitted.event_shape == (3,)
    assert fitted.features == ("height", "ratio", "same")
    assert fitted.latent == 6
    assert [r["step"] for r in fitted.history] == [0, 3, 6]
    assert {"loss", "validation", "lr", "seconds"} <= set(fitted.history[-1])
    assert fitted.config == TrainConfig(**{k: v for k, v in FAST.items() if k != "progress"})


@pytest.mark.slow
def test_a_fit_of_one_step_is_quick():
    """CPU seconds, which do not count other processes, and without those of the first import."""
    rng = np.random.default_rng(0)
    data = [rng.normal(rng.normal(size=2), rng.uniform(0.5, 2, 2), (100, 2)) for _ in range(200)]
    de.GDE(latent=16).fit(data[:20], steps=1, threads=1, progress=False)
    start = time.process_time()
    de.GDE(latent=16).fit(data, steps=1, threads=1, progress=False)
    assert time.process_time() - start < 4


def test_without_steps_the_model_is_its_start(caplog):
    data = sets(24)
    with caplog.at_level(logging.INFO, logger="distembed"):
        fitted = de.GDE(latent=8).fit(data, steps=0, validation=0.5)
    assert_same(state(fitted), state(fitted.untrained()))
    assert [r["step"] for r in fitted.history] == [0]
    assert fitted.calibration.error < 0.2
    assert "nothing is trained" in caplog.text
    assert "never fell" not in caplog.text


def test_settings_go_over_a_config(unnamed):
    config = TrainConfig(steps=3, context=(2, 4), target=2, seed=5)
    fitted = de.GDE(**SMALL).fit(unnamed, config, steps=2, progress=False)
    assert fitted.config == config.model_copy(update={"steps": 2})
    assert config.steps == 3


def test_nothing_global_is_touched(unnamed):
    before = (torch.random.get_rng_state(), np.random.get_state(), random.getstate())  # noqa: NPY002
    threads, grad = torch.get_num_threads(), torch.is_grad_enabled()
    fitted = de.GDE(**SMALL).fit(unnamed, **FAST)
    fitted.sample(fitted.embed(unnamed), 3)
    fitted.untrained()
    after = (torch.random.get_rng_state(), np.random.get_state(), random.getstate())  # noqa: NPY002
    assert before[0].equal(after[0])
    assert str(before[1:]) == str(after[1:])
    assert (torch.get_num_threads(), torch.is_grad_enabled()) == (threads, grad)


def test_the_seed_decides_everything(unnamed):
    fits = []
    for seed, noise in ((0, 1), (0, 2), (1, 1)):
        torch.manual_seed(noise)
        fits.append(de.GDE(**SMALL).fit(unnamed, seed=seed, **FAST))
    assert_same(state(fits[0]), state(fits[1]))
    assert fits[0].calibration.state()[0] == fits[1].calibration.state()[0]
    z = [f.embed(unnamed).z for f in fits]
    assert (z[0] == z[1]).all()
    assert (z[0] != z[2]).any()


def test_a_killed_fit_resumes_exactly(tmp_path):
    settings = {**FAST, "steps": 9}
    straight = de.GDE(**SMALL).fit(sets(), **settings)
    calls = []

    def dies(network, step, z):
        if torch.is_grad_enabled() and network.training:
            calls.append(step.number)
            if step.number == 4:
                raise Killed
        return torch.zeros(len(z))

    killed = de.GDE(**SMALL)
    path = tmp_path / "run.ckpt"
    with pytest.raises(Killed):
        killed.fit(sets(), checkpoint=path, objectives=[dies], **settings)
    assert calls == [0, 1, 2, 3, 4]
    assert "not fitted" in repr(killed), "a killed fit leaves the model as it was"
    resumed = de.GDE(**SMALL).fit(sets(), checkpoint=path, **settings)
    assert_same(state(resumed), state(straight))
    assert_same(state(resumed.untrained()), state(straight.untrained()))
    assert resumed.calibration.state()[0] == straight.calibration.state()[0]
    scores = [[r.get("validation") for r in m.history] for m in (resumed, straight)]
    assert scores[0] == scores[1]


def test_a_failed_refit_leaves_the_model_as_it_was(unnamed):
    fitted = de.GDE(**SMALL).fit(unnamed, **FAST)
    before, shape = {k: v.clone() for k, v in state(fitted).items()}, fitted.event_shape

    def dies(network, step, z):
        raise Killed

    with pytest.raises(Killed):
        fitted.fit([np.random.default_rng(0).normal(size=(9, 5))] * 4, objectives=[dies], **FAST)
    assert fitted.event_shape == shape
    assert_same(state(fitted), before)


def test_it_can_be_fitted_again_to_other_atoms(named, unnamed):
    fitted = de.GDE(**SMALL).fit(unnamed, **FAST).fit(named, **FAST)
    fresh = de.GDE(**SMALL).fit(named, **FAST)
    assert_same(state(fitted), state(fresh))
    assert fitted.event_shape == (3,)


def test_untrained_is_where_training_began(unnamed):
    first = {}

    def look(network, step, z):
        if not first:
            first.update({k: v.clone() for k, v in network.state_dict().items()})
        return torch.zeros(len(z))

    fitted = de.GDE(**SMALL).fit(unnamed, objectives=[look], lr=0.1, warmup=0, ema=0, **FAST)
    before = fitted.untrained()
    assert_same(state(before), first)
    assert any((a != b).any() for a, b in zip(state(fitted).values(), first.values(), strict=True))
    assert before.embed(unnamed).z.shape == fitted.embed(unnamed).z.shape
    assert_same(state(fitted.untrained()), first)


def test_an_objective_supervises(unnamed):
    def small(network, step, z):
        assert z.shape == (len(step.index), 6)
        return 1e4 * z[:, -1].square()  # a learned coordinate, not a moment

    options = SMALL | {"encoder": "deepsets"}
    settings = FAST | {"steps": 60, "every": 60, "lr": 3e-3, "warmup": 0, "ema": 0}
    spread = [
        np.square(de.GDE(**options).fit(unnamed, objectives=o, **settings).embed(unnamed).z[:, -1])
        for o in ([], [small])
    ]
    assert spread[1].mean() < spread[0].mean() / 4


def test_what_sets_may_be(unnamed):
    batch = SetBatch.from_list(unnamed)
    label = np.repeat(np.arange(12), 30)
    collection = by_label(Observations(np.concatenate(unnamed), {"s": label}), "s")
    fits = [de.GDE(**SMALL).fit(s, **FAST) for s in (unnamed, batch, collection)]
    assert_same(state(fits[0]), state(fits[2]))
    assert all(np.isfinite(f.embed(unnamed).z).all() for f in fits)
    assert fits[1].embed(batch).ids.tolist() == [str(i) for i in range(12)]


def test_weighted_sets_and_mixtures_train():
    rng = np.random.default_rng(0)
    label = np.repeat(np.arange(8), 40)
    x = rng.normal(size=(320, 2)) + label[:, None]
    weighted = by_label(Observations(x, {"s": label, "w": rng.random(320)}), "s", weights="w")
    mixed = mixtures(by_label(Observations(x, {"s": label}), "s"), 25, 2, size=(20, 60))
    assert weighted.weighted
    assert mixed.weighted
    for data in (weighted, mixed):
        fitted = de.GDE(**SMALL).fit(data, **FAST)
        embeddings = fitted.embed(data)
        assert np.isfinite(embeddings.z).all()
        assert (embeddings.effective_sizes < embeddings.sizes + 1e-6).all()
        assert np.isfinite(fitted.sample(embeddings, 3)).all()


def test_images_train():
    rng = np.random.default_rng(0)
    images = [rng.normal(i, 1, (20, 1, 6, 6)) for i in range(6)]
    fitted = de.GDE(**SMALL).fit(images, **FAST)
    assert fitted.event_shape == (1, 6, 6)
    assert fitted.reconstruct(images, 4).shape == (6, 4, 1, 6, 6)


def test_the_diffusion_trains(unnamed):
    fitted = de.GDE(**SMALL | {"generator": "diffusion"}).fit(unnamed, **FAST)
    assert np.isfinite(fitted.reconstruct(unnamed, 4)).all()


def test_reduced_precision_trains(unnamed):
    fitted = de.GDE(**SMALL).fit(unnamed, precision="bfloat16", **FAST)
    plain = de.GDE(**SMALL).fit(unnamed, **FAST)
    z, expected = fitted.embed(unnamed).z, plain.embed(unnamed).z
    # layers are rounded to 8 bits, moments are not
    np.testing.assert_allclose(z[:, :4], expected[:, :4], rtol=0, atol=1e-5)
    np.testing.assert_allclose(z, expected, rtol=0, atol=0.1 * abs(expected).max())
    assert (z[:, 4:] != expected[:, 4:]).any()


def test_a_users_encoder_is_copied_and_trained(unnamed):
    encoder = MeanEncoder()
    before = encoder.outer.weight.detach().clone()
    fitted = de.GDE(**SMALL | {"encoder": encoder})
    fitted.fit(unnamed, lr=0.1, warmup=0, **FAST)
    assert encoder.outer.weight.equal(before)
    assert not fitted.network.encoder.outer.weight.equal(before)
    with pytest.raises(ValueError, match="latent = 6, and the encoder MeanEncoder has latent = 5"):
        de.GDE(encoder=MeanEncoder(latent=5), latent=6)
    assert de.GDE(encoder=MeanEncoder(latent=5)).latent == 5


def test_automatic_transforms(named, unnamed):
    by_feature = de.GDE(**SMALL).fit(named, **FAST).atom_transform
    as_one = de.GDE(**SMALL).fit(unnamed, **FAST).atom_transform
    none = de.GDE(**SMALL, transform=[]).fit(unnamed, **FAST).atom_transform
    assert [s["over"] for s in by_feature.options["spec"]] == ["feature"]
    assert [s["over"] for s in as_one.options["spec"]] == ["all"]
    assert none.options["spec"] == []
    # the first look takes at most 16 atoms of each set: 24 * 16 know a mean to 1 / sqrt(384)
    mean = by_feature.transforms[0].mean.numpy()
    _, features = table()
    off = [(mean[i] - v.mean()) / max(v.std(), 1e-9) for i, v in enumerate(features.values())]
    assert np.abs(off).max() < 5 / 384**0.5


def test_fingerprints_are_those_of_the_sets(named):
    first, second = (de.GDE(**SMALL).fit(named, **FAST).fingerprints for _ in range(2))
    assert first.hashes == set(fingerprints(named, first.salt))
    assert len(first.hashes) == len(named)
    assert first.salt != second.salt
    assert not first.hashes & second.hashes


@pytest.mark.parametrize("count", [2, 3, 19])
def test_few_sets_are_enough(count):
    rng = np.random.default_rng(0)
    arrays = [rng.normal(i, 1, (2 + i, 2)) for i in range(count)]
    fitted = de.GDE(**SMALL).fit(arrays, **FAST)
    assert "validation" not in fitted.history[-1]
    assert np.isfinite(fitted.reconstruct(arrays, 3)).all()


def test_sets_of_constants():
    fitted = de.GDE(**SMALL).fit([np.full((9, 2), 3.5)] * 5, **FAST)
    x = fitted.reconstruct([np.full((9, 2), 3.5)], 20)
    assert (x == np.float32(3.5)).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"stepz": 3}, "stepz"),
        ({"steps": -1}, "steps"),
        ({"context": (9, 4)}, "smallest"),
        ({"device": "gpu"}, "device"),
        ({"precision": "float16"}, "precision"),
    ],
)
def test_bad_settings_are_refused(unnamed, settings, message):
    with pytest.raises(ValueError, match=message):
        de.GDE(**SMALL).fit(unnamed, progress=False, **settings)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encoder": "transformer"}, "no encoder 'transformer'; there are: attention"),
        ({"generator": "nf"}, "no generator 'nf'; there are: .*flow"),
        ({"encoder": {"name": "deepsets", "heads": 3}}, "no option 'heads'; it takes: width"),
        ({"transform": ["log"]}, "log1p"),
    ],
)
def test_bad_parts_are_refused(unnamed, options, message):
    with pytest.raises(ValueError, match=message):
        de.GDE(**options).fit(unnamed, **FAST)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"latent": 0}, "latent = 0"), ({"transform": "log1p"}, r"\['log1p'\]")],
)
def test_bad_models_are_refused_at_once(options, message):
    with pytest.raises(ValueError, match=message):
        de.GDE(**options)


def broken(value, row=3):
    x = np.random.default_rng(0).normal(size=(20, 2))
    x[row] = value
    return x


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([np.ones((5, 2))], "one set"),
        ([np.ones((5, 2)), np.ones((1, 2))], "single atom"),
        ([np.ones((5, 2)), np.ones((5, 3))], r"\(2,\)|\(3,\)|shape"),
        ([broken(np.nan), broken(0)], "Set '0' holds nan"),
        ([broken(0), broken(np.inf)], "Set '1' holds inf"),
        ([], "no set"),
    ],
)
def test_bad_data_are_refused(data, message):
    with pytest.raises(ValueError, match=message):
        de.GDE(**SMALL).fit(data, **FAST)


@pytest.mark.parametrize(
    ("generator", "likelihood"), [("explicit", "poisson"), ("vae", "negative_binomial")]
)
def test_counts_are_taken_and_drawn_as_they_are(generator, likelihood):
    rng = np.random.default_rng(0)
    counts = [rng.poisson(rng.gamma(2, 3, 4), (20, 4)) for _ in range(12)]
    member = {"name": generator, "likelihood": likelihood, "width": 8, "depth": 1}
    model = de.GDE(generator=member, latent=6).fit(counts, **FAST)
    assert len(model.atom_transform.transforms) == 0
    drawn = model.reconstruct(counts, 30)
    assert (drawn >= 0).all()
    assert (drawn == np.round(drawn)).all()
    with pytest.raises(ValueError, match=r"likelihood of counts met .* in feature 0 .*transform"):
        de.GDE(generator=member, latent=6).fit([c - 0.5 for c in counts], **FAST)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"step": 2}, "^step is not a setting of training; did you mean 'steps'?"),
        ({"colour": 2}, "^colour is not a setting of training; there are: steps, batch,"),
        ({"steps": -1}, "^steps should be greater than or equal to 0, but is -1$"),
        ({"context": (9, 3)}, r"^context is 9 to 3, but needs 1 <= smallest <= largest$"),
    ],
)
def test_a_wrong_setting_is_one_line(unnamed, settings, message):
    with pytest.raises(ValueError, match=message):
        de.GDE(**SMALL).fit(unnamed, **settings)


def test_constant_features_are_named_at_fit_and_drawn_as_they_are(caplog):
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(size=(80, 2)), np.full((80, 1), 7.0)], 1)
    data = {"who": np.repeat(list("abcdefgh"), 10)} | dict(zip("xyz", x.T, strict=True))
    constant = de.read(data, by="who", columns=["x", "y", "z"])
    with caplog.at_level(logging.INFO, "distembed"):
        model = de.GDE(latent=4).fit(constant, steps=1, warmup=0, progress=False)
    assert "1 of 3 features have one value" in caplog.text
    assert caplog.text.count("features are modelled on") == 1
    assert caplog.text.count("drawn as this value: z") == 1
    drawn = model.sample(model.embed(constant), 5, 0)
    assert (drawn[..., 2] == 7).all()
    assert (drawn[..., :2].std((0, 1)) > 0.1).all()
