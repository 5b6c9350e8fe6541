"""Encoders: from the empirical distribution of a set to a vector."""

from distembed.registry import Member

__all__ = ["ENCODERS"]

ENCODERS = {
    "deepsets": Member(
        "distembed.encoders.deepsets:DeepSets",
        "moments by a fixed isometry, and a pooled residual network for the rest (the default)",
    ),
    "moments": Member(
        "distembed.encoders.moments:Moments",
        "mean; mean and root covariance; or sliced quantiles: untrained",
    ),
    "kernel": Member(
        "distembed.encoders.kernel:KernelMean",
        "random Fourier features of the kernel mean, median bandwidth: untrained",
    ),
}
