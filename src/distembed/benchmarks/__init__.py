"""Benchmarks, one a file, and the family `BENCHES` that names them."""

from distembed.registry import Member

__all__ = ["BENCHES"]

_HOME = "distembed.benchmarks"
BENCHES = {
    "gaussian": Member(
        f"{_HOME}.gaussian:BENCH",
        "Gaussians with known parameters in 2 and 5 dimensions, after the GDE paper",
    ),
    "paper": Member(
        f"{_HOME}.paper.bench:BENCH",
        "tables and figures of the GDE paper by its protocols and by honest ones, row by row",
    ),
    "geometry": Member(
        f"{_HOME}.geometry:BENCH",
        "distances beside W2 on nine tasks and on few atoms, against all baselines",
    ),
    "sparse": Member(
        f"{_HOME}.sparse:BENCH",
        "distances where training sets are dense, rare or absent",
    ),
    "encoders": Member(
        f"{_HOME}.encoders:BENCH",
        "every encoder on distributions that differ in ever finer ways, 64 atoms a set",
    ),
    "pooling": Member(
        f"{_HOME}.pooling:BENCH",
        "poolings away from the set size they were trained at, with sum and maximum as controls",
    ),
    "setsize": Member(
        f"{_HOME}.setsize:BENCH",
        "reconstruction and spread of z against the number of atoms",
    ),
    "generators": Member(
        f"{_HOME}.generators:BENCH",
        "every generator on known families, from Gaussians to rings and counts",
    ),
    "rings": Member(
        f"{_HOME}.rings:BENCH",
        "rings of narrow modes: what z holds of them, and what generators draw",
    ),
    "defaults": Member(
        f"{_HOME}.defaults:BENCH",
        "the default fit on every data set at hand, beside its start and a Gaussian",
    ),
    "cohorts": Member(
        f"{_HOME}.cohorts:BENCH",
        "prediction from embeddings on cohorts, beside simple features under the same heads",
    ),
    "representations": Member(
        f"{_HOME}.representations:BENCH",
        "distances of samples beside pseudobulk, composition and divergences, by their labels",
    ),
    "applications": Member(
        f"{_HOME}.applications:BENCH",
        "outcomes of the applications, beside simple features; and what samples add",
    ),
    "paths": Member(
        f"{_HOME}.paths:BENCH",
        "paths between sets beside shortest paths, and transport of atoms beside exact OT",
    ),
    "images": Member(
        f"{_HOME}.images:BENCH",
        "generators of images, on scanned digits and on cells of a drug screen",
    ),
    "poisson": Member(
        f"{_HOME}.poisson:BENCH",
        "P(X = 0) of a Poisson variable from 10 to 1,000 draws, beside Rao-Blackwell and Bayes",
    ),
    "coverage": Member(
        f"{_HOME}.coverage:BENCH",
        "coverage of confidence intervals for z and for distances, by the number of atoms",
    ),
    "labels": Member(
        f"{_HOME}.labels:BENCH",
        "sets from labels that are known with error, beside naive sets",
    ),
    "tests": Member(
        f"{_HOME}.two_sample:BENCH",
        "size and power of two-sample tests, beside MMD, energy distance and a classifier",
    ),
    "speed": Member(
        f"{_HOME}.speed:BENCH",
        "atoms a second of every encoder, beside a padded network",
    ),
    "forecast": Member(
        f"{_HOME}.forecast:BENCH",
        "forecasts of the next set, beside persistence, the mean change and linear means",
    ),
    "missing": Member(
        f"{_HOME}.missing:BENCH",
        "embeddings of sets with 30 % missing values, beside means in their place",
    ),
    "store": Member(
        f"{_HOME}.store:BENCH",
        "time and memory of a store larger than memory, by the number of cells",
    ),
    "layouts": Member(
        f"{_HOME}.layouts:BENCH",
        "memory of a store that is built of 10x, MuData and Zarr",
    ),
    "ablation": Member(
        f"{_HOME}.ablation:BENCH",
        "the default model without one of its parts: geometry and samples",
    ),
    "samplers": Member(
        f"{_HOME}.samplers:BENCH",
        "network calls of samplers, with trained networks and on an exact velocity",
    ),
    "sequences": Member(
        f"{_HOME}.sequences:BENCH",
        "models of sequences: bits on known laws and real sets, beside counted laws",
    ),
}
