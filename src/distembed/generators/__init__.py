"""Generators: from a vector to a distribution that can be scored and sampled."""

from distembed.registry import Member, NamedMember

__all__ = ["DEFAULT_GENERATORS", "GENERATORS"]

GENERATORS = {
    "flow": Member(
        "distembed.generators.flow:flow",
        "flow matching from a conditional Gaussian base (the default)",
    ),
    "diffusion": Member(
        "distembed.generators.diffusion:diffusion",
        "variance-preserving diffusion with v-prediction, a setting of flow with time reversed",
    ),
    "image_flow": Member(
        "distembed.generators.image_flow:image_flow",
        "flow matching of images: a U-Net from coloured noise (the default of images)",
        atoms=("images",),
    ),
    "explicit": Member(
        "distembed.generators.explicit:Explicit",
        "a density: Gaussian, mixture, spline flow, counts or classes, by exact likelihood",
    ),
    "vae": Member(
        "distembed.generators.vae:VAE",
        "a latent of every atom, and noise of observation by a likelihood that is named",
    ),
    "gan": Member(
        "distembed.generators.gan:GAN",
        "noise through a network against a critic, relativistic with gradient penalties",
    ),
    "implicit": Member(
        "distembed.generators.implicit:Implicit",
        "noise through a network, trained by a divergence",
    ),
    "wormhole": Member(
        "distembed.generators.wormhole:Wormhole",
        "the fixed-size decoder of Wasserstein Wormhole, a baseline",
    ),
    "autoregressive": Member(
        "distembed.generators.tokens.autoregressive:autoregressive",
        "a language model of sequences with an exact density (the default of tokens)",
        atoms=("tokens",),
        example={"vocab": 4},
    ),
}
DEFAULT_GENERATORS: dict[str, NamedMember] = {
    "vectors": "flow",
    "counts": "flow",
    "images": "image_flow",
    "tokens": "autoregressive",
}
"""What `generator="auto"` stands for, by kind of atoms."""
