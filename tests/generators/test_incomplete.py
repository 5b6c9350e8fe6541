"""Atoms with missing features in a flow: their measured part, and its law under the base."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from distembed.batch import SetBatch
from distembed.divergences.energy import unbiased_energy
from distembed.generators.base import BaseSettings, ConditionalGaussian, Gaussian
from distembed.generators.explicit import Explicit
from distembed.generators.flow import Flow, flow
from distembed.generators.incomplete import MeasuredPart, measured_likelihood
from distembed.rng import stream


def drawn(seed, d, full=True, sizes=(4, 3)):
    """Return sets with missing values, each atom with at least one, and a Gaussian of each."""
    rng = np.random.default_rng(seed)
    count = sum(sizes)
    observed = rng.random((count, d)) < 0.6
    observed[np.arange(count), rng.integers(0, d, count)] = True
    w = np.concatenate([np.full(m, 1 / m) for m in sizes])
    batch = SetBatch(
        torch.from_numpy(rng.normal(size=(count, d))), torch.from_numpy(w),
        torch.tensor([0, *sizes]).cumsum(0), torch.from_numpy(observed),
    )  # fmt: skip
    scale = torch.from_numpy(rng.uniform(0.5, 2, (len(sizes), 1)))
    if full:
        mix = rng.normal(size=(len(sizes), d, d))
        scale = torch.linalg.cholesky(torch.from_numpy(mix @ mix.transpose(0, 2, 1) + np.eye(d)))
    return batch, Gaussian(torch.from_numpy(rng.normal(size=(len(sizes), d))), scale)


def as_matrix(gaussian, b, d):
    scale = gaussian.scale[b]
    return scale.numpy() if scale.ndim == 2 else float(scale) * np.eye(d)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 5), st.booleans())
def test_completed_residuals_have_the_conditional_law(seed, d, full):
    batch, gaussian = drawn(seed, d, full)
    part = MeasuredPart(batch, gaussian)
    base = part.complete(torch.zeros(len(batch.w), d, dtype=torch.float64))
    # complete(e) = base + (1 - Pi) e, so that its law follows from the columns of 1 - Pi
    columns = [
        part.complete(torch.eye(d, dtype=torch.float64)[j].expand_as(base)) - base
        for j in range(d)
    ]
    for i, b in enumerate(batch.owner.tolist()):
        o = batch.mask[i].bool().numpy()
        c, location = as_matrix(gaussian, b, d), gaussian.location[b].numpy()
        s = c @ c.T
        gain = s[:, o] @ np.linalg.inv(s[np.ix_(o, o)])
        x = batch.filled[i].numpy()
        mean = location + gain @ (x - location)[o]
        np.testing.assert_allclose(location + c @ base[i].numpy(), mean, atol=1e-8)
        rest = np.stack([column[i].numpy() for column in columns], 1)
        cov = c @ rest @ rest.T @ c.T
        np.testing.assert_allclose(cov, s - gain @ s[o], atol=1e-8)
        np.testing.assert_allclose(mean[o], x[o], atol=1e-8)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 5), st.booleans())
def test_the_measured_part_is_an_orthogonal_projection(seed, d, full):
    batch, gaussian = drawn(seed, d, full)
    part = MeasuredPart(batch, gaussian)
    rng = np.random.default_rng(seed + 1)
    u, v = (torch.from_numpy(rng.normal(size=(len(batch.w), d))) for _ in range(2))
    once = part.project(u)
    torch.testing.assert_close(part.project(once), once)
    torch.testing.assert_close((u * part.project(v)).sum(1), (once * v).sum(1))
    unit = [part.project(torch.eye(d, dtype=u.dtype)[j].expand_as(u))[:, j] for j in range(d)]
    torch.testing.assert_close(torch.stack(unit).sum(0), batch.mask.sum(1).to(u.dtype))


def test_of_complete_atoms_all_is_measured():
    batch, gaussian = drawn(3, 4)
    complete = SetBatch(batch.filled, batch.w, batch.offsets)
    part = MeasuredPart(complete, gaussian)
    e = torch.ones(len(batch.w), 4, dtype=torch.float64)
    torch.testing.assert_close(part.complete(e), gaussian.whiten(complete))
    torch.testing.assert_close(part.project(e), e)


@pytest.mark.parametrize("d", [3, 40])
def test_the_likelihood_of_complete_atoms_is_that_of_the_base(d):
    base = ConditionalGaussian(d, 2, settings=BaseSettings(network=False))
    rng = stream("likelihood")
    batch = SetBatch.from_dense(torch.randn(3, 8, d, generator=rng))
    z = torch.randn(3, 2, generator=rng)
    base.prepare(batch, z)
    gaussian = base(z)
    torch.testing.assert_close(
        measured_likelihood(batch, gaussian, base.unit),
        base.negative_log_likelihood(batch, gaussian), rtol=1e-4, atol=1e-4,
    )  # fmt: skip


def test_the_loss_sees_measured_features_only():
    """Features of the field that are not measured get no gradient from an atom."""
    model = Flow((3,), latent=2)
    observed = torch.tensor([[True, False, True]] * 6)
    x = torch.randn(6, 3, generator=stream("x"))
    batch = SetBatch(x, torch.full((6,), 1 / 6), torch.tensor([0, 6]), observed)
    outputs = []

    def keep(module, inputs, output):
        output.retain_grad()
        outputs.append(output)

    model.field.register_forward_hook(keep)
    loss = model.loss(batch, torch.zeros(1, 2), stream("loss"))
    loss.sum().backward()
    # the base is standard normal before it is prepared, so that features are coordinates
    grad = outputs[0].grad
    assert float(grad[:, 1].abs().max()) < 1e-6
    assert (grad[:, [0, 2]].abs() > 1e-6).all()
    other = batch.replace(x=torch.where(observed, x, 1e6))
    assert torch.equal(model.loss(other, torch.zeros(1, 2), stream("loss")), loss)


def test_flows_say_whether_they_take_masks():
    assert flow((2,), 4, masked=True).traits.masked
    assert not flow((2,), 4).traits.masked  # normal scores read complete atoms
    assert flow((2,), 4, scale="plain", masked=True).traits.masked
    with pytest.raises(ValueError, match="scale='scores' reads complete atoms"):
        flow((2,), 4, scale="scores", masked=True)


@pytest.mark.slow
def test_a_shape_that_is_not_gaussian_is_drawn_from_measured_features():
    """Rings of which 30 % of the coordinates are missing: the Gaussian fills them."""
    rng = np.random.default_rng(0)
    angle = rng.uniform(0, 2 * np.pi, (8, 400))
    radius = np.linspace(0.5, 2, 8)[:, None]
    x = np.stack([radius * np.cos(angle), radius * np.sin(angle)], -1)
    x = torch.from_numpy(x + 0.05 * rng.normal(size=x.shape)).float()
    observed = torch.from_numpy(rng.random(x.shape) < 0.7)
    observed[..., 0] |= ~observed.any(-1)
    whole = SetBatch.from_dense(x)
    batch = SetBatch(whole.x, whole.w, whole.offsets, observed.flatten(0, 1))
    z = torch.from_numpy(radius).float().expand(8, 2)
    distance = {}
    for name, model in (("flow", Flow((2,), 2, width=64)), ("explicit", Explicit((2,), 2))):
        model.prepare(batch, z)
        parameters = [p for p in model.parameters() if p.requires_grad]
        optimiser = torch.optim.Adam(parameters, 2e-3)
        for step in range(800):
            optimiser.zero_grad()
            model.loss(
                batch.subsample(64, stream("draw", step)), z, stream("e", step)
            ).mean().backward()
            optimiser.step()
        drawn_atoms = SetBatch.from_dense(model.sample(z, 400, stream("sample")))
        distance[name] = float(unbiased_energy(drawn_atoms, whole).mean())
    assert distance["flow"] < 0.25 * distance["explicit"]
