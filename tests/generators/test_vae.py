"""The VAE: its bound in closed form, its observation noise, and likelihoods of counts."""

import math

import pytest
import torch
from generator_fakes import draws_of
from torch import nn

from distembed.batch import SetBatch
from distembed.generators.likelihoods import LIKELIHOODS
from distembed.generators.vae import VAE
from distembed.rng import stream
from distembed.testing import check_generator

LATENT = 3


def make(event_shape=(2,), latent=LATENT, **options):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return VAE(event_shape, latent, **{"width": 32, "depth": 1} | options)


@pytest.mark.parametrize("likelihood", [name for name in LIKELIHOODS if name != "gaussian"])
def test_laws_on_integer_atoms(likelihood):
    model = VAE((4,), LATENT, width=32, likelihood=likelihood)
    check_generator(model, (4,), LATENT, atoms=draws_of(likelihood, 4))
    x = model.sample(torch.zeros(2, LATENT), 50, stream("draw"))
    model.likelihood.check(x)


class Affine(nn.Module):
    """x -> [slope x, constant], in the place of a network."""

    def __init__(self, slope, constant):
        super().__init__()
        self.slope, self.constant = slope, constant

    def forward(self, x, z, expand):
        return torch.cat([self.slope * x, torch.full_like(x, self.constant)], -1)


def test_the_bound_is_tight_at_the_exact_posterior():
    # x = w a + s e is N(0, w^2 + s^2), and a given x is N(w x / v, s^2 / v) with v = w^2 + s^2
    n, w, s = 40_000, 1.2, 0.7
    v = w**2 + s**2
    model = make((1,), hidden=1)
    for p in model.base.parameters():
        nn.init.zeros_(p)
    model.decoder = Affine(w, math.log(s))
    batch = SetBatch.from_dense(math.sqrt(v) * torch.randn(1, n, 1, generator=stream("x")))
    z = torch.zeros(1, LATENT)
    # the loss is the bound on x in units of the base, less log(2 pi) / 2
    gaussian = model.base(z)
    scale = float(gaussian.scale.detach().squeeze())
    x = gaussian.whiten(batch)[:, 0].detach()

    def bound(slope, log_sd):
        model.encoder = Affine(slope, log_sd)
        total = model.loss(batch, z, stream("loss")).detach() + math.log(2 * math.pi) / 2
        return float(total) - math.log(scale)

    exact = float((x.square() / v + math.log(2 * math.pi * v)).mean()) / 2
    tight = bound(w / v, math.log(s / math.sqrt(v)))
    # of one atom the reconstruction varies with a by less than 1 nat
    assert tight == pytest.approx(exact, abs=5 / math.sqrt(n))
    for slope, log_sd in ((0.0, 0.0), (w / v, 0.0), (1.0, math.log(s / math.sqrt(v)))):
        assert bound(slope, log_sd) > exact + 0.05


