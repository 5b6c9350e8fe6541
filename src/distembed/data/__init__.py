"""Raw observations before they form sets, and `SPACES`, the kinds of atoms."""

from __future__ import annotations

from distembed.registry import Family, Member

__all__ = ["SPACES"]

_HOME = "distembed.data.spaces"
SPACES: Family = {
    "vectors": Member(f"{_HOME}:Vectors", "real numbers, with the Euclidean distance"),
    "counts": Member(f"{_HOME}:Counts", "whole numbers of at least zero"),
    "images": Member(f"{_HOME}:Images", "channels x height x width"),
    "tokens": Member(f"{_HOME}:Tokens", "sequences over an alphabet, without a distance"),
}
