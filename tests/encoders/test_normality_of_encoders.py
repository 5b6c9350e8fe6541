"""Every encoder that says so has a normal limit, at the root of m, with the spread it predicts.

Attention between all pairs costs m^2 an embedding: its sets end at 300 atoms. Those of single
poolings end at 1,000, because they share the rest with the default.
"""

import pytest
import torch

from distembed.batch import SetBatch
from distembed.encoders import ENCODERS, POOLINGS
from distembed.protocols import encoder_traits
from distembed.registry import applicable, build
from distembed.rng import stream
from distembed.testing.example import in_mode, perturbed
from distembed.testing.normality import agreement, bias, spread, uniform_atoms

EVENT, LATENT = (3,), 8
SIZES = (30, 100, 300, 1000, 3000, 10_000)
SMALL = {"width": 16, "depth": 1}
OPTIONS = {
    **dict.fromkeys(["deepsets", "gnn", "resnet_gnn", "median_gnn"], SMALL),
    "attention": SMALL | {"heads": 2},
    "induced": SMALL | {"heads": 2, "points": 4},
    # all moments of three dimensions fit, and a length that is next to zero is curved
    "orthogonal_moments": {"axes": 1},
}
CASES = [
    *(
        (name, OPTIONS.get(name, {}))
        for name in applicable(ENCODERS, "vectors")
        if name not in ("composed", "joined")
    ),
    ("joined", {"parts": ["closed_form", {"name": "deepsets", **SMALL}]}),
    ("moments", {"kind": "mean"}),
    ("moments", {"kind": "quantiles"}),
    *(("deepsets", SMALL | {"pooling": p}) for p in POOLINGS if p != "moments"),
]


def skewed(m, rng):
    """Correlated atoms with a skewed margin."""
    g = torch.randn(m, *EVENT, generator=rng, dtype=torch.float64)
    h = g + 0.3 * g.square()
    return h + 0.5 * h.roll(1, 1)


def draw_for(options):
    # exponentials of features with chi-square tails are far from normal even at 10^4 atoms
    return uniform_atoms(EVENT) if options.get("pooling") == "logmeanexp" else skewed


def make(name, options, dtype=torch.float32):
    torch.manual_seed(0)
    encoder = build(ENCODERS, {"name": name, **options}, "encoder", EVENT, LATENT)
    assert encoder.traits.normal, "the family says which members are normal"
    return in_mode(perturbed(encoder, skewed), dtype, train=False)


def sizes_for(name, options):
    if name == "attention":
        return SIZES[:3]
    return SIZES[:4] if "pooling" in options else SIZES


def test_the_default_in_brief():
    encoder = make("deepsets", SMALL)
    seen = spread(encoder, skewed, (30, 300), 200)
    assert abs(seen.slope.value + 0.5) < 0.03 + 4 * seen.slope.error
    assert seen.p_value > 0.01


@pytest.mark.slow
@pytest.mark.parametrize(("name", "options"), CASES, ids=str)
def test_deviation_falls_as_the_root_of_m_to_a_normal_limit(name, options):
    seen = spread(make(name, options), draw_for(options), sizes_for(name, options), 1000)
    assert abs(seen.slope.value + 0.5) < 0.03
    assert seen.p_value > 0.01
    # 0.043 is what a normal sample of 1,000 exceeds once in a hundred, with 16 projections
    assert seen.kolmogorov[-1] < max(seen.kolmogorov[0], 0.043)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "options"), CASES, ids=str)
def test_bias_falls_as_m(name, options):
    encoder = make(name, options, torch.float64)
    if not encoder_traits(encoder).smooth:
        pytest.skip("a median has no derivative by the weights")
    reference = SetBatch.from_dense(skewed(2000, stream("reference")).unsqueeze(0))
    sizes = (30, 100, 300, 1000)[: 3 if name == "attention" else 4]
    seen = bias(encoder, reference, sizes, 500)
    if seen.slope is None:
        assert name == "kernel" or options == {"kind": "mean"}  # linear: no bias at all
    else:
        # higher orders bend the line a little at m = 30
        assert abs(seen.slope.value + 1) < 0.1 + 3 * seen.slope.error


@pytest.mark.slow
@pytest.mark.parametrize(("name", "options"), CASES, ids=str)
def test_the_predicted_variance_is_the_one_that_is_seen(name, options):
    encoder = make(name, options)
    if not encoder_traits(encoder).smooth:
        pytest.skip("a median has no derivative by the weights")
    m = 300 if name == "attention" else 1000
    # costly members get fewer sets, and their standard errors on top: 2 sqrt(2 / 2,500)
    sets, noise = (10_000, 0.0) if options in ({}, SMALL) else (2500, 0.057)
    seen = agreement(encoder, draw_for(options), m, sets, predictions=400)
    assert abs(seen.trace - 1) < 0.03 + noise
    assert all(abs(ratio - 1) < 0.10 + noise for ratio in seen.diagonal)
