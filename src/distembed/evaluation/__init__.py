"""Evaluation on held-out sets, with baselines and noise floors.

`BASELINES` are distances between sets, `(batch, pairs (P, 2)) -> (P,)`, from the atoms that the
model embeds. `SAMPLE_BASELINES` are generators of samples, `(context, sizes, seed) -> SetBatch`.
"""

from __future__ import annotations

from distembed.registry import NUMBERS, Family, Member

__all__ = ["BASELINES", "SAMPLE_BASELINES"]

_HOME = "distembed.evaluation.baselines"
_SAMPLES = "distembed.evaluation.samples"
_SEQUENCES = "distembed.evaluation.sequence_distances"
_COUNTED = "distembed.evaluation.sequence_baselines"
_ALL = (*NUMBERS, "tokens")
BASELINES: Family = {
    "mean": Member(f"{_HOME}:Mean", "distance of the sample means"),
    "mean_cov": Member(f"{_HOME}:MeanCov", "mean and root covariance as one vector"),
    "bures": Member(f"{_HOME}:BuresDistance", "W2 of Gaussians with the sample moments"),
    "quantiles": Member(f"{_HOME}:Quantiles", "sliced quantile functions as one vector"),
    "kernel_0.5": Member(f"{_HOME}:half_kernel", "kernel mean at half the median distance"),
    "kernel_1": Member(f"{_HOME}:Kernel", "kernel mean at the median distance"),
    "kernel_2": Member(f"{_HOME}:double_kernel", "kernel mean at twice the median distance"),
    "fsw": Member(
        "distembed.evaluation.fourier:FourierSliced",
        "Fourier sliced-Wasserstein embedding",
    ),
    "lot": Member(
        "distembed.evaluation.codebook:LinearTransport",
        "linear optimal transport embedding against k-means centres",
    ),
    "kmeans_emd": Member(
        "distembed.evaluation.codebook:Histogram",
        "exact OT between histograms on k-means centres",
    ),
    "ot": Member(f"{_HOME}:ExactDistance", "exact OT on the same points", atoms=_ALL),
    "ot_standardised": Member(f"{_HOME}:ShapeDistance", "exact OT, each set centred and scaled"),
    "kmers": Member(
        f"{_SEQUENCES}:KmerMeans", "mean shares of k-mers, k = 4 for DNA", atoms=("tokens",)
    ),
    "positions": Member(
        f"{_SEQUENCES}:PositionMeans", "frequencies of symbols by position", atoms=("tokens",)
    ),
}
SAMPLE_BASELINES: Family = {
    "mean_cov": Member(f"{_SAMPLES}:gaussian", "Gaussian with the mean and covariance of the set"),
    "positions": Member(
        f"{_COUNTED}:positions", "frequencies of symbols by position", atoms=("tokens",)
    ),
    "markov": Member(
        f"{_COUNTED}:markov", "Markov chain of the set, its order by validation", atoms=("tokens",)
    ),
    "pooled": Member(f"{_SAMPLES}:pooled", "atoms of the other sets", atoms=_ALL),
    "floor": Member(f"{_SAMPLES}:context_half", "the embedded atoms themselves", atoms=_ALL),
}
