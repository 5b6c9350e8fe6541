"""Models by name, exported encoders and plots."""

import numpy as np

import distembed as de


def name_that_is_neither_a_folder_nor_on_a_hub():
    """A name that is neither a folder nor a name on a hub."""
    de.GDE.from_pretrained("kidney")


def push_without_an_owner(model):
    """A model that is pushed to a name without an owner."""
    model.push_to_hub("kidney")


def revision_of_a_folder():
    """A revision of a local folder."""
    de.GDE.from_pretrained("model", revision="v2")


def export_to_another_format(model):
    """An encoder that is exported to another format."""
    model.export("encoder.h5")


def heat_map_of_two_tables():
    """A heat map of the distances between two tables."""
    de.plot.distances(np.ones((20, 3)))


def heat_map_of_asymmetric_distances():
    """A heat map of distances that are not symmetric."""
    de.plot.distances(np.array([[0.0, 1.0], [2.0, 0.0]]))


def colours_of_other_sets(table):
    """A map with the colours of other sets."""
    de.plot.map(table, ["north", "south"])


def drawn_path_of_one_step(model, sets):
    """A plot of a path of one step."""
    de.plot.path(model, sets, steps=1)
