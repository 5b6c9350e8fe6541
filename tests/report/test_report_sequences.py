"""Figures of sequences: the heights of a logo, what a page shows, and how names are escaped."""

import math
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from report_fakes import SequenceModel, sequence_sets

pytest.importorskip("matplotlib")
pytest.importorskip("jinja2")

from distembed.data.spaces import Tokens
from distembed.report import overview, write_report
from distembed.report.logo import information, letter_colours, logo
from distembed.report.samples import Pair
from distembed.report.views.sequences import SequenceView, kmer_shares

DNA, ALIGNED = Tokens("ACGT"), Tokens("ACGT", aligned=True)


def test_heights_are_shares_of_the_information():
    x = np.array([[1, 1], [1, 2], [1, 3], [1, 4]] * 250)
    heights = information(x, 4)
    correction = 3 / (2 * 1000 * math.log(2))
    assert heights[0].tolist() == pytest.approx([2 - correction, 0, 0, 0])
    assert heights[1].sum() == 0  # no information is not negative
    half = information(np.array([[1], [2]] * 500), 4)
    assert half[0, :2].tolist() == pytest.approx([(1 - correction) / 2] * 2)


def boxes(element):
    """Letters of a logo: symbol number, left, top and height."""
    out = []
    for use in re.findall(r"<use [^>]+>", element):
        number = int(re.search(r'href="#[^"]*-(\d+)"', use)[1])
        left, top, _, height = (float(v) for v in re.findall(r"[\d.]+", use.split("translate")[1]))
        out.append((number, left, top, height))
    return out


def test_letters_stand_on_each_other_the_largest_on_top():
    heights = np.array([[0.5, 1.0, 0.25, 0.0]])
    element = logo(heights, "ACGT", [7], 2.0, "n", 'a <name> & "more"')
    root = ElementTree.fromstring(element)
    assert root.attrib["aria-label"] == 'a <name> & "more"'
    letters = boxes(element)
    assert [number for number, *_ in letters] == [2, 0, 1]  # T has no height
    assert [height / 32 for *_, height in letters] == pytest.approx([0.25, 0.5, 1.0], abs=0.01)
    for (_, _, above, _), (_, _, top, height) in zip(letters, letters[1:], strict=False):
        assert above == pytest.approx(top + height, abs=0.11)
    assert len(re.findall("<path id=", element)) == 3
    assert ">7<" in element
    gaps = logo(np.array([[1.0, 0.0]]), "-A", [1], 1.0, "g", "gap")
    assert boxes(gaps) == []


def test_colours_follow_the_alphabet():
    assert len(set(letter_colours("ACGT").values())) == 4
    protein = letter_colours("ACDEFGHIKLMNPQRSTVWY-")
    assert protein["D"] == protein["E"] != protein["K"]
    assert len(set(letter_colours("xyz").values())) == 3


def test_shares_of_kmers_are_counted_over_the_set():
    x = DNA.encode(["ACG", "CG", "A"])
    shares = kmer_shares(x, 2, 4)
    assert shares[0 * 4 + 1] == pytest.approx(1 / 3)
    assert shares[1 * 4 + 2] == pytest.approx(2 / 3)
    assert shares.sum() == pytest.approx(1)
    assert not kmer_shares(x, 4, 4).any()


def pairs_of(atoms, length=50):
    sets, model = sequence_sets(atoms, length), SequenceModel(length, atoms)
    z = model.embed(sets).z
    pairs = [Pair(f"set {k} <b>", sets.arrays[k], model.sample(z[k], 60)) for k in range(2)]
    return model, pairs


def test_logos_show_the_positions_that_differ_between_sets():
    model, pairs = pairs_of(ALIGNED)
    view = SequenceView(model, pairs)
    assert len(view.columns) == 40
    assert {2, 3, 4, 5} & set(view.columns.tolist())
    text = "".join(map(str, view.pairs(pairs).html))
    assert text.count("Logo of the") == 4
    assert "set 0 &lt;b&gt;" in text
    assert "<b>" not in text
    assert "40 of 50 positions" in view.pairs(pairs).text
    first = pairs[0].real[:1, view.columns]
    assert ALIGNED.restore(first)[0] in text  # the texts have the positions of the logos


def test_sequences_of_several_lengths_have_no_logo():
    model, pairs = pairs_of(DNA)
    view = SequenceView(model, pairs)
    assert not len(view.columns)
    text = "".join(map(str, view.pairs(pairs).html))
    assert "Logo" not in text
    words = DNA.restore(pairs[0].real[:1])
    assert (words[0] if len(words[0]) <= 44 else words[0][:43] + "…") in text


@pytest.mark.parametrize("atoms", [DNA, ALIGNED], ids=["lengths", "aligned"])
def test_a_page_and_an_overview_of_sequences(atoms, tmp_path):
    sets, model = sequence_sets(atoms, 30), SequenceModel(30, atoms)
    page = write_report(tmp_path / "a.html", model=model, test=sets).read_text()
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert {"map", "samples", "path", "contributions"} <= set(ids)
    assert ("Logo of the real" in page) == atoms.aligned
    assert re.search(r" 50%  [ACGT]+", page)
    assert overview(tmp_path / "a.png", model=model, test=sets).exists()


def test_empty_sequences_are_written():
    model, pairs = pairs_of(DNA)
    empty = Pair("empty", np.zeros((3, 50), np.int64), pairs[0].generated)
    view = SequenceView(model, [empty])
    assert "(empty)" in str(view.pairs([empty]).html[0])
