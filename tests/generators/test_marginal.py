"""The likelihood of measured features against SciPy's normal density of these features."""

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

from distembed.batch import SetBatch
from distembed.generators.base import Gaussian
from distembed.generators.explicit import Explicit
from distembed.generators.marginal import marginal_log_prob
from distembed.rng import stream


def drawn(d, sizes=(7, 5), missing=0.4):
    rng, count = stream("marginal", d), sum(sizes)
    x = torch.randn(count, d, generator=rng, dtype=torch.float64)
    observed = torch.rand(count, d, generator=rng) > missing
    observed[0] = False
    w = torch.cat([torch.full((m,), 1 / m, dtype=torch.float64) for m in sizes])
    return SetBatch(x, w, torch.tensor([0, *sizes]).cumsum(0), observed), x


@pytest.mark.parametrize("full", [True, False])
def test_density_of_the_measured_features(full):
    d, (batch, x) = 4, drawn(4)
    location = torch.randn(2, d, generator=stream("location"), dtype=torch.float64)
    scale = torch.tensor([[0.5], [2.0]], dtype=torch.float64)
    if full:
        mix = torch.randn(2, d, d, generator=stream("scale"), dtype=torch.float64)
        scale = torch.linalg.cholesky(mix @ mix.mT + 0.1 * torch.eye(d))
    nats = marginal_log_prob(batch, Gaussian(location, scale))
    for i, b in enumerate(batch.owner.tolist()):
        o = batch.observed[i].numpy()
        cov = scale[b] @ scale[b].mT if full else scale[b] ** 2 * torch.eye(d)
        expected = 0.0
        if o.any():
            law = multivariate_normal(location[b].numpy()[o], cov.numpy()[np.ix_(o, o)])
            expected = law.logpdf(x[i].numpy()[o])
        assert float(nats[i]) == pytest.approx(expected, abs=1e-9)


def test_the_loss_of_complete_sets_is_the_same_with_and_without_marginals():
    batch, _ = drawn(3, missing=-1.0)
    complete = SetBatch(batch.filled, batch.w, batch.offsets).to(dtype=torch.float32)
    model = Explicit((3,), latent=2)
    z = torch.zeros(2, 2)
    gaussian = model.density.base(z)
    torch.testing.assert_close(
        model.log_prob(complete, z), marginal_log_prob(complete, gaussian), rtol=0, atol=1e-4
    )


@pytest.mark.parametrize("d", [2, 40])
def test_a_fitted_gaussian_has_the_moments_of_complete_sets(d):
    """Means of 1,500 values differ from those of all 3,000 by 0.018 deviations: 6 of these."""
    rng = stream("fit", d)
    # means that are linear in z, so that z tells those of sets that are left out
    z = torch.linalg.qr(torch.randn(12, 5, generator=rng))[0] * 2
    x = (z @ torch.randn(5, d, generator=rng))[:, None] + torch.randn(12, 3000, d, generator=rng)
    batch = SetBatch.from_dense(x)
    observed = torch.rand(batch.x.shape, generator=rng) > 0.5
    masked = SetBatch(batch.x, batch.w, batch.offsets, observed)
    model = Explicit((d,), latent=5)
    model.prepare(masked, z)
    masked_location = model.density.base(z).location.detach()
    model.prepare(batch, z)
    plain = model.density.base(z).location.detach()
    # both regressions have the same inputs and weights, and nearly the same penalties
    assert float((masked_location - plain).abs().max()) < 6 * 0.018


def test_the_loss_is_per_measured_feature():
    batch, _ = drawn(3)
    batch = batch.without_empty()._normalised()
    model = Explicit((3,), latent=2)
    batch, z = batch.to(dtype=torch.float32), torch.zeros(2, 2)
    nats = model.log_prob(batch, z).detach()
    for b in range(2):
        own = batch.owner == b
        total = (batch.w[own] * batch.mask[own].sum(1)).sum()
        expected = -(batch.w[own] * nats[own]).sum() / total
        assert float(model.loss(batch, z, stream(0))[b].detach()) == pytest.approx(
            float(expected), rel=1e-5
        )
