"""Covariance of z: laws, closed forms, and seeded comparisons with repeated draws."""

import numpy as np
import pytest
import torch
from inference_fakes import Functional, ragged, small_deepsets
from torch import nn

from distembed.batch import SetBatch
from distembed.encoders.pooling import MedianPooling
from distembed.encoders.statistics import run
from distembed.inference import jackknife
from distembed.inference.covariance import covariance
from distembed.inference.jackknife import BlockJackknife
from distembed.rng import stream

EXACT = {"rtol": 1e-10, "atol": 1e-14}
METHODS = ("influence", "jackknife")


def moments(batch):
    mean = batch.mean(batch.x)
    variance = batch.mean((batch.x - batch.expand(mean)).square())
    return torch.cat([mean, (variance + 0.1).log()], 1)


MEAN = Functional(lambda batch: batch.mean(batch.x))
MOMENTS = Functional(moments)
MEDIAN = Functional(lambda b: run(MedianPooling()(b, b.x), b), smooth=False)


# -- laws -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "encoder", [MEAN, MOMENTS, small_deepsets()], ids=["mean", "moments", "deepsets"]
)
def test_the_order_of_atoms_changes_nothing(encoder):
    batch = ragged(0)
    order = torch.cat([torch.arange(16).flip(0), 16 + torch.randperm(30), 46 + torch.randperm(25)])
    same = SetBatch(batch.x[order], batch.w[order], batch.offsets)
    np.testing.assert_allclose(
        covariance(encoder, same).cov, covariance(encoder, batch).cov, **EXACT
    )


@pytest.mark.parametrize("method", METHODS)
def test_an_atom_of_weight_zero_changes_nothing(method):
    batch = ragged(1)
    x, w = torch.cat([batch.x, batch.x[:1] + 9]), torch.cat([batch.w, batch.w.new_zeros(1)])
    more = SetBatch(x, w, batch.offsets + torch.tensor([0, 0, 0, 1]))
    a, b = (covariance(MOMENTS, each, method=method) for each in (batch, more))
    for name in ("z", "cov", "df", "effective_sizes"):
        np.testing.assert_allclose(getattr(a, name), getattr(b, name), **EXACT)


@pytest.mark.parametrize("method", METHODS)
def test_sets_are_independent(method):
    batch = ragged(2)
    whole = covariance(MOMENTS, batch, method=method)
    for b in range(3):
        alone = covariance(MOMENTS, batch[b], method=method)
        np.testing.assert_allclose(alone.cov[0], whole.cov[b], **EXACT)
        assert alone.df[0] == whole.df[b]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "encoder", [MEAN, MOMENTS, small_deepsets()], ids=["mean", "moments", "deepsets"]
)
def test_compressed_duplicates_with_their_count_are_the_expanded_set(encoder, method):
    rng = stream(3, "count")
    sets, counts = [torch.randn(m, 2, generator=rng).double() for m in (1, 9, 14)], []
    counts = [torch.randint(1, 6, (len(s),), generator=rng) + 1 for s in sets]
    compressed = SetBatch.from_list(sets, [c.double() for c in counts])
    expanded = SetBatch.from_list(
        [s.repeat_interleave(c, 0) for s, c in zip(sets, counts, strict=True)]
    )
    counted = covariance(encoder, compressed, count=torch.cat(counts), method=method)
    whole = covariance(encoder, expanded, method=method)
    for name in ("z", "cov", "df", "effective_sizes"):
        np.testing.assert_allclose(
            getattr(counted, name), getattr(whole, name), rtol=1e-9, atol=1e-13
        )
    assert np.isfinite(counted.cov[1:]).all()
    # without the count there are fewer draws
    uncounted = covariance(encoder, compressed, method=method)
    assert (uncounted.effective_sizes[1:] < counted.effective_sizes[1:]).all()


def test_an_atom_split_with_its_count_changes_nothing():
    batch = ragged(4, (8,))
    x, w = torch.cat([batch.x, batch.x[:1]]), torch.cat([batch.w, batch.w[:1] / 2])
    w[0] /= 2
    split = SetBatch(x, w, torch.tensor([0, 9]))
    half = np.r_[0.5, np.ones(7), 0.5]
    a, b = covariance(MOMENTS, batch), covariance(MOMENTS, split, count=half)
    np.testing.assert_allclose(a.cov, b.cov, **EXACT)
    np.testing.assert_allclose(a.effective_sizes, b.effective_sizes, **EXACT)


