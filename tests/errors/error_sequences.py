"""Reading sequences."""

from pathlib import Path

import distembed as de


def letters_of_proteins():
    """A protein that is read as DNA."""
    Path("x.fasta").write_text(">q1 Peru\nMKLVE\n>q2 Peru\nMKT\n")
    de.read("x.fasta", by="id", atoms={"name": "tokens", "alphabet": "dna"})


def small_letters():
    """Small letters, which mark repeats, in a sequence whose alphabet is not stated."""
    de.read({"who": ["a", "a"], "seq": ["ACGTacgt", "ACG"]}, by="who", sequence="seq")


def gaps_in_several_lengths():
    """Gaps in sequences that differ in length."""
    de.read({"who": ["a", "a"], "seq": ["AC-T", "ACG"]}, by="who", sequence="seq")


def too_many_unknown():
    """Sequences of another alphabet where unknown letters are mapped."""
    atoms = {"name": "tokens", "alphabet": "dna", "unknown": "N"}
    de.read([["MKLVE", "MKT"]], atoms=atoms)


def not_aligned():
    """Sequences of several lengths that are stated to be aligned."""
    de.read([["ACGT", "AC"]], atoms={"name": "tokens", "alphabet": "dna", "aligned": True})


def entry_without_a_sequence():
    """A FASTA entry without a sequence."""
    Path("x.fasta").write_text(">q1\nACGT\n>q2\n>q3\nAC\n")
    de.read("x.fasta", by="id")


def no_fasta():
    """A file that is no FASTA."""
    Path("x.fasta").write_text("@read1\nACGT\n+\nIIII\n")
    de.read("x.fasta", by="id")


def fasta_cut_off():
    """A compressed file that is cut off."""
    Path("x.fasta.gz").write_bytes(b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x4b")
    de.read("x.fasta.gz", by="id")


def column_of_no_table():
    """A column that is neither in the headers nor in a table."""
    Path("x.fasta").write_text(">q1\nACGT\n>q2\nAC\n")
    de.read("x.fasta", by="country")


def sequence_without_a_row_of_annotation():
    """A sequence without a row in the table of annotation."""
    Path("x.fasta").write_text(">q1\nACGT\n>q2\nAC\n")
    de.read("x.fasta", by="country", annotation={"name": ["q1"], "country": ["Peru"]})


def ids_of_another_table():
    """A table of annotation with other ids."""
    Path("x.fasta").write_text(">q1\nACGT\n>q2\nAC\n")
    de.read("x.fasta", by="country", annotation={"name": ["K1"], "country": ["Peru"]})


def sequences_of_one_id():
    """Two sequences of one id."""
    Path("x.fasta").write_text(">q1\nACGT\n>q1\nAC\n")
    de.read("x.fasta", by="country", annotation={"name": ["q1"], "country": ["Peru"]})


def header_of_another_form():
    """A header without the fields of the pattern."""
    Path("x.fasta").write_text(">q1|Peru\nACGT\n>q2\nAC\n")
    de.read("x.fasta", by="country", header="{id}|{country}")


def line_of_another_form():
    """A line of a .pat file without a count."""
    Path("x.pat").write_text("chr1\t5\tCT\n")
    de.read("x.pat")


def no_file_of_a_pattern():
    """A pattern of files that no file has."""
    de.read("mice/*.pat.gz")


def files_with_other_columns():
    """Tables of one pattern with other columns."""
    Path("p1.csv").write_text("height,width\n1,2\n3,4\n")
    Path("p2.csv").write_text("height\n1\n2\n")
    de.read("p?.csv")


def sequence_and_columns():
    """A column of sequences beside columns of features."""
    table = {"who": ["a", "a"], "seq": ["AC", "GT"], "x": [1.0, 2.0]}
    de.read(table, by="who", sequence="seq", columns="x")
