"""Sentences of a report page: properties of the sets and the model, and their uncertainty."""

from __future__ import annotations

import re
from collections.abc import Collection as Container
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from distembed.evaluation.coverage import noise_share
from distembed.geometry.distance import error_sentence
from distembed.inference.population.density import UNUSUAL
from distembed.model.engine import FEW_ATOMS

if TYPE_CHECKING:
    from distembed.geometry.distance import Calibration
    from distembed.inference.population.density import Population
    from distembed.model.card import ModelCard
    from distembed.model.embeddings import Embeddings
    from distembed.model.gde import GDE

__all__ = [
    "Fact",
    "Finding",
    "calibration_sentence",
    "facts",
    "findings",
    "model_facts",
    "pieces",
    "setting_facts",
]

_NOUNS = {"vectors": "numbers", "counts": "counts", "images": "pixels", "tokens": "tokens"}


@dataclass(frozen=True)
class Fact:
    """A name and its value."""

    name: str
    value: str


@dataclass(frozen=True)
class Finding:
    """One sentence, and the sets that it is about.

    Attributes:
        title: What it is about.
        text: The sentence.
        ids: Names of sets, the most extreme first.
        more: Number of further sets that are not named.
    """

    title: str
    text: str
    ids: tuple[str, ...] = ()
    more: int = 0


def facts(
    model: GDE, kind: str, table: Embeddings, held_out: int, data: str | None, date: str | None
) -> list[Fact]:
    """List the properties at the head of the page.

    Args:
        model: The model.
        kind: Kind of the atoms.
        table: Embeddings of all sets.
        held_out: Number of sets that judge the model.
        data: Name of the data.
        date: Date of the page.
    """
    sizes = np.asarray(table.sizes)
    low, middle, high = (f"{v:,.0f}" for v in (sizes.min(), np.median(sizes), sizes.max()))
    shape = " × ".join(map(str, model.event_shape)) or "1"
    spread = low if low == high else f"{low} to {high} (median {middle})"
    part = f", {held_out:,} of them held out from the training" if held_out < len(table) else ""
    rows = [
        Fact("sets", f"{len(table):,}{part}"),
        Fact("atoms", f"{sizes.sum():,}; in a set {spread}"),
        Fact("kind of atoms", f"{kind}, {shape} {_NOUNS.get(kind, '')}".rstrip()),
        Fact("embedding", f"{model.latent} numbers a set"),
    ]
    if data:
        rows.append(Fact("data", data))
    if date:
        rows.append(Fact("date", date))
    return rows


def model_facts(model: GDE, card: ModelCard) -> list[Fact]:
    """List the properties of the model at the head of its examination."""
    encoder, generator = (card.rows[part].partition(" (")[0] for part in ("encoder", "generator"))
    rows = [Fact("encoder and generator", f"{encoder} and {generator}")]
    if model.history:
        last = model.history[-1]
        seconds = f", {last['seconds']:,.0f} s" if last.get("seconds") else ""
        rows.append(Fact("training", f"{last['step']:,.0f} steps{seconds}"))
    return rows


def pieces(name: str, longest: int = 20) -> list[str]:
    """Divide a long name into parts between which a line may break.

    Words without spaces are divided after their signs, and where there are none by length.

    Args:
        name: The name.
        longest: Largest length of a part.

    Example:
        >>> pieces("ratio_of_phosphorylated_protein"), pieces("CD3 of all T cells of a donor")
        (['ratio_of_', 'phosphorylated_', 'protein'], ['CD3 of all T cells of a donor'])
    """
    parts: list[str] = []
    for word in re.findall(r"\s*\S+", name):
        if len(word.strip()) <= longest:
            cut = [word]
        else:
            signs = re.findall(r"[^_./:,;()|-]*[_./:,;()|-]+|[^_./:,;()|-]+", word)
            cut = [part[i : i + longest] for part in signs for i in range(0, len(part), longest)]
        for part in cut:
            # short parts stay together
            if parts and len(parts[-1]) + len(part) <= longest // 2 or part[:1].isspace():
                parts = [*parts[:-1], (parts[-1] if parts else "") + part]
            else:
                parts.append(part)
    return parts


