"""The model: a network, its training, and what is stored and used afterwards."""

from __future__ import annotations

from distembed.registry import Family, Member

__all__ = ["CONDITIONINGS"]

_HOME = "distembed.model.conditioning"
CONDITIONINGS: Family = {
    "none": Member(f"{_HOME}:Direct", "the generator sees z, as in the GDE paper"),
    "size": Member(f"{_HOME}:Size", "z standardised, and how uncertain it is"),
    "shrinkage": Member(f"{_HOME}:Shrinkage", "z shrunk by its uncertainty (the default)"),
}
