"""Applications, one a file: what the data are, which model, which numbers."""

from distembed.registry import Member

__all__ = ["BENCHES"]

BENCHES = {
    "gaussian": Member(
        "distembed.apps.gaussian:bench",
        "Gaussians with known parameters in 2 and 5 dimensions, after the GDE paper",
    ),
}
