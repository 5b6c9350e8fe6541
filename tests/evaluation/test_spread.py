"""The judge of samples: in expectation the true spread wins, at every number of atoms."""

import numpy as np
import pytest
import torch

from distembed.batch import SetBatch
from distembed.divergences.energy import Energy
from distembed.evaluation.metrics import METRICS, PRIMARY
from distembed.rng import stream

F64 = torch.float64
FACTORS = (0.5, 0.7, 0.9, 1.1, 1.3, 1.5)
REPEATS = {2: 400, 4: 250, 5: 250, 20: 120, 200: 20}
"""Pairs of samples at each number of atoms."""


def gaussian():
    return torch.randn(400, 3, generator=stream("gaussian"), dtype=F64)


def mixture():
    rng = stream("mixture")
    centres = 4 * torch.randn(3, 1, 3, generator=rng, dtype=F64)
    return (centres + torch.randn(3, 130, 3, generator=rng, dtype=F64)).flatten(0, 1)


def heavy_tail():
    """Student's t with three degrees of freedom, whose fourth moment does not exist."""
    rng = stream("heavy tail")
    normal = torch.randn(400, 4, 3, generator=rng, dtype=F64)
    return normal[:, 0] / normal[:, 1:].square().mean(1).sqrt()


def kidney(data_dir):
    """The glomeruli of the patient with the most of them, logarithms in units of deviations."""
    pandas = pytest.importorskip("pandas")
    table = pandas.read_parquet(data_dir / "kidney_glomeruli" / "glomeruli.parquet")
    largest = table[table["patient"] == table["patient"].value_counts().index[0]]
    numbers = largest.drop(columns=["patient", "glom_cluster"]).to_numpy(dtype=float)
    x = torch.as_tensor(np.log1p(numbers))
    return (x - x.mean(0)) / x.std(0).clamp_min(1e-9)


LAWS = {"gaussian": gaussian, "mixture": mixture, "heavy_tail": heavy_tail}


@pytest.fixture(params=[*LAWS, "kidney"])
def law(request):
    """A law with finitely many equally likely atoms, whose energy distances are exact sums."""
    if request.param == "kidney":
        return kidney(request.getfixturevalue("data_dir"))
    return LAWS[request.param]()


def samples(law, m):
    """Pairs of independent samples of m atoms, and the law's mean."""
    rng = stream("samples", m)
    rows = torch.randint(len(law), (2, REPEATS[m], m), generator=rng)
    return SetBatch.from_dense(law[rows[0]]), SetBatch.from_dense(law[rows[1]]), law.mean(0)


def scaled(batch, centre, factor):
    return batch.replace(x=centre + factor * (batch.x - centre))


def excess(name, law, m, factors):
    """How much worse samples of other spreads score than true ones, with standard errors."""
    drawn, target, mean = samples(law, m)
    function = METRICS[name].load()
    own = function(drawn, target)
    gaps = [function(scaled(drawn, mean, factor), target) - own for factor in factors]
    return [(float(gap.mean()), float(gap.std()) / len(gap) ** 0.5) for gap in gaps]


@pytest.mark.parametrize("m", [2, 5, 20, 200])
@pytest.mark.slow
def test_the_true_spread_wins_by_the_energy_distance_of_the_laws(law, m):
    """The primary metric is unbiased: the loss of a wrong spread is the population's at any m."""
    assert PRIMARY["samples"] == "energy_unbiased"
    whole = SetBatch.from_dense(law[None])
    losses = excess("energy_unbiased", law, m, FACTORS)
    for factor, (loss, error) in zip(FACTORS, losses, strict=True):
        truth = float(Energy()(scaled(whole, law.mean(0), factor), whole)[0])
        assert truth > 0
        assert abs(loss - truth) < 5 * error


@pytest.mark.parametrize("m", [2, 4, 20])
@pytest.mark.parametrize("name", ["w2_debiased", "sliced_w2_debiased"])
@pytest.mark.slow
def test_no_wrong_spread_wins_by_debiased_distances(law, name, m):
    factors = (0.5, 0.9, 1.1, 1.5)
    for factor, (loss, error) in zip(factors, excess(name, law, m, factors), strict=True):
        assert loss > -5 * error
        if m == 20 and factor in (0.5, 1.5):
            assert loss > 5 * error


@pytest.mark.parametrize("name", ["energy", "sliced_w2"])
def test_plugin_metrics_reward_a_narrow_spread(law, name):
    """The negative control: what the primary metric must not do."""
    ((loss, error),) = excess(name, law, 2, [0.7])
    assert loss < -5 * error


def test_true_samples_score_zero(law):
    for name in ("energy_unbiased", "w2_debiased", "sliced_w2_debiased"):
        drawn, target, _ = samples(law, 5)
        values = METRICS[name].load()(drawn, target)
        assert abs(float(values.mean())) < 5 * float(values.std()) / len(values) ** 0.5
