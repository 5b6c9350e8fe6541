"""Binding sites of yeast transcription factors as consensus sequences, and their counts.

The letters are those of IUPAC: R is A or G, Y is C or T, S is C or G, W is A or T, K is G or T, M
is A or C, and N is any base. Consensus sequences are those of the literature, as collected by the
databases YeTFaSCo and JASPAR; they are shorter and stricter than position weight matrices.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["MOTIFS", "motif_hits", "reverse_complement"]

MOTIFS: Mapping[str, str] = {
    "poly-A": "AAAAAAA",
    "TATA": "TATAWAWR",
    "Reb1": "TTACCCG",
    "Rap1": "CACCCRNACA",
    "Abf1": "RTCRYNNNNNACG",
    "Rsc3": "CGCGCG",
    "Gcr1": "CTTCC",
    "Gcn4": "TGACTCA",
    "Cbf1": "CACGTG",
    "Mcm1": "CCNNNWWRGG",
    "Msn2": "AGGGG",
    "Mig1": "SYGGGG",
    "Hap2": "CCAATNA",
    "Swi4": "CRCGAAA",
    "Mbp1": "ACGCGT",
    "Ste12": "TGAAACA",
    "Rox1": "YYNATTGTTY",
    "Ume6": "TAGCCGCC",
    "Hsf1": "GAANNTTC",
    "Fkh1": "GTAAACA",
    "Tbf1": "ARCCCTA",
    "Yap1": "TTAGTAA",
    "Sfp1": "AAAATTTT",
    "Stb3": "TGAAAAATTT",
    "Pho4": "CACGTT",
    "Azf1": "AAAAGAAA",
    "GC box": "GGGCGG",
}
"""Consensus sequences by factor."""

_LETTERS = {
    "A": "A", "C": "C", "G": "G", "T": "T", "R": "[AG]", "Y": "[CT]", "S": "[CG]", "W": "[AT]",
    "K": "[GT]", "M": "[AC]", "N": ".",
}  # fmt: skip
_COMPLEMENT = str.maketrans("ACGTRYSWKMN", "TGCAYRSWMKN")


def reverse_complement(motif: str) -> str:
    """Return the motif as it reads on the other strand.

    Example:
        >>> reverse_complement("TTACCCG"), reverse_complement("CACGTG")
        ('CGGGTAA', 'CACGTG')
    """
    return motif.translate(_COMPLEMENT)[::-1]


def motif_hits(
    sequences: Sequence[str], motifs: Mapping[str, str] = MOTIFS
) -> NDArray[np.float64]:
    """Count the places of each motif on either strand, `(N, K)`; palindromes count once.

    Args:
        sequences: Sequences of A, C, G and T.
        motifs: Consensus sequences by name.

    Raises:
        ValueError: If a motif has a letter that is not of IUPAC.

    Example:
        >>> motif_hits(["TTACCCGAAACGGGTAA", "CACGTG"], {"Reb1": "TTACCCG", "Cbf1": "CACGTG"})
        array([[2., 0.],
               [0., 1.]])
    """
    counts = np.zeros((len(sequences), len(motifs)))
    for k, (name, motif) in enumerate(motifs.items()):
        if other := set(motif) - _LETTERS.keys():
            raise ValueError(
                f"The motif {name} is {motif!r} and has {sorted(other)[0]!r}; the letters are "
                f"{''.join(_LETTERS)}."
            )
        for strand in {motif, reverse_complement(motif)}:
            # a look-ahead counts places that overlap
            pattern = re.compile(f"(?={''.join(_LETTERS[c] for c in strand)})")
            counts[:, k] += [sum(1 for _ in pattern.finditer(s)) for s in sequences]
    return counts
