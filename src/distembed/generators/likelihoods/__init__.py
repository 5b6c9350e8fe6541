"""Distributions of one atom, given the numbers that a network has for it."""

from distembed.registry import Member

__all__ = ["LIKELIHOODS"]

LIKELIHOODS = {
    "gaussian": Member(
        "distembed.generators.likelihoods.numbers:Normal", "numbers with a learned deviation"
    ),
    "poisson": Member("distembed.generators.likelihoods.counts:Poisson", "Poisson counts"),
    "negative_binomial": Member(
        "distembed.generators.likelihoods.counts:NegativeBinomial",
        "counts that spread more than Poisson ones",
    ),
    "zero_inflated_negative_binomial": Member(
        "distembed.generators.likelihoods.counts:ZeroInflatedNegativeBinomial",
        "the same with extra zeros",
    ),
    "bernoulli": Member("distembed.generators.likelihoods.classes:Bernoulli", "zeros and ones"),
    "categorical": Member(
        "distembed.generators.likelihoods.classes:Categorical", "one-hot vectors of a class"
    ),
    "multinomial": Member(
        "distembed.generators.likelihoods.counts:Multinomial",
        "counts of categories, with a negative-binomial total",
    ),
}
