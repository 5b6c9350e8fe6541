"""Raw observations, before anything is a set; and `STEPS`, the transforms that a model owns."""

from __future__ import annotations

from distembed.registry import Family, Member

__all__ = ["STEPS"]

STEPS: Family = {
    "log1p": Member("distembed.data.steps:Log1p", "log(1 + x), of counts or of library shares"),
    "arcsinh": Member("distembed.data.steps:Arcsinh", "arcsinh(x / cofactor), for cytometry"),
    "standardise": Member("distembed.data.steps:Standardise", "mean 0 and deviation 1"),
    "pca": Member("distembed.data.pca:PCA", "leading principal components"),
}
