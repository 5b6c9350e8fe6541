"""Cross-validation of a prediction: group-aware, repeated, without leaks, with a p-value.

Sets of a group are never on both sides of a fold, the embedder of an estimator is fitted inside
the fold, and sets that a fixed encoder was trained on are not scored. Intervals are those of
Nadeau and Bengio (`distembed.heads.scores`).

The p-value is that of a permutation of the target, under which the whole procedure is repeated,
inner folds included: (1 + number of scores at least as large) / (1 + permutations). Labels that
are constant within groups are permuted between groups, others within groups only, so that a
difference between groups is no evidence (Ojala and Garriga, 2010; Winkler et al., 2015).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from distembed.data.observations import refuse_unknown
from distembed.heads.base import is_classifier
from distembed.heads.calibration import Reliability, reliability
from distembed.heads.embedder import DistributionEmbedder
from distembed.heads.estimators import SetClassifier, SetRegressor
from distembed.heads.folds import Index, as_groups, as_target, is_classes
from distembed.heads.hazards import as_times
from distembed.heads.linear import Choice, Kind
from distembed.heads.ordered import SetOrdinal
from distembed.heads.plan import Plan, permutation_p
from distembed.heads.rows import as_rows
from distembed.heads.scores import Score, corrected_interval, corrected_p
from distembed.heads.survival import SetSurvival
from distembed.heads.take import names_of, number_of
from distembed.model.embeddings import Embeddings
from distembed.sets.collection import Sets
from distembed.sets.sharing import shared_noise

__all__ = ["CrossValidation", "Trained", "cross_validated"]

logger = logging.getLogger(__name__)

Array = NDArray[np.float64]
Trained = Literal["refuse", "fit", "score"]


@dataclass(frozen=True)
class CrossValidation:
    """Result of a cross-validation.

    Attributes:
        ids: Names of the sets, `(S,)`.
        target: The target, `(S,)`.
        scores: Scores, the first being that of the p-value.
        scored: Whether a set was in a test part, `(S,)`; the others were only fitted to.
        fold: Fold in whose test part a set was, in the first repeat, `(S,)`; -1 if in none.
        prediction: Prediction by the head that was not fitted to the set, in the first repeat,
            `(S,)`; NaN or empty where it was not scored. Of times it is a log hazard ratio, to the
            mean of the training sets of each fold.
        classes: The classes; None for numbers.
        probability: Probability of each class, `(S, C)`; None for numbers.
        low: Lower ends of prediction intervals, `(S,)`; None without `calibration`.
        high: Upper ends.
        level: Coverage of the prediction intervals.
        p_value: Permutation p-value of the first score; None without permutations.
        ratio: Number of test sets over that of training sets.
        choices: Corrections and penalties that were chosen, one a fold.
    """

    ids: NDArray[np.str_]
    target: NDArray[Any]
    scores: tuple[Score, ...]
    scored: NDArray[np.bool_]
    fold: Index
    prediction: NDArray[Any]
    classes: NDArray[Any] | None
    probability: Array | None
    low: Array | None
    high: Array | None
    level: float
    p_value: float | None
    ratio: float
    choices: tuple[Choice, ...]

    def __getitem__(self, name: str) -> Score:
        """Return a score by name."""
        refuse_unknown([name], [score.name for score in self.scores], "score")
        return next(score for score in self.scores if score.name == name)

    @property
    def covered(self) -> float:
        """Share of scored sets whose target is in its prediction interval.

        Raises:
            ValueError: If there are no intervals.
        """
        if self.low is None or self.high is None:
            raise ValueError(
                "There are no prediction intervals; they are those of SetRegressor(calibration="
                "0.25), and not defined for classes."
            )
        y, rows = self.target, self.scored
        return float(((self.low <= y) & (y <= self.high))[rows].mean())

    @property
    def reliability(self) -> Reliability:
        """Probabilities of the scored sets beside what happened.

        Raises:
            ValueError: If the target is a number.
        """
        if self.classes is None or self.probability is None:
            raise ValueError("A regression has no probabilities; see `covered` for intervals.")
        rows = self.scored
        code = np.searchsorted(self.classes, self.target[rows])
        return reliability(self.probability[rows], code)

    def difference(self, other: CrossValidation, name: str | None = None) -> Score:
        """Return by how much a score is above that of another prediction on the same folds.

        Raises:
            ValueError: If the folds differ.
        """
        own = self[name or self.scores[0].name]
        if self.fold.tolist() != other.fold.tolist():
            raise ValueError(
                f"The two cross-validations of {len(self.ids)} and {len(other.ids)} sets have "
                "other folds, so their scores are not pairs. Use the same sets, groups, folds and "
                "seed."
            )
        gap = own.folds - other[own.name].folds
        p = corrected_p(gap, self.ratio)
        return Score(own.name, *corrected_interval(gap, self.ratio), 0.0, gap, p)


def cross_validated(
    sets: Any,
    y: str | ArrayLike,
    groups: str | ArrayLike | None = None,
    *,
    estimator: Any = None,
    folds: int = 5,
    repeats: int = 5,
    permutations: int = 0,
    level: float = 0.9,
    trained: Trained = "refuse",
    rng: int = 0,
) -> CrossValidation:
    """Cross-validate the prediction of a target.

    Args:
        sets: Embeddings of S sets, or sets as `DistributionEmbedder` takes them (no data frame).
        y: The target, `(S,)`, or the name of a column of the metadata; times with events are
            those of `event_times`.
        groups: Group of each set, `(S,)`, or the name of a column.
        estimator: An estimator of scikit-learn; unless it is of this package, it is given z of a
            table as an array. By default a `SetClassifier` for text and for two values, a
            `SetRegressor` for numbers and a `SetSurvival` for times with events; with a
            `DistributionEmbedder` inside for sets.
        folds: Number of folds.
        repeats: Number of divisions into folds.
        permutations: Permutations for the p-value. Each is a cross-validation of one repeat.
        level: Coverage of prediction intervals, which a `SetRegressor` with `calibration` has.
        trained: What is done with groups of sets that the encoder of a table was trained on.
            `refuse`: an error; `fit`: heads are fitted to them, and they are not scored; `score`:
            they are scored like new sets, which flatters.
        rng: Seed of folds and permutations.

    Raises:
        ValueError: If the target or the groups do not fit the sets, there are fewer groups than
            folds, or training sets are refused.

    Example:
        >>> z = np.linspace(-1, 1, 30)[:, None]
        >>> result = cross_validated(z, 2 * z[:, 0] + 1)
        >>> bool(result["r2"].value > 0.99), result.prediction.shape
        (True, (30,))
    """
    table, count, ids = sets, number_of(sets), names_of(sets)
    column, group = _column(sets, y), _column(sets, groups)
    kind = _kind(estimator, column)
    classes = kind == "class"
    target = as_times(column, count) if kind == "time" else as_target(column, count, classes, ids)
    number = as_groups(group, count)
    _refuse_shared(sets, number)
    if isinstance(sets, Embeddings):
        table = replace(sets, trained=None) if trained == "score" else sets
    scored = _scored(sets, number, trained)
    head = estimator if estimator is not None else _default(sets, kind)
    if isinstance(sets, Embeddings) and not _reads_tables(head):
        table = as_rows(sets).z
    plan = Plan(table, number, scored, folds, kind, level, head)
    seeds = np.random.default_rng(rng).integers(2**31, size=repeats + 1)
    runs = [plan.run(target, int(seed)) for seed in seeds[:repeats]]
    if not any(np.isfinite(v).any() for run in runs for v in run.scores.values()):
        logger.warning(
            "No fold has a score, because a fold compares its own sets, and %d sets are scored in "
            "%d folds. Use fewer folds, or hold more sets out of the training of the encoder; "
            "trained='score' (--training-sets score) scores training sets too, which flatters.",
            int(scored.sum()),
            folds,
        )
    first, chance = runs[0], 1 / len(np.unique(target)) if classes else 0.0
    scores = tuple(
        _score(name, np.concatenate([run.scores[name] for run in runs]), first.ratio, chance)
        for name in first.scores
    )
    p_value = None
    if permutations:
        p_value = permutation_p(plan, target, int(seeds[0]), first, permutations, int(seeds[-1]))
    return CrossValidation(
        ids, target, scores, scored, first.fold, first.prediction, first.labels,
        first.probability, first.low, first.high, level, p_value, first.ratio,
        tuple(choice for run in runs for choice in run.choices),
    )  # fmt: skip


def _refuse_shared(sets: Any, groups: Index) -> None:
    """Refuse folds that would be scored on atoms to which heads are fitted."""
    shared = sets.shared if isinstance(sets, Embeddings) else None
    if isinstance(sets, Sets):
        shared = shared_noise(sets)
    if shared is None:
        return
    apart = shared.across(groups)
    if apart.any():
        raise ValueError(
            f"{apart.sum()} of {len(groups)} sets share atoms with a set of another "
            "group, and would be scored by heads that were fitted to their atoms. Give groups "
            "that hold all sets that share atoms, such as the donor or section, or "
            "distembed.sets.sharing.sharing_blocks(sets); or sets that share none."
        )


def _scored(sets: Any, groups: Index, trained: Trained) -> NDArray[np.bool_]:
    """Return which sets are scored, `(S,)`.

    Raises:
        ValueError: If sets that the encoder was trained on are refused, or all sets are of groups
            with such sets.
    """
    every = np.ones(len(groups), dtype=bool)
    if trained not in ("refuse", "fit", "score"):
        raise ValueError(f"trained is {trained!r}; it is 'refuse', 'fit' or 'score'.")
    if not isinstance(sets, Embeddings) or trained == "score":
        return every
    if sets.trained is None:
        logger.warning(
            "The table does not mark the sets that its model was trained on, and their scores "
            "flatter. Embed the sets with covariances, which marks them."
        )
        return every
    if not sets.trained.any():
        return every
    names = sets.ids[sets.trained].tolist()
    if trained == "refuse":
        raise ValueError(
            f"The encoder was trained on {len(names)} of the {len(sets)} sets: "
            f"{', '.join(names[:5])}{', ...' if len(names) > 5 else ''}. Their scores flatter. "
            "Pass trained='fit' to fit heads to them and score the others; or cross-validate the "
            "sets themselves, which trains an encoder inside each fold."
        )
    scored: NDArray[np.bool_] = ~np.isin(groups, groups[sets.trained])
    if not scored.any():
        raise ValueError(
            f"The encoder was trained on sets of every group ({len(names)} of {len(sets)} sets), "
            "and none is left to score. Hold whole groups out of its training, by "
            "sets.split(group=...) or split.group of distembed fit."
        )
    return scored


def _column(sets: Any, column: Any) -> Any:
    """Return a column of the metadata by name, or what was given."""
    if not isinstance(column, str):
        return column
    meta = getattr(sets, "meta", {})
    refuse_unknown([column], meta, "column of the metadata")
    return np.asarray(meta[column])


def _reads_tables(estimator: Any) -> bool:
    """Return whether an estimator is one of this package, or holds one, as a search does."""
    own = (SetClassifier, SetOrdinal, SetRegressor, SetSurvival)
    return any(isinstance(e, own) for e in (estimator, *estimator.get_params().values()))


def _kind(estimator: Any, column: Any) -> Kind:
    """Return what is predicted: times where the target has them, else as the estimator says."""
    y = np.asarray(column)
    if y.dtype.names is not None:
        return "time"
    classes = is_classes(y) if estimator is None else is_classifier(estimator)
    return "class" if classes else "number"


def _default(sets: Any, kind: Kind) -> Any:
    """Return the estimator that is taken by default."""
    vectors = isinstance(sets, Embeddings) or getattr(sets, "ndim", 0) == 2
    embedder = None if vectors else DistributionEmbedder()
    estimators = {"class": SetClassifier, "number": SetRegressor, "time": SetSurvival}
    return estimators[kind](embedder)


def _score(name: str, values: Array, ratio: float, chance: float) -> Score:
    """Return a score with its interval; chance is that of the name."""
    own = {"auc": 0.5, "concordance": 0.5, "mae": np.nan}.get(name, chance)
    return Score(name, *corrected_interval(values, ratio), own, values)
