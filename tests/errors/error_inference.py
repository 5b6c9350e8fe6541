"""Error bars and tests."""

import numpy as np

import distembed as de
from distembed.encoders.deepsets import DeepSets
from distembed.inference.calibrated import conformal_ratios
from distembed.inference.contributions import attribute_change, contributions
from distembed.inference.covariance import covariance
from distembed.inference.influence import influence
from distembed.inference.intervals import limit_interval
from distembed.inference.jackknife import BlockJackknife
from distembed.inference.population.density import Population
from distembed.inference.sample_size import DistanceError, EmbeddingError, Power, needed_atoms
from distembed.inference.tests.multiplicity import benjamini_hochberg
from distembed.inference.tests.pairwise import pairwise_tests
from distembed.inference.tests.two_sample import k_sample_test, two_sample_test


def unknown_covariance(model, sets):
    """A method of covariances that is not there."""
    covariance(model.embedder, sets.batch([0, 1]), method="bootstrap")


def counts_of_another_number(model, sets):
    """Counts of draws of another number."""
    covariance(model.embedder, sets.batch([0]), count=[2.0, 3.0])


def counts_of_zero(model, sets):
    """Counts of no draw."""
    batch = sets.batch([0])
    covariance(model.embedder, batch, count=np.zeros(len(batch.x)))


def jackknife_of_few_blocks():
    """A jackknife of few blocks."""
    BlockJackknife(blocks=1)


def influence_of_a_median(sets):
    """The influence of atoms on a median."""
    influence(DeepSets((2,), latent=4, pooling="median"), sets.batch([0]))


def contributions_to_a_median(sets):
    """Contributions of atoms to a median."""
    encoder = DeepSets((2,), latent=4, pooling="median")
    contributions(encoder, sets.batch([0]), np.ones(4))


def direction_of_another_latent(model, sets):
    """A direction of another dimension of z."""
    contributions(model.embedder, model.batch(sets, [0]), np.ones(3))


def change_between_other_numbers(model, sets):
    """A change between other numbers of sets.

    Set b of one batch is compared with set b of the other.
    """
    attribute_change(model.embedder, model.batch(sets, [0]), model.batch(sets, [1, 2]))


def unknown_side_of_an_interval():
    """A direction of an interval that is not there."""
    z, v = np.zeros((1, 2)), np.eye(2)[None]
    limit_interval(z, z + 1, v, v, direction="best")


def intervals_of_other_shapes():
    """Intervals of other shapes."""
    z = np.zeros((1, 2))
    limit_interval(z, z + 1, np.eye(2), np.eye(2))


def coverage_of_few_pairs():
    """A coverage that few pairs cannot give."""
    conformal_ratios([1.0, 1.1, 0.9], level=0.95)


def sample_size_without_covariances(model, sets):
    """A sample size without covariances."""
    needed_atoms(model.embed(sets, covariance=False), EmbeddingError(0.1))


def sample_size_for_no_error(table):
    """A sample size for an error of zero."""
    needed_atoms(table, DistanceError(0.0))


def power_below_the_size(table):
    """A power below the size of the test."""
    needed_atoms(table, Power(power=0.01))


def pairs_for_single_sets(table):
    """Pairs for an error of single sets."""
    needed_atoms(table, EmbeddingError(0.1), pairs=[[0, 1]])


def pairs_for_a_sample_size(table):
    """Pairs of another shape for a sample size."""
    needed_atoms(table, Power(), pairs=[0, 1])


def test_of_one_set(model):
    """A test of a single set.

    Give two groups of atoms or more.
    """
    k_sample_test(model.embedder, [np.zeros((20, 2))])


def test_of_one_atom(model):
    """A test of a single atom."""
    two_sample_test(model.embedder, np.zeros((1, 2)), np.random.default_rng(0).random((20, 2)))


def test_of_negative_permutations(model):
    """A negative number of permutations."""
    a, b = np.random.default_rng(0).random((20, 2)), np.random.default_rng(0).random((20, 2))
    two_sample_test(model.embedder, a, b, permutations=-1)


def test_by_the_order_of_atoms():
    """A test by an encoder that sees the order."""

    def first(batch):
        return batch.x[batch.offsets[:-1]]

    two_sample_test(
        first, np.random.default_rng(0).random((20, 2)), np.random.default_rng(0).random((20, 2))
    )


def test_by_numbers_of_one_axis():
    """A test by an encoder of one axis."""

    def mean(batch):
        return batch.mean(batch.x)[:, 0]

    two_sample_test(
        mean, np.random.default_rng(0).random((20, 2)), np.random.default_rng(0).random((20, 2))
    )


def pairs_beyond_the_sets(table):
    """Pairs beyond the sets."""
    pairwise_tests(table.z, table.cov, [[0, 40]])


def pair_of_one_set(table):
    """A pair of one set."""
    pairwise_tests(table.z, table.cov, [[0, 0]])


def pairs_of_fractions(table):
    """Pairs of fractions."""
    pairwise_tests(table.z, table.cov, [[0.5, 1.0]])


def pair_without_a_covariance(table):
    """A pair without a covariance."""
    cov = table.cov.copy()
    cov[1] = np.nan
    pairwise_tests(table.z, cov, [[0, 1]])


def p_value_above_one():
    """A p-value above one."""
    benjamini_hochberg([0.01, 1.2])


def population_of_few_sets(table):
    """A population of few sets."""
    Population.from_embeddings(table.z[:5])


def population_of_one_point():
    """A population of one point."""
    Population.from_embeddings(np.ones((40, 2)))


def population_of_another_noise():
    """A population with noise of another shape."""
    z = np.random.default_rng(0).random((40, 2))
    Population.from_embeddings(z, noise=np.ones((40, 2)))


def law_of_an_encoder():
    """An encoder that breaks a law."""
    from torch import nn

    class Summed(nn.Module):
        latent = 2

        def forward(self, batch):
            return batch.mean(batch.x) * batch.sizes[:, None]

    de.check_encoder(Summed(), (2,))
