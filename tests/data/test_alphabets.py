"""Named alphabets: what is recognised, what is refused, and how letters are mapped."""

import logging
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import distembed as de
from distembed.data.alphabets import ALPHABETS, GAP, UnknownSymbolError, recognised_options
from distembed.data.readers.columns import open_table
from distembed.data.spaces import Tokens, as_space, same_kind
from distembed.model.inputs import feature_columns

PROTEIN = "ACDEFGHIKLMNPQRSTVWYX"


@pytest.mark.parametrize("name", ALPHABETS)
@pytest.mark.parametrize("aligned", [False, True])
def test_a_named_alphabet_is_stored_as_its_symbols(name, aligned):
    space = Tokens(name, aligned)
    gap = GAP if aligned and name != "methylation" else ""
    assert space.alphabet == ALPHABETS[name].symbols + gap
    assert Tokens(space.alphabet, aligned) == space == as_space(space.describe())


@pytest.mark.parametrize(
    ("sequences", "alphabet", "aligned"),
    [
        (["ACGT", "A"], "ACGT", False),
        (["ACGT", "ACGA"], "ACGT", False),  # of one length without a gap
        (["ACGN"], "ACGTN", False),
        (["AC-T", "ACGT"], "ACGT-", True),
        (["ACGU"], "ACGU", False),
        (["C.T", "CC"], "CT.", False),
        (["MKLV"], PROTEIN, False),
        (["MKX-", "MKLV"], PROTEIN + "-", True),
        (["VKWYSS"], PROTEIN, False),  # letters of which each is an ambiguous base too
        (["hello, world"], " ,dehlorw", False),
    ],
)
def test_an_alphabet_is_recognised_by_its_letters(sequences, alphabet, aligned):
    options = recognised_options(sequences)
    assert (options["alphabet"], options.get("aligned", False)) == (alphabet, aligned)
    Tokens(**options).encode(sequences)


@pytest.mark.parametrize(
    ("sequences", "message"),
    [
        (["acGT"], "look like dna, with small letters.*'alphabet': 'dna', 'upper': True"),
        (["ACGTACGTACGTACRT"], "look like dna, with the letters R.*'unknown': 'N'}"),
        (["acgtacgtacgtacnn"], "with small letters and the letters N.*'N', 'upper': True"),
        (["MKLVMKLVMKLVMKL*"], r"look like protein, with the letters \*.*'unknown': 'X'"),
        (["A-", "A--"], "hold gaps, '-', and differ in length: 2 to 3"),
    ],
)
def test_what_has_to_be_stated_is_asked_for(sequences, message):
    with pytest.raises(ValueError, match=message) as error:
        recognised_options(sequences)
    if stated := re.search(r"atoms=(\{.*\});", str(error.value)):  # the advice works
        de.read([sequences * 10], atoms=eval(stated[1]), min_size=1)


@pytest.mark.parametrize(
    ("alphabet", "sequence", "message"),
    [
        ("dna", "MKLVE", "'M' at position 0.*(E, K, L, M, V in all).*alphabet='protein'"),
        ("dna", "ACGMKL-", "alphabet='protein'"),
        ("dna", "ACGN", "'N' at position 3.*unknown='N'"),
        ("dna", "acg", "upper=True"),
        ("dna", "ACGU", "alphabet='rna'"),
        ("rna", "ACGT", "alphabet='dna'"),
        ("dna", "A-C", "A gap is a symbol of aligned sequences"),
        ("protein", "MKB", "unknown='X'"),
        ("01", "012", "Add the symbol to the alphabet, or drop the sequence"),
    ],
)
def test_a_letter_outside_of_the_alphabet_is_refused_with_the_fix(alphabet, sequence, message):
    with pytest.raises(UnknownSymbolError, match=message) as error:
        Tokens(alphabet).encode(["A" if alphabet != "01" else "0", sequence])
    assert error.value.row == 1


@given(st.lists(st.text("acgtACGT", min_size=1), min_size=1))
def test_small_letters_are_capitals_if_asked(sequences):
    capitals = [sequence.upper() for sequence in sequences]
    ids = Tokens("dna", upper=True).encode(sequences)
    np.testing.assert_array_equal(ids, Tokens("dna").encode(capitals))


