"""Transforms of atoms that a model fits, applies, inverts and saves."""

from __future__ import annotations

from distembed.registry import Family, Member

__all__ = ["TRANSFORMS"]

_HOME = "distembed.data.transforms"
TRANSFORMS: Family = {
    "log1p": Member(f"{_HOME}.pointwise:Log1p", "log(1 + x), of counts or of library shares"),
    "arcsinh": Member(f"{_HOME}.pointwise:Arcsinh", "arcsinh(x / cofactor), for cytometry"),
    "standardise": Member(f"{_HOME}.standardise:Standardise", "mean 0 and deviation 1"),
    "pca": Member(f"{_HOME}.pca:PCA", "leading principal components"),
}
