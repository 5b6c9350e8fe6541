"""Heads on embeddings."""

import numpy as np

from distembed.heads import SetClassifier, SetRegressor, SetSurvival, event_times


def classes_with_fractions():
    """A number with fractions as a class."""
    SetClassifier().fit(np.eye(8), [0.5, 1.5, 2.25, 0.5, 1.5, 2.25, 0.5, 1.5])


def target_of_one_class():
    """A target of a single value."""
    SetClassifier().fit(np.eye(8), ["a"] * 8)


def complex_embeddings():
    """Embeddings that are complex numbers."""
    SetRegressor().fit(np.eye(8) + 1j, np.arange(8.0))


def other_embeddings():
    """Embeddings of another dimension than those of the fit."""
    SetRegressor().fit(np.eye(8), np.arange(8.0)).predict(np.zeros((1, 3)))


def times_without_events():
    """Times that are not told from the end of the follow-up."""
    SetSurvival().fit(np.eye(8), np.arange(8.0))


def event_that_is_none():
    """An event that is neither 0 nor 1."""
    event_times([1.0, 2.0], [1, 2])


def one_event():
    """A single event."""
    SetSurvival().fit(np.eye(8), event_times(np.arange(8.0), np.arange(8) == 3))