def setting_facts(settings: Mapping[str, Any]) -> list[Fact]:
    """List the settings of an evaluation."""
    return [Fact(str(k).replace("_", " "), _value(v)) for k, v in settings.items()]


def calibration_sentence(calibration: Calibration, exact: bool) -> str:
    """Explain the line in the plot of distances.

    Args:
        calibration: The line.
        exact: Whether W2 is that of the distributions, and not of samples of them.
    """
    if not calibration.pairs:
        return "The model is not calibrated: on the line, the latent distance equals W2."
    text = "The line is the calibration of the model"
    if calibration.error >= 0:
        text += f": {error_sentence(calibration.error, calibration.deciles)}"
    text += "."
    if exact:
        return text
    return f"{text} W2 between samples of few atoms is too large, so that points lie above it."


def findings(
    embeddings: Embeddings,
    population: Population | None,
    training_ids: Container[str] = (),
) -> tuple[Finding, ...]:
    """Summarise sampling noise, unusual sets, and sets of few atoms.

    Args:
        embeddings: Of the sets; without covariances there are no findings.
        population: Density of embeddings of the model.
        training_ids: Ids of sets that the model was trained on, whose p-values are left out.
    """
    if embeddings.cov is None:
        return ()
    return (
        *_noise(embeddings),
        *_unusual(embeddings, population, training_ids),
        *_few_atoms(embeddings),
    )


def _noise(embeddings: Embeddings, largest: int = 1000) -> Iterator[Finding]:
    rows = np.flatnonzero(np.isfinite(embeddings.covariances).all((1, 2)))
    rows = rows[:: -(-len(rows) // largest) or 1]
    share = noise_share(embeddings, rows[np.stack(np.triu_indices(len(rows), 1), 1)])
    if np.isfinite(share):
        yield Finding(
            "Sampling noise",
            f"{_percent(share)} of the squared distance of two sets is sampling noise (the median "
            "over pairs), for which the model corrects distances",
        )


def _unusual(
    embeddings: Embeddings,
    population: Population | None,
    training_ids: Container[str],
    named: int = 10,
) -> Iterator[Finding]:
    if embeddings.p_unusual is None:
        return
    title, ids = "Unlike the training", np.asarray(embeddings.ids).astype(str)
    p = np.where([name in training_ids for name in ids], np.nan, embeddings.p_unusual)
    tested = int(np.isfinite(p).sum())
    if not tested:
        return
    if population is not None and (sentence := population.too_few_sentence()):
        yield Finding(title, sentence)
        return
    order = np.argsort(p, kind="stable")  # NaN comes last
    low = order[: int((p <= UNUSUAL).sum())]
    number = f"{len(low):,}" if len(low) else "none"
    yield Finding(
        title,
        f"{number} of {tested:,} sets {'has' if len(low) == 1 else 'have'} p ≤ {UNUSUAL} under "
        f"the population of training sets; {tested * UNUSUAL:.1f} are expected by chance",
        tuple(ids[low[:named]].tolist()),
        max(0, len(low) - named),
    )


def _few_atoms(embeddings: Embeddings) -> Iterator[Finding]:
    small = int((embeddings.effective_sizes < FEW_ATOMS).sum())
    without = int((~np.isfinite(embeddings.covariances).all((1, 2))).sum())
    text = f"every set has {FEW_ATOMS} effective atoms or more"
    if small:
        text = (
            f"{small:,} of {len(embeddings):,} sets {'has' if small == 1 else 'have'} fewer than "
            f"{FEW_ATOMS} effective atoms, and standard errors that are too small"
        )
    if without:
        text += f"; {without:,} {'has' if without == 1 else 'have'} none"
    yield Finding("Few atoms" if small else "Number of atoms", text)


def _percent(share: float) -> str:
    return f"{100 * share:#.2g} %" if share < 0.1 else f"{100 * share:.0f} %"


def _value(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(_value, value))
    return str(value)
