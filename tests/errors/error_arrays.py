"""Arrays, images and sequences."""

import numpy as np

import distembed as de
from distembed.batch import SetBatch


def no_array():
    """No array."""
    de.read([])


def array_by_a_column():
    """A list of arrays, and the column of sets."""
    de.read([np.zeros((5, 2)), np.ones((5, 2))], by="patient")


def array_without_labels():
    """One array without labels."""
    de.read(np.zeros((10, 2)))


def flat_array():
    """A set of numbers in one axis."""
    de.read([np.array([1.0, 2.0, 3.0])])


def empty_array():
    """A set without atoms."""
    de.read({"a": np.zeros((5, 2)), "b": np.zeros((0, 2))})


def ragged_array():
    """Atoms of several lengths."""
    de.read({"a": [[1.0, 2.0], [3.0]]})


def arrays_of_other_shapes():
    """Sets whose atoms have other shapes."""
    de.read({"a": np.zeros((5, 2)), "b": np.zeros((5, 3))})


def complex_array():
    """Atoms that are no numbers.

    Give real and imaginary parts as two features.
    """
    de.read({"a": np.zeros((5, 2), complex)})


def strings_without_an_alphabet():
    """Sequences without an alphabet."""
    de.read([["ACG", "TT"], ["GA", "C"]])


def strings_and_numbers():
    """A number among sequences."""
    de.read([["ACG", 3]], atoms={"name": "tokens", "alphabet": "ACGT"})


def symbol_twice():
    """An alphabet with a symbol twice."""
    de.read([["ACG", "TT"]], atoms={"name": "tokens", "alphabet": "ACCT"})


def tokens_of_fractions():
    """Tokens with fractions."""
    de.read([np.array([[1.0, 0.5], [2.0, 1.0]])], atoms={"name": "tokens", "alphabet": "ACGT"})


def token_beyond_the_alphabet():
    """A token beyond the alphabet."""
    de.read([np.array([[1, 2], [3, 9]])], atoms={"name": "tokens", "alphabet": "ACGT"})


def pad_before_a_token():
    """A pad before a token."""
    de.read([np.array([[1, 2, 3], [1, 0, 2]])], atoms={"name": "tokens", "alphabet": "ACGT"})


def tokens_of_two_axes():
    """Sequences of two axes."""
    de.read([np.ones((3, 2, 2), int)], atoms={"name": "tokens", "alphabet": "ACGT"})


def counts_of_fractions():
    """Counts with fractions."""
    de.read([np.array([[1.0, 2.5], [3.0, 0.0]])], atoms="counts")


def picture_or_not():
    """Atoms that may be pictures."""
    de.read([np.zeros((5, 28, 28))])


def image_of_one_axis():
    """Images without channels."""
    de.read([np.zeros((5, 784))], atoms="images")


def pixel_outside_the_range():
    """A pixel outside of the range."""
    x = np.full((5, 1, 28, 28), 7.0)
    de.read([x], atoms={"name": "images", "low": 0, "high": 1})


def unknown_kind():
    """A kind of atoms that is not there."""
    de.read([np.zeros((5, 2))], atoms="graphs")


def batch_of_nothing():
    """A batch of no set."""
    SetBatch.from_list([])


def batch_of_other_shapes():
    """A batch of atoms of other shapes."""
    SetBatch.from_list([np.zeros((5, 2)), np.zeros((5, 3))])


def batch_with_too_few_weights():
    """A batch with too few weight vectors."""
    SetBatch.from_list([np.zeros((2, 1)), np.ones((3, 1))], [[0.5, 0.5]])


def set_with_too_few_weights():
    """A set with too few weights."""
    SetBatch.from_list([np.zeros((3, 1))], [[0.5, 0.5]])


def batch_with_nan():
    """A batch with NaN."""
    SetBatch.from_list([np.array([[1.0], [np.nan]])])


def batch_with_negative_weights():
    """A batch with a negative weight."""
    SetBatch.from_list([np.zeros((2, 1))], [[1.0, -1.0]])


def batch_with_an_empty_set():
    """A batch with an empty set."""
    SetBatch.from_list([np.zeros((2, 1)), np.zeros((0, 1))])


def arrays_of_single_atoms():
    """Arrays of one atom each."""
    de.read([np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]])])
