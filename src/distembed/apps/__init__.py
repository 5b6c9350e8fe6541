"""Applications, one a file: what the data are, which model, which numbers."""

from distembed.registry import Member

__all__ = ["BENCHES"]

BENCHES = {
    "gaussian": Member(
        "distembed.apps.gaussian:bench",
        "Gaussians with known parameters in 2 and 5 dimensions, after the GDE paper",
    ),
    "encoders": Member(
        "distembed.apps.encoders:bench",
        "every encoder on distributions that differ in ever finer ways, 64 points a set",
    ),
    "pooling": Member(
        "distembed.apps.pooling:bench",
        "poolings away from the set size they were trained at, with sum and maximum as controls",
    ),
    "setsize": Member(
        "distembed.apps.setsize:bench",
        "how reconstruction and the spread of z fall with the number of points",
    ),
    "speed": Member(
        "distembed.apps.speed:bench",
        "atoms a second of every encoder, beside a plain padded deep set",
    ),
}
