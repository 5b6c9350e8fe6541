"""Sets: choosing, splitting, mixing."""

import numpy as np
import torch

import distembed as de
from distembed.batch import SetBatch
from distembed.sets.split import refuse_overlap


def unknown_set(sets):
    """A set that is not there."""
    sets.select(["p3"])


def position_beyond_the_sets(sets):
    """A number beyond the sets."""
    sets.select([0, 25])


def mask_of_sets_of_another_length(sets):
    """A mask of sets of another length."""
    sets.select(np.array([True, False]))


def sets_by_fractions(sets):
    """Sets chosen by fractions."""
    sets.select([0.5, 1.5])


def share_above_one(sets):
    """A test part of more than all sets."""
    sets.split(test=1.5)


def one_group_alone():
    """One group, which cannot be divided."""
    sets = de.read("cells.csv", by="patient", columns=["height", "mass"])
    sets = sets.with_meta({"hospital": ["north"] * len(sets)})
    sets.split(group="hospital")


def strata_of_single_sets():
    """Strata of single sets."""
    sets = de.read("cells.csv", by="patient", columns=["height", "mass"])
    sets = sets.with_meta({"age": np.arange(len(sets))})
    sets.split(stratify="age")


def group_of_several_strata():
    """A group with several strata.

    Stratify by a column that is constant within groups, or leave `stratify` out.
    """
    sets = de.read("cells.csv", by="patient", columns=["height", "mass"], meta="group")
    sets = sets.with_meta({"hospital": np.arange(len(sets)) // 5})
    sets.split(group="hospital", stratify="group")


def no_metadata_to_split_by():
    """A split by metadata, of which there are none."""
    sets = de.read([np.zeros((5, 2)), np.ones((5, 2))])
    sets.split(stratify="diagnosis")


def metadata_of_another_length(sets):
    """Metadata of another length."""
    sets.with_meta({"age": [50, 61]})


def test_part_in_the_training(sets):
    """A test part that shares sets with the training part."""
    refuse_overlap(sets.select(range(10)), sets.select(range(5, 15)))


def atoms_in_both_parts(sets):
    """A test part that shares atoms with the training part."""
    mixed = de.mixtures(sets, 10, 3)
    refuse_overlap(mixed.select(range(5)), mixed.select(range(5, 10)))


def mixtures_of_too_many(sets):
    """Mixtures of more components than there are."""
    de.mixtures(sets, n=100, k=30)


def draw_without_rng(sets):
    """A random draw without a source."""
    sets.batch([0, 1], m=5)


def draw_of_no_atom(sets):
    """A random draw of no atom."""
    sets.batch([0, 1], m=0, rng=torch.Generator())


def pieces_of_no_row(sets):
    """Pieces of no row."""
    next(iter(sets.chunks(0, rows=0)))


def seed_of_text(sets):
    """A seed that is text."""
    sets.split(rng="today")


def single_atom_to_divide():
    """A set of one atom, to be divided."""
    batch = SetBatch.from_list([np.zeros((1, 2)), np.zeros((5, 2))])
    batch.split(context=2, target=2, rng=torch.Generator())


def context_of_no_atom():
    """A context of no atom."""
    batch = SetBatch.from_list([np.zeros((5, 2))])
    batch.split(context=0, target=2, rng=torch.Generator())


def concatenation_of_nothing():
    """No batch to concatenate."""
    SetBatch.concat([])


def id_twice():
    """Two sets of one id."""
    from dataclasses import replace

    sets = de.read([np.zeros((5, 2)), np.ones((5, 2))])
    replace(sets, ids=np.array(["a", "a"]))


def anchor_without_atoms():
    """An anchor without any atom within reach."""
    atoms = de.read_atoms({"day": np.arange(9.0), "score": np.arange(9.0) % 4}, columns="score")
    de.by_kernel(atoms, ["day"], [[4.0], [40.0]], de.Kernel("box", 2.0))
