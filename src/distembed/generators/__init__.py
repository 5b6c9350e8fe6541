"""Generators: from a vector to a distribution that can be scored and sampled."""

from distembed.registry import Member, NamedMember

__all__ = ["DEFAULT_GENERATORS", "GENERATORS", "MASKED_GENERATOR"]

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
    "masked": Member(
        "distembed.generators.tokens.masked:masked",
        "discrete diffusion of sequences: masked symbols from the others, and a law of lengths",
        atoms=("tokens",),
        example={"vocab": 4},
    ),
    "profile": Member(
        "distembed.generators.tokens.profile:Profile",
        "frequencies of symbols by position, or a mixture of such profiles, by exact likelihood",
        atoms=("tokens",),
        example={"vocab": 4, "components": 3},
    ),
    "hyenadna": Member(
        "distembed.generators.tokens.published:HyenaGenerator",
        "HyenaDNA, a published model of DNA, behind a soft prefix",
        atoms=("tokens",),
        example={
            "alphabet": "ACGT",
            "train": "all",
            "config": {"d_model": 8, "n_layer": 1, "vocab_size": 12, "max_seq_len": 32},
        },
    ),
    "progen2": Member(
        "distembed.generators.tokens.published:ProGenGenerator",
        "ProGen2, a published model of proteins, behind a soft prefix",
        atoms=("tokens",),
        example={
            "alphabet": "ACDE",
            "train": "all",
            "config": {
                "n_embd": 16,
                "n_layer": 1,
                "n_head": 8,
                "rotary_dim": 2,
                "n_positions": 32,
                "vocab_size": 32,
            },
        },
    ),
    "causal_lm": Member(
        "distembed.generators.tokens.published:CausalGenerator",
        "any causal language model of transformers behind a soft prefix",
        extra="lm",
        atoms=("tokens",),
        example={
            "alphabet": "ACGT",
            "train": "all",
            "config": {
                "model_type": "gpt2",
                "n_embd": 8,
                "n_layer": 1,
                "n_head": 2,
                "n_positions": 32,
                "vocab_size": 90,
            },
        },
    ),
}
DEFAULT_GENERATORS: dict[str, NamedMember] = {
    "vectors": "flow",
    "counts": "flow",
    "images": "image_flow",
    "tokens": "autoregressive",
}
"""What `generator="auto"` stands for, by kind of atoms."""

MASKED_GENERATOR: NamedMember = {"name": "explicit", "likelihood": "gaussian"}
"""What it stands for where values may be missing."""
