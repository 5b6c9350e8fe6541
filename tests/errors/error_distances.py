"""Distances between sets."""

import numpy as np
import torch

from distembed.batch import SetBatch
from distembed.divergences.bures import bures_w2
from distembed.divergences.c2st import neighbour_accuracy
from distembed.divergences.debiased import debiased_w2
from distembed.divergences.energy import unbiased_energy
from distembed.divergences.exact import ExactW2, pairwise_w2
from distembed.divergences.max_sliced import MaxSlicedW2
from distembed.divergences.mixture import mixture_w2
from distembed.divergences.mmd import MMD
from distembed.divergences.sinkhorn import Sinkhorn
from distembed.divergences.sliced import SlicedW2


def batches_of_other_numbers_of_sets():
    """Batches of other numbers of sets."""
    one = SetBatch.from_list([np.zeros((5, 2))])
    two = SetBatch.from_list([np.zeros((5, 2)), np.ones((5, 2))])
    ExactW2()(one, two)


def batches_of_other_atoms():
    """Batches of other atoms."""
    ExactW2()(SetBatch.from_list([np.zeros((5, 2))]), SetBatch.from_list([np.zeros((5, 3))]))


def distance_of_tokens():
    """A distance of tokens."""
    batch = SetBatch.from_list([torch.ones((5, 2), dtype=torch.int64)])
    ExactW2()(batch, batch)


def pairs_of_another_shape():
    """Pairs of another shape.

    Each row of `pairs` holds the numbers of two sets.
    """
    pairwise_w2(SetBatch.from_list([np.zeros((5, 2))]), torch.tensor([0, 0]))


def no_direction():
    """A sliced distance without directions."""
    SlicedW2(projections=0)


def direction_of_another_dimension():
    """A direction of another dimension."""
    batch = SetBatch.from_list([np.zeros((5, 2))])
    SlicedW2(along=((1.0, 0.0, 0.0),))(batch, batch)


def direction_of_zero():
    """A direction of zero."""
    SlicedW2(along=((0.0, 0.0),))


def search_without_candidates():
    """A largest direction without candidates."""
    MaxSlicedW2(candidates=0)


def negative_bandwidth():
    """A kernel of negative bandwidth."""
    MMD(bandwidths=(-1.0,))


def mmd_of_one_atom():
    """An unbiased MMD of one atom."""
    one, many = SetBatch.from_list([np.zeros((1, 2))]), SetBatch.from_list([np.zeros((5, 2))])
    MMD(unbiased=True)(one, many)


def energy_of_one_atom():
    """An unbiased energy distance of one atom."""
    one, many = SetBatch.from_list([np.zeros((1, 2))]), SetBatch.from_list([np.zeros((5, 2))])
    unbiased_energy(one, many)


def debiased_distance_of_one_atom():
    """A debiased distance of one atom."""
    one, many = SetBatch.from_list([np.zeros((1, 2))]), SetBatch.from_list([np.zeros((5, 2))])
    debiased_w2(one, many)


def transport_without_entropy():
    """A Sinkhorn divergence without entropy."""
    Sinkhorn(epsilon=0.0)


def covariance_of_another_shape():
    """A covariance of another shape."""
    bures_w2(torch.zeros(2), torch.eye(3), torch.zeros(2), torch.eye(2))


def covariance_that_is_not_symmetric():
    """A covariance that is not symmetric."""
    odd = torch.tensor([[1.0, 2.0], [0.0, 1.0]])
    bures_w2(torch.zeros(2), odd, torch.zeros(2), torch.eye(2))


def mixture_with_negative_weights():
    """A mixture with a negative weight."""
    w, mean, cov = torch.tensor([2.0, -1.0]), torch.zeros(2, 1), torch.ones(2, 1, 1)
    mixture_w2(w, mean, cov, w, mean, cov)


def neighbours_of_other_sizes():
    """A nearest-neighbour test of other sizes."""
    few, many = SetBatch.from_list([np.zeros((3, 2))]), SetBatch.from_list([np.zeros((5, 2))])
    neighbour_accuracy(few, many)