@pytest.mark.parametrize("method", METHODS)
def test_an_affine_map_of_z_maps_its_covariance(method):
    matrix = torch.randn(3, 4, generator=stream("affine"), dtype=torch.float64)
    mapped = Functional(lambda batch: moments(batch) @ matrix.T + 5)
    batch = ragged(5)
    v = covariance(MOMENTS, batch, method=method).cov
    expected = matrix.numpy() @ v @ matrix.numpy().T
    result = covariance(mapped, batch, method=method).cov
    np.testing.assert_allclose(result, expected, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("method", METHODS)
def test_runs_of_sets_change_nothing(method):
    batch = ragged(6, (16, 30, 25, 11))
    whole = covariance(small_deepsets(), batch, method=method)
    pieces = covariance(small_deepsets(), batch, method=method, atoms=20)
    np.testing.assert_allclose(pieces.cov, whole.cov, **EXACT)
    np.testing.assert_allclose(pieces.z, whole.z, **EXACT)


# -- closed forms ---------------------------------------------------------------------------------


def test_the_covariance_of_a_mean_is_the_sample_covariance():
    batch = ragged(7, (2, 5, 40), weighted=False)
    result = covariance(MEAN, batch)
    sets = batch.x.split(batch.sizes.tolist())
    np.testing.assert_allclose(result.cov, np.stack([s.T.cov() / len(s) for s in sets]), **EXACT)
    assert result.method == "influence"
    assert (result.df == np.inf).all()
    np.testing.assert_allclose(result.effective_sizes, [2, 5, 40], rtol=1e-12)
    np.testing.assert_allclose(
        result.standard_errors[2], sets[2].std(0).numpy() / 40**0.5, rtol=1e-12
    )


def test_blocks_of_a_mean_are_the_sample_covariance_of_block_means():
    # two values, and blocks of equal size
    x = torch.tensor([0.0, 3.0]).repeat(20)[:, None].double()
    result = covariance(MEAN, SetBatch.from_dense(x[None]), method="jackknife")
    block = torch.randperm(40, generator=stream(0, "blocks", 40)) % 20
    means = np.array([x[block == j].mean() for j in range(20)])
    np.testing.assert_allclose(result.cov.item(), means.var(ddof=1) / 20, rtol=1e-10)
    np.testing.assert_allclose(result.df, 19, rtol=1e-12)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("m", [16, 23, 61])
@pytest.mark.parametrize("power", [0, 1, 6])
def test_the_variance_of_a_weighted_mean_is_unbiased(method, m, power):
    """V = x^T M x with M 1 = 0, so over atoms of unit variance E V = tr M: M_ii is V of e_i."""
    w = (torch.arange(m, dtype=torch.float64) + 1) ** power
    units = torch.cat([torch.eye(m), torch.ones(1, m)]).double()
    batch = SetBatch.from_dense(units[..., None], w.expand(m + 1, m))
    result = covariance(MEAN, batch, method=method).cov.ravel()
    assert result[-1] < 1e-28
    np.testing.assert_allclose(result[:-1].sum(), (batch.w[:m] ** 2).sum(), rtol=1e-9)


def test_too_few_blocks_are_refused():
    with pytest.raises(ValueError, match="at least 8 blocks"):
        BlockJackknife(blocks=7)


def test_the_seed_chooses_the_blocks():
    batch = ragged(10, (40,))
    a, b, c = (
        covariance(MEAN, batch, method="jackknife", jackknife=BlockJackknife(seed=seed)).cov
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(a, b)
    assert (a != c).any()


@pytest.mark.parametrize("blocks", [8, 12, 20, 24, 32, 44, 48, 60])
def test_halves_are_a_hadamard_matrix(blocks):
    signs = 2 * jackknife._halves(blocks).double() - 1
    whole = torch.cat([signs, torch.ones(1, blocks)])
    torch.testing.assert_close(whole @ whole.T, blocks * torch.eye(blocks).double())


def test_a_covariance_is_missing_for_single_draws_only():
    sets = [[[1.0]], [[0.0], [5.0]], [[0.0], [2.0]], [[float(k)] for k in range(16)]]
    weights = [[1.0], [1.0, 0.0], [1.0, 1.0], [1.0] * 16]
    batch = SetBatch.from_list(sets, weights)
    result = covariance(MEAN, batch)
    assert np.isnan(result.cov.ravel()).tolist() == [True, True, False, False]
    assert np.isnan(result.df).tolist() == [True, True, False, False]
    assert np.isfinite(result.z).all()
    blocks = covariance(MEAN, batch, method="jackknife")
    assert np.isnan(blocks.cov.ravel()).tolist() == [True, True, True, False]
    np.testing.assert_allclose(blocks.df, [np.nan, np.nan, np.nan, 7])
    alone = covariance(MEAN, batch[0], method="jackknife")
    assert np.isnan(alone.cov).all()
    # one atom that stands for five draws has no variance
    assert covariance(MEAN, batch[0], count=[5]).cov.item() == 0


def test_the_method_follows_the_encoder():
    batch = ragged(8, (40, 40), weighted=False)

    def unweighted(b):
        return torch.stack([s.mean(0) for s in b.x.split(b.sizes.tolist())])

    for encoder in (MEDIAN, Functional(unweighted)):
        result = covariance(encoder, batch)
        assert result.method == "jackknife"
        assert (result.standard_errors > 0).all()
    assert covariance(MEAN, batch).method == "influence"


# -- statistics -----------------------------------------------------------------------------------


def test_influence_and_jackknife_agree():
    sets, m, g = 60, 200, 20
    x = torch.randn(sets, m, 2, generator=stream("agree"), dtype=torch.float64)
    batch, encoder = SetBatch.from_dense(x), small_deepsets(8)
    a, b = (covariance(encoder, batch, method=each).cov for each in METHODS)
    trace = np.trace(a, axis1=1, axis2=2)
    ratio = np.trace(b, axis1=1, axis2=2).sum() / trace.sum()
    # a Wishart of g - 1 degrees has Var tr = 2 tr(V^2) / (g - 1); bias is O(1 / m)
    error = np.sqrt(2 * (a**2).sum((1, 2)).sum() / (g - 1)) / trace.sum()
    assert abs(ratio - 1) < 4 * error + 2 / m
    assert error < 0.04


def test_a_median_is_covered():
    """Intervals of the median of a normal sample, by Student's t of nineteen degrees."""
    from scipy.stats import t

    sets, m = 1500, 101
    x = torch.randn(sets, m, 1, generator=stream("median"), dtype=torch.float64)
    result = covariance(MEDIAN, SetBatch.from_dense(x))
    reach = result.standard_errors[:, 0] * t.ppf(0.975, result.df)
    covered = (np.abs(result.z[:, 0]) < reach).mean()
    # standard error 0.65 % over 1,500 sets; coverage 93 %, and 90 % if blocks are left out singly
    assert abs(covered - 0.93) < 3 * 0.0065


def test_the_trace_agrees_with_repeated_draws():
    m, sets, predicted = 300, 2200, 140
    encoder, rng = small_deepsets(8, torch.float32), stream("repeated")
    x = torch.randn(sets + predicted, m, 2, generator=rng)
    x = x + 0.3 * x.square()
    with torch.no_grad():
        z = encoder(SetBatch.from_dense(x[:sets])).double().numpy()
    empirical = np.cov(z.T)
    result = covariance(encoder, SetBatch.from_dense(x[sets:]))
    traces = np.trace(result.cov, axis1=1, axis2=2)
    total = np.trace(empirical)
    # Var tr S = 2 tr(V^2) / (n - 1), the variance of the predictions, and a bias of O(1 / m)
    error = np.hypot(
        np.sqrt(2 * (empirical**2).sum() / (sets - 1)) / total,
        traces.std(ddof=1) / np.sqrt(predicted) / total,
    )
    assert abs(traces.mean() / total - 1) < 4 * error + 2 / m
    assert error < 0.035


# -- use ------------------------------------------------------------------------------------------


def test_the_encoder_is_not_changed_and_float32_is_enough():
    encoder = small_deepsets(8, torch.float32).train()
    batch = ragged(9)
    single, double = (covariance(encoder, batch, double=each) for each in (False, True))
    assert encoder.training
    assert all(p.requires_grad and p.grad is None for p in encoder.parameters())
    assert next(encoder.parameters()).dtype == torch.float32
    assert single.cov.dtype == np.float64
    scale = np.abs(double.cov).max((1, 2), keepdims=True)
    assert (np.abs(single.cov - double.cov) < 1e-4 * scale).all()


@torch.no_grad()
def test_it_works_where_gradients_are_off():
    result = covariance(MOMENTS, ragged(0))
    assert result.method == "influence"
    assert np.isfinite(result.cov).all()


def test_dropout_is_off():
    class Noisy(nn.Module):
        latent = 2

        def __init__(self):
            super().__init__()
            self.layer = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5))

        def forward(self, batch):
            return batch.mean(self.layer(batch.x))

    encoder = Noisy().train()
    a, b = (covariance(encoder, ragged(0)) for _ in range(2))
    np.testing.assert_array_equal(a.cov, b.cov)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"count": [1.0, 2.0]}, r"count has shape \(2,\)"),
        ({"count": np.zeros(16)}, "finite and positive"),
        ({"count": np.full(16, 1.5), "method": "jackknife"}, "whole draws"),
        ({"method": "bootstrap"}, "there are: 'influence', 'jackknife'"),
    ],
)
def test_bad_arguments_are_refused(options, match):
    with pytest.raises(ValueError, match=match):
        covariance(MEAN, ragged(0, (16,)), **options)


def test_influences_of_a_median_are_refused():
    with pytest.raises(ValueError, match="Functional has no derivative by the weights"):
        covariance(MEDIAN, ragged(0), method="influence")
    with pytest.raises(ValueError, match="Functional has no derivative by the weights"):
        covariance(Functional(lambda b: b.x[b.offsets[:-1]]), ragged(0), method="influence")
