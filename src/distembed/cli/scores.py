"""The report of `distembed predict` as text."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from distembed.cli.console import counted, listed

if TYPE_CHECKING:
    from distembed.heads.added import AddedValue
    from distembed.heads.cross_validation import CrossValidation
    from distembed.model.embeddings import Embeddings

__all__ = ["report_text"]


def report_text(
    table: Embeddings,
    result: CrossValidation,
    mean: CrossValidation | None,
    target: str,
    permutations: int,
    added: AddedValue | None = None,
) -> str:
    """Return the report of a cross-validation as text."""
    scored, count = int(result.scored.sum()), len(result.ids)
    folds = counted(int(result.fold.max()) + 1, "fold")
    lines = [f"{target}: {scored} of {counted(count, 'set')} scored, in {folds}"]
    if scored < count:
        names = listed(table.ids[~result.scored].tolist())
        lines.append(
            f"Heads were also fitted to {count - scored} sets that the model was trained on or "
            f"that share a group with one: {names}"
        )
    elif table.trained is not None and table.trained.any():
        names = listed(table.ids[table.trained].tolist())
        lines.append(
            f"The model was trained on {table.trained.sum()} of them: {names}. Scores flatter."
        )
    rows = [["score", "embedding", *(["mean of atoms", "difference"] if mean else []), "chance"]]
    for score in result.scores:
        cells = [score.name, str(score)]
        if mean is not None:
            cells += [str(mean[score.name]), str(result.difference(mean, score.name))]
        rows.append([*cells, "" if np.isnan(score.chance) else f"{score.chance:.3g}"])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines += [
        "",
        *("  ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)).rstrip() for r in rows),
    ]
    if added is not None:
        lines += ["", *_added_lines(added)]
    lines += ["", "Ranges are 95 % intervals of repeated folds (Nadeau and Bengio, 2003)."]
    if result.p_value is not None and np.isfinite(result.p_value):
        lines.append(
            f"p = {result.p_value:.3g}: the share of {permutations} permutations of the target "
            f"whose {result.scores[0].name} is as high, the observed one included"
        )
    if result.low is not None and np.isinf(result.low).any():
        lines.append(
            f"Prediction intervals at {result.level:.0%} take {_needed(result.level)} groups or "
            "more that heads are not fitted to, and in some folds there were fewer: these are "
            "infinite. Raise --calibration, lower --level, or hold more sets out of the model."
        )
    elif result.low is not None:
        lines.append(
            f"{result.level:.0%} prediction intervals contain {result.covered:.1%} of the targets"
        )
    if result.target.dtype.names is not None:
        lines.append(
            f"{result.target['event'].sum()} of {counted(count, 'set')} had the event. "
            "Predictions are log hazard ratios; a larger one means an earlier event"
        )
    if result.classes is not None:
        lines.append(_calibration_line(result))
    chosen = Counter(choice.correction for choice in result.choices).most_common()
    lines.append("Corrections: " + ", ".join(f"{name} in {n} fits" for name, n in chosen))
    return "\n".join(lines)


def _added_lines(added: AddedValue) -> list[str]:
    """State what the embedding adds to features."""
    gap, name = added.difference, added.difference.name
    return [
        f"{name} of the features alone {added.features[name]}, with the embedding "
        f"{added.joined[name]}: the embedding adds {gap}, p = {gap.p:.2g}"
    ]


def _calibration_line(result: CrossValidation) -> str:
    """State how well probabilities agree with what happened."""
    agreed = result.reliability
    return (
        f"Probabilities: Brier score {agreed.brier:.3f} (shares of the classes: "
        f"{agreed.base:.3f}), mean error of calibration {agreed.error:.3f}"
    )


def _needed(level: float) -> int:
    """Return the fewest groups of calibration sets of which an interval is finite."""
    return int(np.ceil(level / (1 - level) - 1e-9))
