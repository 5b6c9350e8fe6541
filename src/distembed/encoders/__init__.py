"""Encoders: from the empirical distribution of a set to a vector."""

from distembed.registry import NUMBERS, Member, NamedMember

__all__ = ["DEFAULT_ENCODERS", "ENCODERS", "POOLINGS"]

ENCODERS = {
    "deepsets": Member(
        "distembed.encoders.deepsets:DeepSets",
        "a residual network of each atom, pooled over the set",
    ),
    "resnet_gnn": Member(
        "distembed.encoders.paper:resnet_gnn",
        "the residual mean-pooled network of the GDE paper",
    ),
    "gnn": Member(
        "distembed.encoders.paper:gnn",
        "the plain mean-pooled network of the GDE paper",
    ),
    "median_gnn": Member(
        "distembed.encoders.paper:median_gnn",
        "the same with medians fed back",
    ),
    "attention": Member(
        "distembed.encoders.attention:attention",
        "set transformer, every atom attends to every other: up to about 512 atoms",
    ),
    "induced": Member(
        "distembed.encoders.attention:induced",
        "set transformer through inducing points: linear in the number of atoms, streams",
    ),
    "moments": Member(
        "distembed.encoders.moments:Moments",
        "mean; mean and root covariance; or sliced quantiles: untrained",
    ),
    "kernel": Member(
        "distembed.encoders.kernel:KernelMean",
        "random Fourier features of the kernel mean, fixed or learned, of atoms or of shapes",
    ),
    "closed_form": Member(
        "distembed.encoders.closed_form:ClosedForm",
        "mean, root covariance and a kernel mean, scaled to W2: untrained",
    ),
    "spectrum": Member(
        "distembed.encoders.spectrum:Spectrum",
        "k-mers, places and lengths of sequences, scaled to W2: untrained",
        atoms=("tokens",),
    ),
    "orthogonal_moments": Member(
        "distembed.encoders.orthogonal:OrthogonalMoments",
        "moments, and the length of what they leave out: untrained (the default of images)",
    ),
    "residual": Member(
        "distembed.encoders.residual:Residual",
        "closed_form, and a deep set that corrects every coordinate (the default)",
        atoms=(*NUMBERS, "tokens"),
    ),
    "joined": Member(
        "distembed.encoders.joined:Joined",
        "several encoders side by side: closed_form and deepsets",
        atoms=(*NUMBERS, "tokens"),
    ),
    "composed": Member(
        "distembed.encoders.composed:Composed",
        "features of every atom by a network for images or tokens, then another encoder",
        atoms=(*NUMBERS, "tokens"),
    ),
}

_NUMBERS_DEFAULT = {"name": "residual", "start": "closed_form", "network": "deepsets"}
DEFAULT_ENCODERS: dict[str, NamedMember] = {
    "vectors": _NUMBERS_DEFAULT,
    "counts": _NUMBERS_DEFAULT,
    "images": "orthogonal_moments",
    "tokens": {
        "name": "residual",
        "start": "spectrum",
        "network": {"name": "composed", "point": "conv1d"},
    },
}
"""What `encoder="auto"` stands for, by kind of atoms."""

_POOLING = "distembed.encoders.pooling"
POOLINGS = {
    "mean": Member(f"{_POOLING}:MeanPooling", "the mean"),
    "moments": Member(f"{_POOLING}:MomentPooling", "mean and standard deviation (the default)"),
    "logmeanexp": Member(f"{_POOLING}:LogMeanExpPooling", "log-mean-exp, a smooth maximum"),
    "huber": Member(f"{_POOLING}:HuberPooling", "three reweighted means: robust, and streams"),
    "trimmed": Member(f"{_POOLING}:TrimmedPooling", "the mean without the outer tenths"),
    "median": Member(f"{_POOLING}:MedianPooling", "the median: robust, but not smooth"),
}
