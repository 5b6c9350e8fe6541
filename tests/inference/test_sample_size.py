"""Numbers of atoms from a pilot, held against simulated sets of so many atoms."""

from types import SimpleNamespace

import numpy as np
import pytest

from distembed.inference.chi_square.weighted_sum import ChiSquareSum
from distembed.inference.sample_size import DistanceError, EmbeddingError, Power, needed_atoms

DRAWS = 20_000


def pilot(gap, m=50, seed=0, size=4):
    """Two sets whose z is a mean of atoms, so that V = C / m exactly."""
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(2, size, size)) * [1.0, 0.6, 0.3, 0.1][:size]
    one = root @ root.mT
    noise = np.trace(one.sum(0)) / m
    unit = np.ones(size) / size**0.5
    # the pilot's raw difference holds its noise: what is left of it is the gap
    z = np.stack([0 * unit, np.sqrt(gap**2 + noise) * unit])
    table = SimpleNamespace(
        z=z, cov=one / m, effective_sizes=np.full(2, float(m)), ids=np.array(["a", "b"])
    )
    return table, one, gap * unit, rng


def means(one, mu, m, rng):
    """Means of m normal atoms of each set, drawn at once, and their difference."""
    noise = np.stack([rng.multivariate_normal(np.zeros(len(mu)), c / m, DRAWS) for c in one])
    return mu + noise[1] - noise[0], noise


def test_the_error_of_z():
    table, one, _, rng = pilot(1.0)
    found = needed_atoms(table, EmbeddingError(0.05))
    assert found.names.tolist() == [["a"], ["b"]]
    assert found.pilot.tolist() == [50, 50]
    for k, m in enumerate(found.atoms):
        exact = np.trace(one[k]) / m
        assert exact <= 0.05**2 < np.trace(one[k]) / (m - 1)
        _, noise = means(one, np.zeros(4), m, rng)
        spread = noise[k].var(0).sum()
        # the variance of a trace is 2 tr C^2 / draws
        error = np.sqrt(2 * (one[k] ** 2).sum() / DRAWS) / m
        assert spread == pytest.approx(exact, abs=4 * error)


@pytest.mark.parametrize("error", [1.0, 0.1])
def test_the_error_of_a_distance_is_met_and_not_by_one_atom_less(error):
    table, one, mu, _ = pilot(2.0)
    cov, (m,) = one.sum(0), needed_atoms(table, DistanceError(error)).atoms

    def reached(m):
        return np.sqrt(4 * mu @ cov @ mu / m + 2 * (cov**2).sum() / m**2) / (2 * 2.0)

    assert m > 1
    assert reached(m) <= error < reached(m - 1)


def test_the_error_of_a_distance():
    table, one, mu, rng = pilot(2.0)
    m = float(needed_atoms(table, DistanceError(0.1)).atoms[0])
    d, _ = means(one, mu, m, rng)
    square = (d**2).sum(1) - np.trace(one.sum(0)) / m
    # of the squared distance, exactly; of its root at 20 errors from zero, to (1/20)^2
    assert square.std() / (2 * 2.0) == pytest.approx(0.1, rel=4 * DRAWS**-0.5 + 1 / m)
    root = np.sqrt(np.maximum(square, 0))
    assert root.std() == pytest.approx(0.1, rel=4 * DRAWS**-0.5 + 1 / 400 + 1 / m)


@pytest.mark.parametrize("target", [Power(0.8), Power(0.95, 0.01), Power(0.5, 0.1)])
@pytest.mark.parametrize("gap", [0.2, 1.0])
def test_the_power_of_a_test(target, gap):
    table, one, mu, rng = pilot(gap)
    m = float(needed_atoms(table, target).atoms[0])
    critical = ChiSquareSum(np.linalg.eigvalsh(one.sum(0))[None]).quantile(target.size, True)[0]

    def rejections(gap):
        return (m * np.square(means(one, gap, m, rng)[0]).sum(1) > critical).mean()

    rejected, under_null = rejections(mu), rejections(0 * mu)
    error = np.sqrt(target.power * (1 - target.power) / DRAWS)
    # a whole atom more changes the power by what 1/m of the effect does, less than 2/m
    assert rejected == pytest.approx(target.power, abs=4 * error + 2 / m + 0.003)
    size_error = np.sqrt(target.size * (1 - target.size) / DRAWS)
    assert under_null == pytest.approx(target.size, abs=4 * size_error)


def test_what_a_pilot_cannot_say():
    table, *_ = pilot(1.0)
    table.z = np.array([[0.0] * 4, [1e-3] * 4])
    for target in (Power(), DistanceError(0.1)):
        assert needed_atoms(table, target).atoms.tolist() == [np.inf]
    table.cov = np.full_like(table.cov, np.nan)
    for target in (Power(), DistanceError(0.1), EmbeddingError(0.1)):
        assert np.isnan(needed_atoms(table, target).atoms).all()
    table.cov = None
    with pytest.raises(ValueError, match="no covariances"):
        needed_atoms(table, Power())


def test_more_is_asked_for_more():
    table, *_ = pilot(0.5)
    powers = [needed_atoms(table, Power(p)).atoms[0] for p in (0.3, 0.6, 0.9, 0.99)]
    sizes = [needed_atoms(table, Power(0.9, a)).atoms[0] for a in (0.2, 0.05, 0.001)]
    errors = [needed_atoms(table, DistanceError(e)).atoms[0] for e in (0.3, 0.1, 0.03)]
    for rising in (powers, sizes, errors):
        assert (np.diff(rising) > 0).all()


def test_pairs_are_chosen_and_nonsense_refused():
    table, *_ = pilot(1.0)
    found = needed_atoms(table, Power(), [[1, 0]])
    assert found.names.tolist() == [["b", "a"]]
    assert found.atoms == needed_atoms(table, Power()).atoms
    with pytest.raises(ValueError, match="single sets"):
        needed_atoms(table, EmbeddingError(0.1), [[0, 1]])
    with pytest.raises(ValueError, match=r"expected \(R, 2\)"):
        needed_atoms(table, Power(), [0, 1])
    with pytest.raises(ValueError, match="size < power"):
        needed_atoms(table, Power(0.05, 0.05))
    with pytest.raises(ValueError, match="positive and finite"):
        needed_atoms(table, EmbeddingError(0.0))
    table.cov = table.cov[:1]
    with pytest.raises(ValueError, match="cov"):
        needed_atoms(table, Power())
