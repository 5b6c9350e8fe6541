"""Discrepancies between the sets of two batches, set by set: `(SetBatch, SetBatch) -> (B,)`."""

from distembed.registry import Family, Member

__all__ = ["DIVERGENCES"]

DIVERGENCES: Family = {
    "bures": Member("distembed.divergences.bures:Bures", "W2 of Gaussians with the same moments"),
    "energy": Member("distembed.divergences.energy:Energy", "energy distance, no tuning"),
    "exact": Member("distembed.divergences.exact:ExactW2", "exact W2 by linear programming"),
    "max_sliced": Member(
        "distembed.divergences.max_sliced:MaxSlicedW2",
        "W2 along the direction of the largest",
    ),
    "mmd": Member("distembed.divergences.mmd:MMD", "kernel discrepancy of several bandwidths"),
    "sinkhorn": Member(
        "distembed.divergences.sinkhorn:Sinkhorn", "debiased entropic transport, in squared units"
    ),
    "spectrum": Member(
        "distembed.divergences.spectrum:SpectrumDistance",
        "k-mer spectra of sequences, k = 1 to 6",
        atoms=("tokens",),
    ),
    "sliced": Member("distembed.divergences.sliced:SlicedW2", "W2 averaged over directions"),
}
