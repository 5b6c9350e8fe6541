"""The checks that we and users rely on must themselves be able to fail."""

from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from torch import nn

from distembed.batch import SetBatch
from distembed.testing import (
    LawError,
    check_collection,
    check_encoder,
    check_generator,
)

LATENT = 4


class Pooled(nn.Module):
    """A small deep set; `defect` is one way to break it."""

    def __init__(self, event_shape=(3,), defect=""):
        super().__init__()
        self.latent, self.defect = LATENT, defect
        self.inner = nn.Linear(event_shape[0], 8)
        self.norm = nn.BatchNorm1d(8) if defect == "batch norm" else nn.Identity()
        self.noise = nn.Dropout(0.5) if defect == "dropout" else nn.Identity()
        extra = defect in ("count", "first atom")
        self.outer = nn.Linear(8 + extra, LATENT)
        self.unused = nn.Linear(2, 2) if defect == "unused" else None
        self.scale = torch.ones(()) if defect == "plain attribute" else None

    def prepare(self, batch):
        if self.scale is not None:
            self.scale = batch.x.abs().max()

    def forward(self, batch):
        h = self.noise(torch.relu(self.norm(self.inner(batch.x))))
        m = batch.sizes.to(h.dtype)[:, None]
        total = h.new_zeros(len(batch), 8).index_add(0, batch.owner, h)
        pooled = batch.mean(h)
        if self.defect == "sum":
            pooled = total
        elif self.defect == "plain mean":
            pooled = total / m
        elif self.defect == "padded mean":
            pooled = batch.mean(h) * m / m.max()
        elif self.defect == "max":
            pooled = torch.stack([h[batch.owner == b].max(0).values for b in range(len(batch))])
        elif self.defect == "count":
            pooled = torch.cat([pooled, m.log()], 1)
        elif self.defect == "first atom":
            pooled = torch.cat([pooled, batch.x[batch.offsets[:-1], :1]], 1)
        elif self.defect == "constant":
            pooled = 0 * pooled
        elif self.defect == "detached":
            pooled = pooled.detach()
        elif self.defect == "nan":
            pooled = pooled / (m - 1).clamp_min(0)
        z = self.outer(pooled)
        return z if self.scale is None else z * self.scale.to(z)


def broken(check, *args):
    with pytest.raises(LawError) as error:
        check(*args)
    return error.value.report


def test_a_lawful_encoder_passes():
    report = check_encoder(Pooled(), (3,))
    assert report.broken == ()
    assert {c.law for c in report.checks} == {
        *("permute", "replicate", "split", "zero", "independence"),
        *("finite", "repeat", "reads", "state", "gradient"),
    }
    modes = {"float64, eval", "float32, train", "float32, eval"}
    assert {c.where for c in report.checks if c.law == "split"} == modes


@pytest.mark.parametrize(
    ("defect", "laws"),
    [
        ("sum", {"replicate", "split", "zero"}),
        ("plain mean", {"split", "zero"}),
        ("count", {"replicate", "split", "zero"}),
        ("padded mean", {"replicate", "split", "zero", "independence"}),
        ("batch norm", {"replicate", "split", "zero", "independence"}),
        ("max", {"zero"}),
        ("dropout", {"repeat"}),
        ("first atom", {"permute"}),
        ("constant", {"reads", "gradient"}),
        ("detached", {"gradient"}),
        ("unused", {"gradient"}),
        ("plain attribute", {"state"}),
    ],
)
def test_a_defect_breaks_its_laws(defect, laws):
    report = broken(check_encoder, Pooled(defect=defect), (3,))
    assert set(report.broken) == laws


def test_the_message_says_what_how_much_and_why():
    report = broken(check_encoder, Pooled(defect="count"), (3,))
    text = str(report)
    assert "Pooled breaks: replicate, split, zero" in text
    assert "replicate (float64, eval): off by" in text
    assert "allowed 1e-10" in text
    assert "a count feature such as log(n)" in text
    assert "BatchNorm" in str(broken(check_encoder, Pooled(defect="batch norm"), (3,)))
    assert "dropout" in str(broken(check_encoder, Pooled(defect="dropout"), (3,)))
    unused = str(broken(check_encoder, Pooled(defect="unused"), (3,)))
    assert "unused.weight, unused.bias" in unused


