r"""Problems of sequences: sets of known laws, and real sets with a part of their atoms apart.

| problem     | a set                                      | atoms                               |
|-------------|--------------------------------------------|-------------------------------------|
| `motifs`    | three motifs in random DNA, known weights  | 30 to 50 letters                    |
| `chains`    | a Markov chain of known transitions        | 20 to 40 letters                    |
| `pairs`     | an aligned profile whose halves depend     | 12 letters                          |
| `promoters` | promoters of one of 40 expression bins     | 80 letters of DNA                   |
| `rsva_G`    | proteins of a country and year, aligned    | 321 residues and gaps               |
| `denv2_E`   | proteins of a country and year, aligned    | 495 residues and gaps               |
| `tcr`       | 200 CDR3 of one sample, clonotypes once    | 5 to 22 residues                    |

Held-out sets are whole sets that no model has seen: a context is embedded, and a disjoint target
scored. Of the training sets a third of the atoms is a second target, on which a model that knows
the label of a set can be scored too. Parts of `tcr` come from samples that occur in training.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from distembed.batch import SetBatch
from distembed.benchmarks.bench import data_folder, held_out_seed
from distembed.data.synthetic.sequence_families import chains, motifs, pairs
from distembed.data.synthetic.sequences import MarkovChains, MotifMixtures, PairedProfiles
from distembed.protocols import Collection
from distembed.registry import need
from distembed.rng import stream
from distembed.sets.collection import Sets
from distembed.sets.read import read

Array = NDArray[Any]

__all__ = ["FAMILIES", "FOLDERS", "Part", "SequenceProblem", "known", "real"]

FAMILIES: dict[str, Callable[..., MotifMixtures | MarkovChains | PairedProfiles]] = {
    "motifs": motifs,
    "chains": chains,
    "pairs": pairs,
}
"""Known laws by name."""
FOLDERS = {
    "promoters": "promoters_gpra",
    "rsva_G": "virus_rsva_G",
    "denv2_E": "virus_denv2_E",
    "tcr": "tcr_repertoire",
}
"""Folders of `$DISTEMBED_DATA` by name."""


@dataclass(frozen=True)
class Part:
    """Sets of which some atoms are embedded, and others scored.

    Attributes:
        context: Atoms that are embedded.
        target: Atoms that are scored.
        label: Number of the label of each set, `(B,)`; -1 without a training share.
        truth: Log likelihood of the target under its known law, `(N,)`, or None.
        parameters: What distinguishes the laws, `(B, P)`, or None.
    """

    context: SetBatch
    target: SetBatch
    label: torch.Tensor
    truth: torch.Tensor | None = None
    parameters: torch.Tensor | None = None


@dataclass(frozen=True)
class SequenceProblem:
    """Training sets, and what is scored.

    Attributes:
        train: Training sets.
        labels: Number of the label of each training set, `(S,)`.
        unseen: Held-out sets.
        seen: Held-out atoms of training sets, where there are any.
        parameters: Of the training sets, `(S, P)`, or None.
    """

    train: Collection
    labels: torch.Tensor
    unseen: Part
    seen: Part | None = None
    parameters: torch.Tensor | None = None


def known(name: str, train: int, test: int, atoms: int, seed: int) -> SequenceProblem:
    """Draw sets of a known law.

    Args:
        name: A name of `FAMILIES`.
        train: Number of training sets.
        test: Number of held-out sets.
        atoms: Atoms of a training set, and of a context and a target.
        seed: Seed of the trial.
    """
    family = FAMILIES[name]
    sets = family(train, size=atoms, seed=seed)
    others = family(test, size=atoms, seed=held_out_seed(seed))
    context, target = (
        others.batch(range(test), atoms, stream(seed, name, part))
        for part in ("context", "target")
    )
    truth, label = others.log_prob(target, range(test)), torch.full((test,), -1)
    if isinstance(sets, MotifMixtures) and isinstance(others, MotifMixtures):
        part = Part(context, target, label, truth, others.weights)
        return SequenceProblem(sets, torch.arange(train), part, None, sets.weights)
    return SequenceProblem(sets, torch.arange(train), Part(context, target, label, truth))


def real(name: str, test: int, atoms: int, seed: int) -> SequenceProblem:
    """Read real sets, and divide them.

    Args:
        name: A name of `FOLDERS`.
        test: Number of held-out sets, at most a quarter of all.
        atoms: Atoms of a set, at most; others are left out at random.
        seed: Decides the division.
    """
    sets, labels = _READERS[name](atoms, seed)
    order = torch.randperm(len(sets), generator=stream(seed, "held out")).numpy()
    count = min(test, len(sets) // 4)
    names, number = np.unique(labels[order[count:]], return_inverse=True)
    index = {str(label): i for i, label in enumerate(names)}
    held_out, rest = (sets.batch(part.tolist()) for part in np.split(order, [count]))
    context, target = held_out.split(atoms, atoms, stream(seed, "halves"))
    train, apart = rest.split(2 * atoms, atoms, stream(seed, "thirds"))
    unseen = torch.tensor([index.get(str(label), -1) for label in labels[order[:count]]])
    first = range(min(test, len(rest)))
    scored = torch.from_numpy(number)[: len(first)]
    return SequenceProblem(
        read([part.numpy() for part in train.x.split(train.sizes.tolist())], atoms=sets.atoms),
        torch.from_numpy(number),
        Part(context, target, unseen),
        Part(train.select(first), apart.select(first), scored),
    )


def _promoters(atoms: int, seed: int, bins: int = 40) -> tuple[Sets, Array]:
    """Cut native and random promoters into bins of equal numbers by their expression."""
    table = _table(FOLDERS["promoters"], "native_random_glucose.parquet", ["seq", "el"])
    rows = np.isfinite(table["el"].astype(float)) & np.array([len(s) == 80 for s in table["seq"]])
    rank = table["el"][rows].astype(float).argsort(kind="stable").argsort()
    label = (rank * bins // len(rank)).astype(str)
    return _own_labels(_sets(table["seq"][rows], label, "dna", atoms, seed))


def _virus(name: str, file: str, atoms: int, seed: int) -> tuple[Sets, Array]:
    """Read proteins by country and year, of sets of at least six."""
    folder = data_folder(FOLDERS[name])
    sets = read(
        folder / file,
        by=["country", "year"],
        annotation=folder / "metadata.tsv.gz",
        min_size=6,
        max_size=atoms,
        rng=seed,
    )
    return _own_labels(sets)


def _tcr(atoms: int, seed: int, size: int = 200) -> tuple[Sets, Array]:
    """Cut the distinct beta chains of each sample into parts at random."""
    table = _table(FOLDERS["tcr"], "contigs.parquet", ["sample", "chain", "cdr3"])
    beta = table["chain"] == "TRB"
    pairs_of = np.unique(np.stack([table["sample"], table["cdr3"]])[:, beta].astype(str), axis=1)
    mixed = pairs_of[:, torch.randperm(pairs_of.shape[1], generator=stream(seed, "parts")).numpy()]
    sample, cdr3 = mixed
    number = np.zeros(len(sample), np.int64)
    for name in np.unique(sample):
        number[sample == name] = np.arange((sample == name).sum()) // size
    label = np.array([f"{s} {k}" for s, k in zip(sample, number, strict=True)])
    sets = _sets(cdr3, label, "protein", atoms, seed, size // 2)
    return sets, np.array([name.split()[0] for name in sets.ids])


def _table(folder: str, file: str, columns: list[str]) -> dict[str, Array]:
    path = data_folder(folder) / file
    table = need("pyarrow.parquet", "parquet").read_table(path, columns=columns)
    return {name: table[name].to_numpy() for name in columns}


def _sets(
    strings: Array, label: Array, alphabet: str, atoms: int, seed: int, least: int = 6
) -> Sets:
    table = {"set": label, "seq": strings}
    space = {"name": "tokens", "alphabet": alphabet}
    sizes: Any = {"min_size": least, "max_size": atoms, "rng": seed}
    return read(table, by="set", columns="seq", atoms=space, **sizes)


def _own_labels(sets: Sets) -> tuple[Sets, Array]:
    return sets, np.asarray(sets.ids)


_READERS: dict[str, Callable[[int, int], tuple[Sets, Array]]] = {
    "promoters": _promoters,
    "rsva_G": partial(_virus, "rsva_G", "rsva_G_protein_aligned.fasta.gz"),
    "denv2_E": partial(_virus, "denv2_E", "denv2_E_protein_aligned.fasta.gz"),
    "tcr": _tcr,
}
