"""Generators: from a vector to a distribution that can be scored and sampled."""

from distembed.registry import Member

__all__ = ["GENERATORS"]

GENERATORS = {
    "flow": Member(
        "distembed.generators.flow:Flow",
        "flow matching from a conditional Gaussian base (the default)",
    ),
    "diffusion": Member(
        "distembed.generators.diffusion:Diffusion",
        "variance-preserving diffusion with zero terminal signal, ancestral or deterministic",
    ),
}