def test_batch_norm_is_lawful_in_eval_mode_only():
    report = broken(check_encoder, Pooled(defect="batch norm"), (3,))
    failed = {c.where for c in report.checks if not c.ok}
    assert failed == {"float32, train"}


def test_not_a_number_is_a_failure():
    report = broken(check_encoder, Pooled(defect="nan"), (3,))
    assert set(report.broken) == {"finite", "gradient"}
    assert "for sets of [1] atoms" in str(report)


def test_the_subject_is_left_alone():
    encoder = Pooled(defect="batch norm").eval()
    before = {k: v.clone() for k, v in encoder.state_dict().items()}
    broken(check_encoder, encoder, (3,))
    assert not encoder.training
    for name, value in encoder.state_dict().items():
        assert torch.equal(value, before[name])


def test_a_wrong_shape_is_refused():
    encoder = Pooled()
    encoder.latent = 5
    with pytest.raises(ValueError, match=r"expected \(4, 5\)"):
        check_encoder(encoder, (3,))


def test_tokens_need_their_own_atoms():
    class Composition(nn.Module):
        latent = 5

        def forward(self, batch):
            return batch.mean(nn.functional.one_hot(batch.x, 5).to(batch.w.dtype).mean(1))

    def tokens(m, rng):
        return torch.randint(0, 5, (m, 6), generator=rng)

    check_encoder(Composition(), (6,), atoms=tokens)


# -- generators -----------------------------------------------------------------------------------


class Denoiser(nn.Module):
    """Regression of the atom from a noisy one, a loss that draws noise for each atom."""

    def __init__(self, defect=""):
        super().__init__()
        self.defect = defect
        self.net = nn.Linear(3 + LATENT, 3)
        self.unused = nn.Linear(2, 2) if defect == "unused" else None
        self.scale = torch.ones(()) if defect == "plain attribute" else None

    def prepare(self, batch, z):
        if self.scale is not None:
            self.scale = batch.x.std()

    def loss(self, batch, z, rng):
        x = batch.x if self.scale is None else batch.x / self.scale
        rng = None if self.defect == "global noise" else rng
        noise = torch.randn(x.shape, generator=rng, dtype=x.dtype)
        if self.defect == "z of others":
            z = z - z.mean(0)
        if self.defect == "detached z":
            z = z.detach()
        out = self.net(torch.cat([x + noise, batch.expand(z)], 1))
        error = (out - x).square().mean(1)
        if self.defect == "nan":
            error = error / 0 - error / 0
        if self.defect == "plain mean":
            total = error.new_zeros(len(batch)).index_add(0, batch.owner, error)
            return total / batch.sizes
        if self.defect == "positive weights":
            w = (batch.w > 0).to(error.dtype)
            total = error.new_zeros(len(batch)).index_add(0, batch.owner, error * w)
            return total / total.new_zeros(len(batch)).index_add(0, batch.owner, w)
        loss = batch.mean(error[:, None])[:, 0]
        return loss.mean() if self.defect == "scalar" else loss

    def sample(self, z, n, rng):
        if self.defect == "any n":
            n = max(n, 2)
        noise = torch.randn(len(z), n, 3, generator=rng, dtype=z.dtype)
        if self.defect == "no noise":
            noise = torch.zeros_like(noise)
        if self.defect == "wrong dtype":
            noise = noise.double()
        return noise + z[:, None, :3]


def test_a_lawful_generator_passes():
    report = check_generator(Denoiser(), (3,), LATENT)
    assert report.broken == ()


