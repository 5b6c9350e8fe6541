"""Likelihoods: distributions of one atom, given the parameters that a network predicts."""

from distembed.registry import Member

__all__ = ["LIKELIHOODS"]

_LIKELIHOODS = "distembed.generators.likelihoods"
_COUNTS = ("counts",)

LIKELIHOODS = {
    "gaussian": Member(f"{_LIKELIHOODS}.numbers:Normal", "numbers with a learned deviation"),
    "poisson": Member(f"{_LIKELIHOODS}.counts:Poisson", "Poisson counts", atoms=_COUNTS),
    "negative_binomial": Member(
        f"{_LIKELIHOODS}.counts:NegativeBinomial", "overdispersed counts", atoms=_COUNTS
    ),
    "zero_inflated_negative_binomial": Member(
        f"{_LIKELIHOODS}.counts:ZeroInflatedNegativeBinomial",
        "overdispersed counts with additional zeros",
        atoms=_COUNTS,
    ),
    "bernoulli": Member(f"{_LIKELIHOODS}.classes:Bernoulli", "zeros and ones", atoms=_COUNTS),
    "categorical": Member(
        f"{_LIKELIHOODS}.classes:Categorical", "one-hot vectors of a class", atoms=_COUNTS
    ),
    "multinomial": Member(
        f"{_LIKELIHOODS}.multinomial:Multinomial",
        "counts of categories, with a negative-binomial total",
        atoms=_COUNTS,
    ),
}
