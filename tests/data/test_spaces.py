"""Kinds of atoms: what each accepts, how strings are encoded and generated atoms restored."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from distembed.data import SPACES
from distembed.data.spaces import (
    Counts,
    Images,
    Tokens,
    Vectors,
    as_space,
    ground_distance,
    same_kind,
    w2_name,
)
from distembed.protocols import AtomSpace

DNA = Tokens("ACGT")
ALIGNED = Tokens("ACGT-", aligned=True)
EVERY = [Vectors(), Counts(), Images(), Images(0, 255, whole=True), DNA, ALIGNED]


@pytest.mark.parametrize("space", EVERY, ids=str)
def test_a_space_is_rebuilt_from_its_description(space):
    assert isinstance(space, AtomSpace)
    assert as_space(space.describe()) == space
    assert as_space(space) is space
    assert space.describe()["name"] in SPACES
    assert same_kind(space, space)


def test_spaces_that_do_not_exist_are_refused():
    with pytest.raises(ValueError, match=r"no kind of atom 'words'; there are: counts, images"):
        as_space("words")
    with pytest.raises(ValueError, match="'tokens' needs the option 'alphabet'"):
        as_space("tokens")
    for alphabet in ("", "ACA", 4):
        with pytest.raises(ValueError, match="The alphabet is"):
            Tokens(alphabet)


def test_tokens_of_another_alphabet_are_another_kind():
    assert not same_kind(DNA, Tokens("ACGU"))
    assert not same_kind(DNA, Counts())
    assert same_kind(Images(), Counts())


@given(st.lists(st.text("TGCA", max_size=7), max_size=5), st.integers(0, 3))
def test_strings_survive_encoding_and_pads_have_no_meaning(sequences, pads):
    ids = DNA.encode(sequences)
    assert ids.dtype == np.int64
    assert ids.shape == (len(sequences), max(map(len, sequences), default=0))
    longer = np.pad(ids, ((0, 0), (0, pads)))
    if len(sequences):
        DNA.check(longer)
    assert DNA.restore(longer) == sequences
    assert DNA.restore(np.stack([longer, longer])) == [sequences, sequences]


def test_symbols_are_one_character_of_any_script():
    greek = Tokens("βα-")
    assert greek.encode(["α-β", "β"]).tolist() == [[2, 3, 1], [1, 0, 0]]
    symbols = {"vocab": 4, "alphabet": "ACGT"}
    assert DNA.facts == {"atom_kind": "tokens", **symbols, "aligned": False}
    for sequence, symbol, place in (("ACN", "N", 2), ("aC", "a", 0), ("A C", " ", 1)):
        with pytest.raises(ValueError, match=f"Sequence 1 has '{symbol}' at position {place}"):
            DNA.encode(["ACGT", sequence])


@pytest.mark.parametrize(
    ("space", "x", "message"),
    [
        (DNA, [[1, 5]], "A token is 5; tokens are 1 to 4"),
        (DNA, [[-1, 2]], "A token is -1"),
        (DNA, [[1, 0, 2]], "Sequence 0 has a pad before a token, at position 1"),
        (DNA, [[[1]]], r"shape \(1, 1\); a token sequence has shape \(T,\)"),
        (DNA, [[0.5]], "fractions"),
        (ALIGNED, [[1, 2], [3, 0]], "Sequence 1 has 1 symbols, and the longest 2; aligned"),
        (Counts(), [[0.5]], "A count is 0.5"),
        (Counts(), [[3, -1]], "A count is -1"),
        (Images(), [[1, 2]], "an image is channels x height x width"),
        (Images(0, 255), [[[[256]]]], "Pixels are 256 to 256, outside of the range 0 to 255"),
        (Images(0, 255), [[[[-1, 3]]]], "Pixels are -1 to 3"),
    ],
)
def test_atoms_of_another_kind_are_refused(space, x, message):
    with pytest.raises(ValueError, match=message):
        space.check(np.array(x))


def test_strings_are_refused_where_atoms_are_numbers():
    for space in (Vectors(), Counts(), Images()):
        with pytest.raises(ValueError, match=f"such as 'ACGT', and {space.name} are numbers"):
            space.encode(["ACGT"])


def test_generated_atoms_are_restored_to_the_type_of_the_data():
    x = np.array([-3.0, 0.4, 7.6, 300.0], np.float32)
    assert Vectors().restore(x) is x
    assert Counts().restore(x).tolist() == [0, 0, 8, 300]
    assert Counts().restore(x).dtype == np.int64
    byte = Images(0, 255, whole=True).restore(x)
    assert (byte.tolist(), byte.dtype) == ([0, 0, 8, 255], np.uint8)
    assert Images(0, 255).restore(x).tolist() == [0, np.float32(0.4), np.float32(7.6), 255]
    assert Images(low=0).restore(x).min() == 0
    assert Images().restore(x) is x
    assert Images(-9, 1000, whole=True).restore(x).dtype == np.int64


def test_ground_distances():
    a, b = torch.zeros(2, 1, 2, 2), torch.ones(3, 1, 2, 2)
    for space in (Vectors(), Counts(), Images()):
        assert torch.equal(space.distance(a, b), torch.full((2, 3), 2.0).double())
        assert ground_distance(space) is None
        assert w2_name(space) == "W2"


def test_sequences_have_the_distance_that_their_kind_names():
    x = torch.from_numpy(DNA.encode(["ACGT", "CGT", "TTTT"]))
    edits, mismatches = [[0, 1, 3], [1, 0, 3], [3, 3, 0]], [[0, 4, 3], [4, 0, 3], [3, 3, 0]]
    for space, name, expected in (
        (DNA, "Levenshtein", edits),
        (Tokens("ACGT", aligned=True), "Hamming", mismatches),
    ):
        assert space.distance(x, x).tolist() == expected
        assert ground_distance(space)(x, x).tolist() == expected
        assert w2_name(space) == f"W2 under the {name} distance"


def test_the_description_of_a_stored_model_before_sequences_had_a_distance_still_loads():
    space = as_space({"name": "tokens", "alphabet": "ACGT"})
    assert (space.aligned, space.ground) == (False, "Levenshtein")
    assert space.describe() == {"name": "tokens", "alphabet": "ACGT"}
