"""Named alphabets, and the recognition of the alphabet of sequences.

| Name          | Symbols                        | Unknown letters may be read as |
|---------------|--------------------------------|--------------------------------|
| `dna`         | A, C, G, T                     | N                              |
| `rna`         | A, C, G, U                     | N                              |
| `protein`     | the 20 amino acids, and X      | X                              |
| `methylation` | C, T, and . where not covered  |                                |

Where sequences are aligned, `-` is a symbol of `dna`, `rna` and `protein`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

__all__ = [
    "ALPHABETS",
    "GAP",
    "Alphabet",
    "UnknownSymbolError",
    "recognised_options",
    "symbols_of",
]

GAP = "-"
"""The symbol of a gap in an alignment."""


@dataclass(frozen=True)
class Alphabet:
    """A named alphabet.

    Attributes:
        symbols: Its symbols, without the gap.
        unknown: The symbol that stands for any other, where there is one.
        ambiguous: Letters that stand for several symbols.
        gapped: Whether the gap is a symbol where sequences are aligned.
    """

    symbols: str
    unknown: str | None = None
    ambiguous: str = ""
    gapped: bool = True


ALPHABETS: Mapping[str, Alphabet] = {
    "dna": Alphabet("ACGT", "N", "RYSWKMBDHV"),
    "rna": Alphabet("ACGU", "N", "RYSWKMBDHV"),
    "protein": Alphabet("ACDEFGHIKLMNPQRSTVWYX", "X", "BJOUZ*"),
    "methylation": Alphabet("CT.", gapped=False),
}


def symbols_of(alphabet: str, aligned: bool = False) -> str:
    """Return the symbols of a named alphabet; any other string is its own symbols.

    Example:
        >>> symbols_of("dna"), symbols_of("dna", aligned=True), symbols_of("01")
        ('ACGT', 'ACGT-', '01')
    """
    if alphabet not in ALPHABETS:
        return alphabet
    named = ALPHABETS[alphabet]
    return named.symbols + (GAP if aligned and named.gapped else "")


def recognised_options(sequences: Sequence[str]) -> dict[str, object]:
    """Recognise alphabet and alignment, as options of `distembed.data.tokens.Tokens`.

    The first named alphabet that holds all letters is taken; where none does, all characters that
    occur are the alphabet. Sequences are aligned if all have one length and some have a gap.

    Raises:
        ValueError: If letters have to be stated: small ones, ambiguous ones, or gaps in sequences
            that differ in length.

    Example:
        >>> recognised_options(["AC-T", "ACGT"])
        {'alphabet': 'ACGT-', 'aligned': True}
    """
    letters = set().union(*sequences)
    aligned = GAP in letters and len({*map(len, sequences)}) == 1
    residues = letters - {GAP}
    for name, alphabet in ALPHABETS.items():
        symbols = symbols_of(name, aligned)
        if alphabet.unknown and alphabet.unknown in residues - {*symbols}:
            symbols += alphabet.unknown
        if residues <= {*symbols} and not (name == "protein" and _mostly_bases(sequences)):
            if GAP in letters and not aligned:
                raise ValueError(
                    f"The sequences hold gaps, {GAP!r}, and differ in length: "
                    f"{min(map(len, sequences))} to {max(map(len, sequences))}. Aligned sequences "
                    "have one length: align them, or remove the gaps."
                )
            return _options(symbols, aligned)
    capitals = {letter.upper() for letter in residues}
    for name, alphabet in ALPHABETS.items():
        others = {*alphabet.ambiguous, alphabet.unknown} - {None, *alphabet.symbols}
        if capitals <= {*alphabet.symbols, *others}:
            several = sorted(capitals & others)
            small = capitals != residues
            unknown = alphabet.unknown if several else None
            reasons = ["small letters"] * small
            reasons += [f"the letters {', '.join(several)}"] * bool(several)
            atoms = {"name": "tokens"} | _options(name, aligned, unknown, small)
            raise ValueError(
                f"The sequences look like {name}, with {' and '.join(reasons)}. State how these "
                f"are read: atoms={atoms}; or give the symbols of another alphabet."
            )
    return _options("".join(sorted(letters)), aligned)


class UnknownSymbolError(ValueError):
    """A sequence has a symbol that is not in the alphabet.

    Args:
        row: The sequence.
        place: The position in it.
        symbol: The symbol there.
        letters: All symbols that are not in the alphabet.
        alphabet: The alphabet.
        share: Their share of all symbols, where they might have been read as unknown.
    """

    def __init__(
        self,
        row: int,
        place: int,
        symbol: str,
        letters: Set[str],
        alphabet: str,
        share: float | None = None,
    ) -> None:
        self.row = row
        others = f" ({', '.join(sorted(letters))} in all)" if len(letters) > 1 else ""
        fix = _advice(letters, alphabet, asked=share is not None)
        if share is not None:
            fix = (
                f"They are {share:.0%} of all symbols, too many to be unknown ones: the sequences "
                f"are of another alphabet. {fix}"
            )
        super().__init__(
            f"Sequence {row} has {symbol!r} at position {place}, and the alphabet is "
            f"{alphabet!r}{others}. {fix}"
        )


def _mostly_bases(sequences: Sequence[str], share: float = 0.9) -> bool:
    """Return whether nearly all letters are bases: the others are then ambiguous bases."""
    bases = sum(sequence.count(base) for sequence in sequences for base in "ACGTUN")
    return bases >= share * sum(map(len, sequences))


def _options(
    alphabet: str, aligned: bool, unknown: str | None = None, upper: bool = False
) -> dict[str, object]:
    """Return options of tokens without those that are the default."""
    options = {"aligned": aligned, "unknown": unknown, "upper": upper}
    return {"alphabet": alphabet} | {name: value for name, value in options.items() if value}


def _advice(letters: Set[str], symbols: str, asked: bool) -> str:
    """Return the usual fix where sequences have letters that are not in an alphabet."""
    capitals = {x.upper() for x in letters}
    if all(x.islower() for x in letters) and capitals <= {*symbols}:
        return "Small letters are read as capitals if you say so: upper=True."
    if letters == {GAP}:
        return (
            "A gap is a symbol of aligned sequences, which all have one length: aligned=True and "
            f"an alphabet with {GAP!r}, as the named ones have; or remove the gaps."
        )
    if letters == {"U"} and "T" in symbols:
        return "The sequences are RNA: alphabet='rna'."
    if letters == {"T"} and "U" in symbols:
        return "The sequences are DNA: alphabet='dna'."
    for name in ("protein", "dna", "rna"):  # the bases are letters of proteins too
        alphabet = ALPHABETS[name]
        several = {*alphabet.ambiguous, alphabet.unknown}
        whole = {*alphabet.symbols} <= {*symbols, alphabet.unknown}
        if whole and capitals <= several and not asked:
            return (
                f"Letters that stand for several symbols are read as {alphabet.unknown} if you "
                f"say so: unknown={alphabet.unknown!r}; or drop the sequence."
            )
    protein = ALPHABETS["protein"].symbols
    if capitals <= {*protein, "*", GAP} and len(symbols) < len(protein):
        return "These are letters of proteins: alphabet='protein'."
    return "Add the symbol to the alphabet, or drop the sequence."