def optimise(model, batch, z, steps, lr=1e-2, m=32):
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.Adam(parameters, lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    rng = stream("train")
    for _ in range(steps):
        index = torch.randint(len(batch), (16,), generator=rng)
        target = batch.select(index).subsample(m, rng)
        optimiser.zero_grad()
        model.loss(target, z[index], rng).mean().backward()
        optimiser.step()
        schedule.step()
    return model.eval()


def trace(x):
    """Return the trace of the covariance of `(B, n, D)`, `(B,)`."""
    return (x.double() - x.double().mean(1, keepdim=True)).square().mean(1).sum(1)


def bananas(sets, n, key):
    """Draw x in N(0, 1) and y = c (x^2 - 1) + 0.5 e, with c of the set in -1.5 .. 1.5."""
    rng = stream("bananas", key)
    c = 3 * torch.rand(sets, 1, generator=rng) - 1.5
    x, e = torch.randn(2, sets, n, generator=rng)
    return torch.stack([x, c * (x.square() - 1) + 0.5 * e], 2), c


@pytest.mark.slow
def test_the_covariance_trace_of_a_banana():
    x, c = bananas(200, 400, "train")
    model = make((2,), latent=2)
    batch, z = SetBatch.from_dense(x), torch.cat([c, c.square() - 0.75], 1)
    model.prepare(batch, z)
    optimise(model, batch, z, 500)
    x, c = bananas(20, 20_000, "unseen")
    z = torch.cat([c, c.square() - 0.75], 1)
    atoms = model.sample(z, 20_000, stream("draw"))
    ratio = trace(atoms) / trace(x)
    assert float(ratio.mean()) == pytest.approx(1, abs=0.1)
    assert (ratio - 1).abs().max() < 0.2
    # and it is curved, as its base is not: E[(x^2 - 1) y] = 2 c
    bent = ((atoms[:, :, 0].square() - 1) * atoms[:, :, 1]).mean(1)
    assert (bent - 2 * c[:, 0]).abs().mean() < 0.5 * (2 * c[:, 0]).abs().mean()


def overdispersed(sets, n, key):
    """Draw negative binomial counts of mean 2 to 20 and size 2 with a common rate, and z."""
    rng = stream("counts", key)
    mean = 2 * 10 ** torch.rand(sets, 1, 1, generator=rng)
    common = torch._standard_gamma(torch.full((sets, n, 1), 2.0), generator=rng) / 2
    return torch.poisson((mean * common).expand(sets, n, 3), generator=rng), (
        mean[:, :, 0] - 8
    ) / 5


@pytest.mark.slow
def test_the_covariance_of_counts():
    x, z = overdispersed(200, 200, "train")
    model = make((3,), latent=1, likelihood="negative_binomial")
    batch = SetBatch.from_dense(x)
    model.prepare(batch, z)
    optimise(model, batch, z, 500)
    x, z = overdispersed(20, 20_000, "unseen")
    atoms = model.sample(z, 20_000, stream("draw"))
    assert float((trace(atoms) / trace(x)).mean()) == pytest.approx(1, abs=0.1)
    # given the rate, counts are independent: the latent explains all of their correlation
    for b in range(20):
        value, expected = (torch.corrcoef(y[b].T)[0, 1] for y in (atoms, x))
        assert value == pytest.approx(float(expected), abs=0.1)


def test_counts_start_from_the_estimates_of_single_sets():
    x, z = overdispersed(200, 200, "train")
    model = make((3,), latent=1, likelihood="negative_binomial")
    model.prepare(SetBatch.from_dense(x), z)
    x, z = overdispersed(20, 20_000, "unseen")
    atoms = model.sample(z, 20_000, stream("draw"))
    # an embedding is linear in the mean; an untrained network moves it by some hundredths
    torch.testing.assert_close(atoms.mean(1), x.mean(1), rtol=0.1, atol=0)
    torch.testing.assert_close(trace(atoms), trace(x), rtol=0.2, atol=0)


def test_a_collapsed_posterior_leaves_the_noise_right():
    # the decoder has no access to a, and the base stays at scale 1 where data have 3 and 0.5
    model = make((2,))
    model.base.requires_grad_(False)
    for p in (model.decoder.inputs.weight, model.decoder.inputs.bias):
        nn.init.zeros_(p).requires_grad_(False)
    deviation = torch.tensor([3.0, 0.5])
    x = deviation * torch.randn(16, 500, 2, generator=stream("x"))
    z = torch.zeros(16, LATENT)
    optimise(model, SetBatch.from_dense(x), z, 300)
    atoms = model.sample(z, 5000, stream("draw"))
    # 8,000 atoms and 80,000 draws: 1 % of a deviation
    torch.testing.assert_close(atoms.std((0, 1)), x.std((0, 1)), rtol=0.05, atol=0)
    with torch.no_grad():
        encoded = model.encoder(x, z, lambda v: v.unsqueeze(1))
    assert encoded.abs().max() < 0.3, "q is the prior"


def test_it_starts_as_its_base():
    model = make().eval()
    z = torch.randn(2, LATENT, generator=stream("z"))
    x = model.base(z).location.unsqueeze(1) + torch.zeros(2, 1, 2)
    atoms = model.sample(z, 20_000, stream("draw"))
    assert (atoms.mean(1, keepdim=True) - x).abs().max() < 0.1
    assert (atoms.std(1) - 1).abs().max() < 0.1


@pytest.mark.parametrize("bad", [-1.0, 0.5])
@pytest.mark.parametrize("call", ["loss", "prepare"])
def test_atoms_that_are_no_counts_are_refused(bad, call):
    model = make((2,), likelihood="negative_binomial")
    batch = SetBatch.from_dense(torch.tensor([[[1.0, 2.0], [0.0, bad]]]))
    z = torch.zeros(1, LATENT)
    with pytest.raises(ValueError, match=r"the counts 0, 1, 2, \.\.\. .*raw counts"):
        model.loss(batch, z, stream("loss")) if call == "loss" else model.prepare(batch, z)


def test_invalid_options_are_refused():
    with pytest.raises(ValueError, match="at least one number"):
        make(hidden=0)
    with pytest.raises(ValueError, match="likelihood"):
        make(likelihood="student")
