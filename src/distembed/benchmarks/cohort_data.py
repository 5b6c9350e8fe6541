r"""Cohorts whose sets have labels, and what folds keep together.

| task                 | a set                            | target               | together      |
|----------------------|----------------------------------|----------------------|---------------|
| `third_moment`       | 20 atoms in 5 dimensions         | sign of the skewness | -             |
| `kidney_egfr`        | glomeruli of a patient           | eGFR at most 60      | -             |
| `kidney_age`         | glomeruli of a patient           | age                  | -             |
| `flow_dose`          | a part of a sample of cells      | log(1 + dose)        | a dose        |
| `musk`               | conformations of a molecule      | musk                 | -             |
| `omniglot_alphabet`  | drawings of a character          | alphabet, of eight   | -             |
| `omniglot_mixture`   | 40 drawings of two alphabets     | share of the first   | drawers       |
| `speeches_year`      | passages of a speech, 100 words  | year                 | a speaker     |
| `congress_year`      | ages in a chamber                | year                 | 10 years      |
| `cells_pixels`       | pictures of cells of a well      | index of the dose    | -             |
| `cells_features`     | features of cells of a well      | index of the dose    | -             |
| `perturbseq_pathway` | cells of a guide                 | interferon pathway   | -             |
| `rsva_year`          | proteins of a country and year   | year                 | a country     |
| `denv2_year`         | proteins of a country and year   | year                 | a country     |
| `tcr_sample`         | 60 receptors of a sample         | sample, of eight     | -             |
| `promoters_expression` | promoters of similar expression | mean expression     | -             |

In `third_moment`, which is simulated, the atoms of a set are $x = \mu + s \odot e$ with e of
independent coordinates of mean 0, variance 1 and skewness $\pm 1$; $\mu$ and s are drawn alike for
both signs, so that means and covariances have the same law in both classes.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from distembed.benchmarks.bench import data_folder
from distembed.benchmarks.real_problems import CELLS, CHARACTERS, cell_images, character_images
from distembed.data.observations import Observations
from distembed.data.spaces import Images
from distembed.evaluation.cohort import Cohort
from distembed.registry import need
from distembed.sets.collection import Sets
from distembed.sets.construct import by_label
from distembed.sets.read import read

__all__ = ["COHORTS", "CohortReader"]


@dataclass(frozen=True)
class CohortReader:
    """How a cohort is read.

    Attributes:
        read: Returns it, from the largest number of atoms of a set and a seed.
        folder: Folder of `$DISTEMBED_DATA`; None for simulated sets.
    """

    read: Callable[[int, int], Cohort]
    folder: str | None = None


def _third_moment(atoms: int, seed: int, sets: int = 200) -> Cohort:
    rng = np.random.default_rng(seed)
    sign = np.where(np.arange(sets) % 2, 1.0, -1.0)
    e = (rng.gamma(4, 1, (sets, 20, 5)) - 4) / 2
    mean, scale = rng.normal(size=(sets, 1, 5)), rng.uniform(0.5, 2, (sets, 1, 5))
    x = mean + scale * sign[:, None, None] * e
    label = np.where(sign > 0, "right", "left")
    return Cohort(read(list(x.astype(np.float32))), label)


def _kidney(atoms: int) -> Sets:
    path = data_folder("kidney_glomeruli")
    columns = [
        "glom_sizes", "glom_tuft*", "glom_bowman*", "glom_diam*", "glom_dist*", "glom_shape*",
    ]  # fmt: skip
    return read(
        path / "glomeruli.parquet", "patient", columns, metadata=path / "patients.csv",
        max_size=atoms,
    )  # fmt: skip


def _kidney_egfr(atoms: int, seed: int) -> Cohort:
    sets = _kidney(atoms)
    return Cohort(sets, np.where(sets.meta["egfr_class"] == ">60", "above", "at most"))


def _kidney_age(atoms: int, seed: int) -> Cohort:
    sets = _kidney(atoms)
    return Cohort(sets, sets.meta["age_years"].astype(np.float64))


def _flow_dose(atoms: int, seed: int, parts: int = 12) -> Cohort:
    pandas = need("pandas", "parquet")
    path = data_folder("flow_dapg")
    samples = pandas.read_csv(path / "samples.csv")
    series = samples[samples["sample"].str.startswith("S")].set_index("sample")["dapg_uM"]
    events = pandas.read_parquet(path / "events.parquet")
    events = events[events["sample"].isin(series.index)]
    events = events.sample(frac=1.0, random_state=seed)
    events["part"] = events.groupby("sample").cumcount() // min(atoms, 500)
    sets = read(
        events[events["part"] < parts], ["sample", "part"],
        ["FSC", "SSC", "FL1", "FL2", "FL3"], meta=["sample"],
    )  # fmt: skip
    sample = sets.meta["sample"]
    dose = np.log1p(series.loc[sample].to_numpy(dtype=np.float64))
    return Cohort(sets, dose, sample, len(series))


def _musk(atoms: int, seed: int) -> Cohort:
    sets = read(data_folder("musk1") / "musk1.parquet", "molecule", "f*", meta="musk")
    return Cohort(sets, np.where(sets.meta["musk"].astype(int) == 1, "musk", "other"))


def _omniglot_alphabet(atoms: int, seed: int) -> Cohort:
    sets = character_images()
    return Cohort(sets, np.array([name.split(" ")[0] for name in sets.ids]))


def _omniglot_mixture(atoms: int, seed: int, sets: int = 150, size: int = 40) -> Cohort:
    with np.load(data_folder(CHARACTERS) / "omniglot28.npz") as file:
        images = file["images"][:, None].astype(np.float32)
        alphabet, drawer = file["alphabet"], file["drawer"]
    rng = np.random.default_rng(seed)
    share, block = rng.uniform(size=sets), np.arange(sets) % 5
    drawn = []
    for s in range(sets):
        own = drawer // 4 == block[s]
        pools = [np.flatnonzero(own & (alphabet == name)) for name in ("Sanskrit", "Korean")]
        first = rng.uniform(size=size) < share[s]
        drawn.append(np.where(first, rng.choice(pools[0], size), rng.choice(pools[1], size)))
    label = np.repeat(np.arange(sets), size).astype(str)
    observations = Observations(images[np.concatenate(drawn)], {"set": label})
    mixtures = by_label(observations, "set", atoms=Images(0, 255, whole=True))
    order = mixtures.ids.astype(int)
    return Cohort(mixtures, share[order], block[order], 5)


def _speeches_year(atoms: int, seed: int, words: int = 300, passage: int = 100) -> Cohort:
    pandas = need("pandas", "parquet")
    text = need("sklearn.feature_extraction.text", "sklearn")
    table = pandas.read_parquet(data_folder("us_speeches") / "speeches.parquet")
    # the most frequent words, without a look at the years
    counter = text.CountVectorizer(max_features=words)
    counter.fit(table["text"])
    tokens = counter.build_analyzer()
    parts = []
    for speech in table["text"]:
        all_words = tokens(speech)
        pieces = [all_words[i : i + passage] for i in range(0, len(all_words), passage)]
        # the last passage is shorter, and its counts are no sample of the others
        pieces = pieces[: max(2, len(all_words) // passage)][:atoms]
        counts = counter.transform([" ".join(piece) for piece in pieces]).toarray()
        parts.append(counts.astype(np.float32))
    sets = read(parts, atoms="counts")
    return Cohort(sets, table["year"].to_numpy(np.float64), table["speaker"].to_numpy(str))


def _congress_year(atoms: int, seed: int) -> Cohort:
    path = data_folder("congress_ages") / "members.parquet"
    sets = read(path, ["congress", "chamber"], "age_years", meta=["congress"], max_size=atoms)
    number = sets.meta["congress"].astype(int)
    # a Congress shares members with its neighbours; the first began in 1789
    return Cohort(sets, 1787.0 + 2 * number, number // 5)


def _wells(sets: Sets) -> Cohort:
    wells = need("pandas", "parquet").read_csv(data_folder(CELLS) / "wells.csv")
    index = wells.set_index("well")["dose_index"]
    return Cohort(sets, index.loc[sets.ids].to_numpy(np.float64))


def _cells_pixels(atoms: int, seed: int) -> Cohort:
    return _wells(cell_images())


def _cells_features(atoms: int, seed: int) -> Cohort:
    path: Path = data_folder(CELLS) / "cell_features.parquet"
    return _wells(read(path, "well", ["nuc_*", "dna_*", "gfp_*"], max_size=atoms))


def _perturbseq_pathway(atoms: int, seed: int) -> Cohort:
    path = data_folder("perturbseq_papalexi") / "papalexi2021_thp1.h5ad"
    sets = read(path, "grna", meta=["target"], min_size=10, max_size=atoms)
    pathway = np.isin(sets.meta["target"], ["IFNGR1", "IFNGR2", "JAK2", "STAT1", "IRF1"])
    return Cohort(sets, np.where(pathway, "interferon", "other"))


def _places(name: str, file: str, least: int = 5) -> Callable[[int, int], Cohort]:
    """Return the reader of proteins of a virus, one set a country and year."""

    def of(atoms: int, seed: int) -> Cohort:
        pandas = need("pandas", "parquet")
        path = data_folder(name)
        table = pandas.read_csv(path / "metadata.tsv.gz", sep="\t").set_index("accession")
        table = table.join(_fasta(path / file).rename("sequence"), how="inner")
        table = table[table["country"].notna() & table["year"].notna()]
        groups = [
            (key, part) for key, part in table.groupby(["country", "year"]) if len(part) >= least
        ]
        sequences = [
            part["sequence"].sample(min(len(part), atoms), random_state=seed).tolist()
            for _, part in groups
        ]
        country, year = zip(*(key for key, _ in groups), strict=True)
        return Cohort(_sequences(sequences), np.array(year, np.float64), np.array(country))

    return of


def _fasta(path: Path) -> Any:
    """Return the sequences of a FASTA file by the first word of their header."""
    records: dict[str, list[str]] = {}
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for line in file:
            if line.startswith(">"):
                lines = records.setdefault(line[1:].split()[0], [])
            else:
                lines.append(line.strip())
    return need("pandas", "parquet").Series({name: "".join(v) for name, v in records.items()})


def _sequences(sequences: list[list[str]]) -> Sets:
    symbols = "".join(sorted({c for one in sequences for text in one for c in text}))
    return read(sequences, atoms={"name": "tokens", "alphabet": symbols})


def _tcr_sample(atoms: int, seed: int, parts: int = 15, size: int = 60) -> Cohort:
    table = need("pandas", "parquet").read_parquet(
        data_folder("tcr_repertoire") / "contigs.parquet"
    )
    table = table[table["chain"] == "TRB"].drop_duplicates(["sample", "cdr3"])
    table = table.sample(frac=1.0, random_state=seed)
    size, sequences, labels = min(size, atoms), list[list[str]](), list[str]()
    for sample, own in table.groupby("sample", observed=True):
        texts = own["cdr3"].tolist()
        # of the smallest sample there are fewer parts, and of all at least five
        own_size = min(size, len(texts) // 5)
        for k in range(min(parts, len(texts) // own_size)):
            sequences.append(texts[k * own_size : (k + 1) * own_size])
            labels.append(str(sample))
    return Cohort(_sequences(sequences), np.array(labels))


def _promoters_expression(atoms: int, seed: int, sets: int = 80) -> Cohort:
    path = data_folder("promoters_gpra") / "random_80nt.parquet"
    table = need("pandas", "parquet").read_parquet(path).sort_values("el", kind="stable")
    bins = np.array_split(np.arange(len(table)), sets)
    rng = np.random.default_rng(seed)
    drawn = [rng.permutation(rows)[:atoms] for rows in bins]
    text, level = table["seq"].to_numpy(str), table["el"].to_numpy(np.float64)
    return Cohort(
        _sequences([text[rows].tolist() for rows in drawn]),
        np.array([level[rows].mean() for rows in drawn]),
    )


COHORTS: dict[str, CohortReader] = {
    "third_moment": CohortReader(_third_moment),
    "kidney_egfr": CohortReader(_kidney_egfr, "kidney_glomeruli"),
    "kidney_age": CohortReader(_kidney_age, "kidney_glomeruli"),
    "flow_dose": CohortReader(_flow_dose, "flow_dapg"),
    "musk": CohortReader(_musk, "musk1"),
    "omniglot_alphabet": CohortReader(_omniglot_alphabet, CHARACTERS),
    "omniglot_mixture": CohortReader(_omniglot_mixture, CHARACTERS),
    "speeches_year": CohortReader(_speeches_year, "us_speeches"),
    "congress_year": CohortReader(_congress_year, "congress_ages"),
    "cells_pixels": CohortReader(_cells_pixels, CELLS),
    "cells_features": CohortReader(_cells_features, CELLS),
    "perturbseq_pathway": CohortReader(_perturbseq_pathway, "perturbseq_papalexi"),
    "rsva_year": CohortReader(
        _places("virus_rsva_G", "rsva_G_protein_aligned.fasta.gz"), "virus_rsva_G"
    ),
    "denv2_year": CohortReader(
        _places("virus_denv2_E", "denv2_E_protein_aligned.fasta.gz"), "virus_denv2_E"
    ),
    "tcr_sample": CohortReader(_tcr_sample, "tcr_repertoire"),
    "promoters_expression": CohortReader(_promoters_expression, "promoters_gpra"),
}
