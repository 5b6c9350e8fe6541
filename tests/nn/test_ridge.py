"""Ridge regression against normal equations and against refits without a row."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from distembed.nn.ridge import PenaltyGrid, ridge
from distembed.rng import stream


def only(penalty):
    """A grid of one penalty."""
    return PenaltyGrid(penalty, penalty, 1)


def problem(n=30, k=4, outputs=3, seed=0):
    rng = stream("ridge", seed)
    x = torch.randn(n, k, generator=rng, dtype=torch.float64) + 1
    y = x @ torch.randn(k, outputs, generator=rng, dtype=torch.float64)
    y = y + 2 + 0.3 * torch.randn(n, outputs, generator=rng, dtype=torch.float64)
    sample_weight = 0.2 + torch.rand(n, 1, generator=rng, dtype=torch.float64)
    return x, y, sample_weight


def normal_equations(x, y, w, penalty, intercept):
    """Minimise sum_i w_i |y_i - x_i b - c|^2 + penalty |b|^2; the constant c is free."""
    columns = np.column_stack([x, np.ones(len(x))]) if intercept else x
    free = np.eye(columns.shape[1])
    if intercept:
        free[-1, -1] = 0
    gram = columns.T @ (w * columns) + penalty * free
    solved = np.linalg.solve(gram, columns.T @ (w * y))
    return (solved[:-1], solved[-1]) if intercept else (solved, np.zeros(y.shape[1]))


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("penalty", [1e-6, 1e-2, 10.0])
def test_fixed_penalty_is_the_closed_form(penalty, intercept):
    x, y, sample_weight = problem()
    fit = ridge(x, y, sample_weight, intercept, only(penalty))
    w = (sample_weight / sample_weight.mean()).numpy()
    weight, bias = normal_equations(x.numpy(), y.numpy(), w, penalty * len(x), intercept)
    # float64 and a condition number below 1e3
    np.testing.assert_allclose(fit.weight, weight, atol=1e-10)
    np.testing.assert_allclose(fit.bias, bias, atol=1e-10)


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize(("penalty", "k"), [(1e-6, 4), (0.3, 4), (1e-6, 60), (0.3, 60)])
def test_error_is_that_of_refits_without_a_row(penalty, k, intercept):
    x, y, sample_weight = problem(k=k)
    w = (sample_weight / sample_weight.mean()).numpy()
    fit = ridge(x, y, sample_weight, intercept, only(penalty))
    squares = []
    for i in range(len(x)):
        rest = np.arange(len(x)) != i
        part = (t.numpy()[rest] for t in (x, y))
        weight, bias = normal_equations(*part, w[rest], penalty * len(x), intercept)
        left_out = x[i].numpy() @ weight + bias
        # with more inputs than rows 1 - h is of the order of the penalty
        close = 1e-10 if k < 30 else 1e-7
        np.testing.assert_allclose(fit.left_out[i], left_out, atol=close)
        squares.append(w[i] * (y[i].numpy() - left_out) ** 2)
    np.testing.assert_allclose(fit.error, np.mean(squares, 0) ** 0.5, rtol=close)


@given(st.integers(0, 1000), st.integers(1, 6), st.integers(1, 4))
@settings(max_examples=25, deadline=None)
def test_an_exact_map_is_recovered(seed, k, outputs):
    rng = stream("exact", seed)
    x = torch.randn(50, k, generator=rng, dtype=torch.float64)
    weight = torch.randn(k, outputs, generator=rng, dtype=torch.float64)
    fit = ridge(x, x @ weight + 3, torch.ones(50, 1))
    # the smallest penalty is 1e-8, and 50 normal rows have singular values^2 / n above 0.2
    torch.testing.assert_close(fit.weight, weight, rtol=0, atol=1e-6)
    torch.testing.assert_close(fit.bias, torch.full((outputs,), 3.0).double(), rtol=0, atol=1e-6)
    assert fit.error.max() < 1e-6


def test_every_output_chooses_its_own_penalty():
    x, y, sample_weight = problem(n=200, outputs=1)
    noise = 30 * torch.randn(len(x), 1, generator=stream("noise"), dtype=torch.float64)
    y = torch.cat([x[:, :1] * 2, y, noise], 1)
    together = ridge(x, y, sample_weight)
    grid = PenaltyGrid().values().tolist()
    fixed = [ridge(x, y, sample_weight, grid=only(penalty)) for penalty in grid]
    errors = torch.stack([fit.error for fit in fixed])
    chosen = errors.argmin(0)
    torch.testing.assert_close(together.error, errors.amin(0))
    for j, best in enumerate(chosen.tolist()):
        torch.testing.assert_close(together.weight[:, j], fixed[best].weight[:, j])
        torch.testing.assert_close(together.bias[j], fixed[best].bias[j])
    assert chosen[0] == 0, "an exact output needs the smallest penalty"
    assert chosen[2] > chosen[1], "and noise a greater one than signal"


def test_a_row_of_weight_zero_changes_nothing():
    x, y, sample_weight = problem()
    sample_weight[3] = 0
    positive = sample_weight[:, 0] > 0
    complete, part = (
        ridge(x, y, sample_weight),
        ridge(x[positive], y[positive], sample_weight[positive]),
    )
    torch.testing.assert_close(complete.weight, part.weight)
    torch.testing.assert_close(complete.bias, part.bias)
    torch.testing.assert_close(complete.error, part.error)


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("grouped", [False, True])
def test_rows_of_weight_zero_are_predicted_by_the_others(grouped, intercept):
    x, y, sample_weight = problem()
    sample_weight[[3, 7, 8]] = 0
    w = (sample_weight / sample_weight.mean()).numpy()
    groups = np.array([0, 3, 1, 1, 3, 2] * 5) if grouped else np.arange(len(x))
    fit = ridge(
        x, y, sample_weight, intercept, only(0.3), torch.from_numpy(groups) if grouped else None
    )
    for group in np.unique(groups[[3, 7, 8]]):
        rest = groups != group
        part = (t.numpy()[rest] for t in (x, y))
        weight, bias = normal_equations(*part, w[rest], 0.3 * len(x), intercept)
        left_out = x.numpy()[~rest] @ weight + bias
        np.testing.assert_allclose(fit.left_out[torch.from_numpy(~rest)], left_out, atol=1e-10)


def test_the_scale_of_the_weights_cancels():
    x, y, sample_weight = problem()
    torch.testing.assert_close(
        ridge(x, y, 7 * sample_weight).weight, ridge(x, y, sample_weight).weight
    )


@pytest.mark.parametrize("n", [1, 2, 5])
def test_more_inputs_than_rows(n):
    x, y, sample_weight = problem(n=n, k=20)
    fit = ridge(x, y, sample_weight)
    assert all(t.isfinite().all() for t in (fit.weight, fit.bias, fit.error))


def test_noise_is_shrunk_also_with_more_inputs_than_rows():
    x = torch.randn(40, 100, generator=stream("x"), dtype=torch.float64)
    noise = torch.randn(40, 20, generator=stream("noise"), dtype=torch.float64)
    fit = ridge(x, noise, torch.ones(40, 1), grid=PenaltyGrid(1e-8, 1e3))
    # the mean of 39 others predicts noise of unit variance with an error of about 1
    assert (fit.error > 0.5).all()
    through = ridge(x, noise, torch.ones(40, 1), grid=only(1e-8))
    assert fit.weight.norm() < 0.5 * through.weight.norm()


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("scale", [1e2, 1e4, 1e6])
def test_noise_is_not_fitted_through_by_inputs_on_a_large_scale(scale, grouped):
    """The estimate at left-out rows is that of refits, also where 1 - h is near rounding."""
    n, outputs = 20, 3
    x = scale * torch.randn(n, 50, generator=stream("x"), dtype=torch.float64)
    noise = torch.randn(n, outputs, generator=stream("noise"), dtype=torch.float64)
    groups = torch.arange(n) // 4 if grouped else torch.arange(n)
    ones = torch.ones(n, 1, dtype=torch.float64)
    fit = ridge(x, noise, ones, grid=only(1e-8), groups=groups if grouped else None)
    penalty = max(1e-8 * n, 1e-12 * float(torch.linalg.matrix_norm(x - x.mean(0), 2)) ** 2)
    for g in groups.unique():
        rest = groups != g
        # n rows and 50 inputs: the normal equations of the rows
        a, b = x[rest] - x[rest].mean(0), noise[rest] - noise[rest].mean(0)
        dual = torch.linalg.solve(a @ a.T + penalty * torch.eye(len(a)).double(), b)
        left_out = (x[~rest] - x[rest].mean(0)) @ (a.T @ dual) + noise[rest].mean(0)
        # 1e-16 over 1e-12, and the condition of twenty inputs
        torch.testing.assert_close(fit.left_out[~rest], left_out, rtol=0, atol=1e-2)
    assert (fit.error > 0.3).all()


@pytest.mark.parametrize("intercept", [True, False])
def test_error_of_groups_is_that_of_refits_without_a_group(intercept):
    x, y, sample_weight = problem()
    w = (sample_weight / sample_weight.mean()).numpy()
    groups = np.array([0, 3, 1, 1, 3, 2] * 5)
    fit = ridge(x, y, sample_weight, intercept, only(0.3), torch.from_numpy(groups))
    for group in range(4):
        rest = groups != group
        part = (t.numpy()[rest] for t in (x, y))
        weight, bias = normal_equations(*part, w[rest], 0.3 * len(x), intercept)
        left_out = x.numpy()[~rest] @ weight + bias
        np.testing.assert_allclose(fit.left_out[torch.from_numpy(~rest)], left_out, atol=1e-10)
    gap = w**0.5 * (y - fit.left_out).numpy()
    np.testing.assert_allclose(fit.error, np.square(gap).mean(0) ** 0.5, rtol=1e-10)


def test_groups_of_one_row_are_rows():
    x, y, sample_weight = problem()
    alone, rows = ridge(x, y, sample_weight, groups=torch.arange(30)), ridge(x, y, sample_weight)
    torch.testing.assert_close(alone.error, rows.error)
    torch.testing.assert_close(alone.weight, rows.weight)


def test_copies_of_rows_choose_the_penalty_of_the_rows():
    x, y, sample_weight = problem(n=12, k=8)
    y = torch.randn(12, 3, generator=stream("noise"), dtype=torch.float64)
    once = ridge(x, y, torch.ones(12, 1))
    rows = torch.arange(12).repeat(3)
    thrice = ridge(x[rows], y[rows], torch.ones(36, 1), groups=rows)
    torch.testing.assert_close(thrice.weight, once.weight)
    # a copy of a row tells all of it, so that single rows choose too small a penalty
    apart = ridge(x[rows], y[rows], torch.ones(36, 1))
    assert (apart.error < once.error).all()
    assert apart.weight.norm() > 2 * once.weight.norm()