def test_unknown_letters_are_mapped_and_counted(caplog):
    space = Tokens("dna", unknown="N")
    assert (space.alphabet, space.describe()["unknown"]) == ("ACGTN", "N")
    with caplog.at_level(logging.WARNING):
        ids = space.encode(["ACGTACGTACGTACGTACGTR", "ACGTACGTACGTAYGTACGTR", "ACG"])
    assert space.restore(ids) == ["ACGTACGTACGTACGTACGTN", "ACGTACGTACGTANGTACGTN", "ACG"]
    assert "3 letters of 2 sequences are read as 'N': R, Y" in caplog.text
    caplog.clear()
    assert space.restore(space.encode(["ACGN"])) == ["ACGN"]
    assert not caplog.text
    with pytest.raises(ValueError, match="20% of all symbols, too many to be unknown"):
        space.encode(["ACGTR"])
    with pytest.raises(ValueError, match="A gap is a symbol"):
        space.encode(["ACGTACGTACGT-"])
    with pytest.raises(ValueError, match="unknown is 'NN'; it is one symbol"):
        Tokens("dna", unknown="NN")


def test_aligned_sequences_are_another_kind():
    assert not same_kind(Tokens("ACGT-"), Tokens("ACGT-", aligned=True))
    assert same_kind(Tokens("dna", upper=True), Tokens("ACGT"))
    dna = {"name": "tokens", "alphabet": "dna", "aligned": True}
    short, long = ([["AC-"[:n] * 2, "AC-"[:n] * 2]] * 2 for n in (2, 3))
    sets = de.read(long, atoms=dna)
    assert feature_columns(sets, None, (6,)) is None
    with pytest.raises(ValueError, match="4 positions.* fitted to an alignment of 6"):
        feature_columns(de.read(short, atoms=dna), None, (6,))
    assert feature_columns(de.read(short, atoms={**dna, "aligned": False}), None, (6,)) is None


def test_a_column_of_sequences_is_read_from_tables_and_cells():
    anndata, pandas = pytest.importorskip("anndata"), pytest.importorskip("pandas")
    table = {"who": ["a", "a", "b", "b"], "seq": ["AC", "G", "TT", "ACG"], "x": [1.0, 2, 3, 4]}
    cells = anndata.AnnData(np.ones((4, 2), np.float32), obs=pandas.DataFrame(table, list("pqrs")))
    for source in (table, cells):
        sets = de.read(source, by="who", sequence="seq")
        assert sets.atoms == Tokens("ACGT")
        assert sets.atoms.restore(sets.batch([1]).x.numpy()) == ["TT", "ACG"]
    named = de.read(table | {"sequence": table["seq"]}, by="who", atoms=sets.atoms.describe())
    assert named.atoms.restore(named.batch([1]).x.numpy()) == ["TT", "ACG"]
    with pytest.raises(ValueError, match="reads a column of obs, and layer chooses numbers"):
        de.read(cells, by="who", sequence="seq", layer="counts")
    with pytest.raises(ValueError, match="'MKL'|such as 'AC', and vectors are numbers"):
        de.read(table, by="who", sequence="seq", atoms="vectors")


def test_joined_tables_are_read_in_parts(tmp_path):
    for k, name in enumerate("ab"):
        rows = "".join(f"{10 * k + r},w{r}\n" for r in range(5))
        (tmp_path / f"{name}.csv").write_text(f"x,word\n{rows}")
    table = open_table(tmp_path / "*.csv")
    assert table.names == ["x", "word", "file"]
    whole = table.load(["file", "x"], "exact")
    parts = list(table.parts(["file", "x"], "exact", 3))
    assert [len(file) for file, _ in parts] == [3, 2, 3, 2]
    for column in (0, 1):
        np.testing.assert_array_equal(np.concatenate([p[column] for p in parts]), whole[column])
    assert table.settled("x", whole[1]).tolist() == [*range(5), *range(10, 15)]
    assert table.settled("file", whole[0]).tolist() == ["a"] * 5 + ["b"] * 5
    names = list(table.parts(["file"], "exact", 9))
    assert [part[0].tolist() for part in names] == [["a"] * 5, ["b"] * 5]


def test_a_column_of_the_files_is_kept_where_it_has_the_name_of_a_label(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.csv").write_text(f"x,file\n1,old_{name}\n2,old_{name}\n")
    table = open_table(tmp_path / "*.csv")
    assert table.names == ["x", "file"]
    assert de.read(tmp_path / "*.csv").ids.tolist() == ["old_a", "old_b"]
