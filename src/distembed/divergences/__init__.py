"""Discrepancies between the sets of two batches, set by set: `(SetBatch, SetBatch) -> (B,)`."""

from distembed.registry import Family, Member

__all__ = ["DIVERGENCES"]

DIVERGENCES: Family = {
    "bures": Member("distembed.divergences.bures:Bures", "W2 of Gaussians with the same moments"),
    "energy": Member("distembed.divergences.energy:Energy", "energy distance, no tuning"),
    "exact": Member("distembed.divergences.exact:ExactW2", "exact W2 by linear programming"),
    "sliced": Member("distembed.divergences.sliced:SlicedW2", "W2 averaged over directions"),
}
