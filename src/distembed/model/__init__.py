"""The model: a network, its training, and what is stored and used afterwards."""

from __future__ import annotations

from distembed.registry import NUMBERS, Family, Member

__all__ = ["ATTACHMENTS", "CONDITIONINGS"]

_HOME = "distembed.model.conditioning"
CONDITIONINGS: Family = {
    "none": Member(f"{_HOME}:Direct", "the generator sees z, as in the GDE paper"),
    "size": Member(f"{_HOME}:Size", "z standardised, and how uncertain it is"),
    "shrinkage": Member(f"{_HOME}:Shrinkage", "z shrunk by its uncertainty (the default)"),
}

ATTACHMENTS: Family = {
    "calibration": Member(
        "distembed.geometry.distance:Calibration",
        "latent distances in units of W2",
    ),
    "prior": Member(
        "distembed.inference.prior:GaussianPrior",
        "what all sets share, for the distances of sets of few atoms",
        atoms=(*NUMBERS, "tokens"),
    ),
    "population": Member(
        "distembed.inference.population.density:Population",
        "density of the embeddings of sets, and p-values that a set is unusual",
        atoms=(*NUMBERS, "tokens"),
    ),
}
