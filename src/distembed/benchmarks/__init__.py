"""Benchmarks, one a file, and the family `BENCHES` that names them."""

from distembed.registry import Member

__all__ = ["BENCHES"]

BENCHES = {
    "gaussian": Member(
        "distembed.benchmarks.gaussian:bench",
        "Gaussians with known parameters in 2 and 5 dimensions, after the GDE paper",
    ),
    "encoders": Member(
        "distembed.benchmarks.encoders:bench",
        "every encoder on distributions that differ in ever finer ways, 64 points a set",
    ),
    "pooling": Member(
        "distembed.benchmarks.pooling:bench",
        "poolings away from the set size they were trained at, with sum and maximum as controls",
    ),
    "setsize": Member(
        "distembed.benchmarks.setsize:bench",
        "how reconstruction and the spread of z fall with the number of points",
    ),
    "generators": Member(
        "distembed.benchmarks.generators:bench",
        "every generator on families that are known, from Gaussians to rings and counts",
    ),
    "images": Member(
        "distembed.benchmarks.images:bench",
        "generators of images, on scanned digits and on cells of a drug screen",
    ),
    "poisson": Member(
        "distembed.benchmarks.poisson:bench",
        "P(X = 0) of a Poisson variable from 10 to 1,000 draws, beside Rao-Blackwell and Bayes",
    ),
    "coverage": Member(
        "distembed.benchmarks.coverage:bench",
        "how often error bars of z and of distances hold the truth, by the number of atoms",
    ),
    "tests": Member(
        "distembed.benchmarks.two_sample:bench",
        "size and power of two-sample tests, beside MMD, energy and a classifier",
    ),
    "speed": Member(
        "distembed.benchmarks.speed:bench",
        "atoms a second of encoders, and network calls of samplers, beside plain ones",
    ),
}