@pytest.mark.parametrize(
    ("defect", "laws"),
    [
        ("plain mean", {"zero", "weights"}),
        ("positive weights", {"weights"}),
        ("global noise", {"seed", "zero", "independence", "state"}),
        ("z of others", {"independence"}),
        ("nan", {"finite", "seed", "zero", "independence", "weights", "state", "gradient"}),
        ("unused", {"gradient"}),
        ("detached z", {"gradient"}),
        ("no noise", {"random"}),
        ("wrong dtype", {"dtype"}),
        ("plain attribute", {"state"}),
    ],
)
def test_a_defect_of_a_generator_is_seen(defect, laws):
    assert set(broken(check_generator, Denoiser(defect), (3,), LATENT).broken) == laws


@pytest.mark.parametrize(("defect", "message"), [("scalar", "The loss"), ("any n", "The sample")])
def test_a_wrong_shape_of_a_generator_is_refused(defect, message):
    with pytest.raises(ValueError, match=message):
        check_generator(Denoiser(defect), (3,), LATENT)


# -- collections ----------------------------------------------------------------------------------


@dataclass
class Lists:
    """A collection of arrays; `defect` is one way to break it."""

    arrays: list = field(
        default_factory=lambda: [
            np.random.default_rng(s).normal(size=(4 + 3 * s, 2)) for s in range(11)
        ]
    )
    defect: str = ""
    features: tuple[str, ...] | None = ("x", "y")
    weighted: bool = False
    event_shape: tuple[int, ...] = (2,)
    dtype: torch.dtype = torch.float32

    def __post_init__(self):
        self.reads = 0

    def __getstate__(self):
        state = dict(vars(self))
        if self.defect == "pickle":
            state["arrays"] = [a + 1 for a in self.arrays]
        return state

    def __len__(self):
        return len(self.arrays)

    @property
    def ids(self):
        return np.array(["0" if self.defect == "ids" else str(i) for i in range(len(self))])

    @property
    def meta(self):
        return {"age": np.arange(3 if self.defect == "lengths" else len(self))}

    @property
    def sizes(self):
        return np.array([len(a) + (self.defect == "sizes") for a in self.arrays])

    def batch(self, indices, m=None, rng=None):
        self.reads += 1
        indices = sorted(indices) if self.defect == "order" else indices
        weights = None
        if self.defect == "weighted":
            weights = [np.arange(1, len(self.arrays[i]) + 1) for i in indices]
        batch = SetBatch.from_list([torch.from_numpy(self.arrays[i]) for i in indices], weights)
        batch = batch.to(dtype=torch.float64 if self.defect == "dtype" else torch.float32)
        if m is None:
            return batch
        if self.defect == "seed":
            rng = torch.Generator().manual_seed(self.reads)
        return batch if self.defect == "m" else batch.subsample(m, rng)

    def chunks(self, index, rows, part=0, parts=1):
        whole = self.batch([index])
        rows = rows + (self.defect == "chunk size")
        part = 0 if self.defect == "shared chunks" else part
        for start in range(part * rows, len(whole.x), parts * rows):
            x, w = whole.x[start : start + rows], whole.w[start : start + rows]
            w = w / w.sum() if self.defect == "chunks" else w
            yield SetBatch(x, w, torch.tensor([0, len(x)]))


def test_a_lawful_collection_passes():
    assert check_collection(Lists()).broken == ()
    assert check_collection(Lists(arrays=Lists().arrays[:1])).broken == ()


@pytest.mark.parametrize(
    "defect",
    [
        *("lengths", "ids", "sizes", "dtype", "weighted", "order"),
        *("m", "seed", "pickle", "chunk size", "chunks", "shared chunks"),
    ],
)
def test_a_defect_of_a_collection_is_seen(defect):
    report = broken(check_collection, Lists(defect=defect))
    assert defect in report.broken


def test_shapes_and_names_of_a_collection_are_compared():
    assert "event_shape" in broken(check_collection, Lists(event_shape=(3,))).broken
    assert "features" in broken(check_collection, Lists(features=("x",))).broken
