"""Point encoders: from an atom that is no vector to the features of that atom, by itself."""

from distembed.registry import Member

__all__ = ["POINT_ENCODERS"]

_POINTS = "distembed.encoders.points"
POINT_ENCODERS = {
    "mlp": Member(f"{_POINTS}.mlp:PointMLP", "a perceptron on the flat atom, of any fixed shape"),
    "conv2d": Member(
        f"{_POINTS}.conv2d:ConvImages", "residual convolutions on images of any size"
    ),
    "conv1d": Member(
        f"{_POINTS}.conv1d:ConvTokens",
        "dilated convolutions on token sequences of any length",
        atoms=("tokens",),
    ),
    "transformer": Member(
        f"{_POINTS}.transformer:TokenTransformer",
        "attention between the tokens of a sequence of any length",
        atoms=("tokens",),
    ),
    "esm2": Member(
        f"{_POINTS}.published:ESM2Features",
        "mean states of ESM-2, a published model of proteins",
        extra="lm",
        atoms=("tokens",),
    ),
    "hyenadna": Member(
        f"{_POINTS}.published:HyenaFeatures",
        "mean states of HyenaDNA, a published model of DNA",
        atoms=("tokens",),
    ),
    "progen2": Member(
        f"{_POINTS}.published:ProGenFeatures",
        "mean states of ProGen2, a published model of proteins",
        atoms=("tokens",),
    ),
    "causal_lm": Member(
        f"{_POINTS}.published:CausalFeatures",
        "mean states of any causal language model of transformers",
        extra="lm",
        atoms=("tokens",),
    ),
}
