r"""Evaluation metrics: label, group, direction and meaning of every number that is reported.

`METRICS` is the one table that `evaluate`, the report and the benchmarks read. The order within a
group is the order of columns, and `PRIMARY` names the metric that decides in each group.

Metrics of samples compare drawn with held-out atoms. A plug-in distance between two samples, such
as W2 or a V-statistic, is too large by an amount that grows with the spread of the samples: a
generator that shrinks its samples lowers it. The metrics that decide are therefore unbiased or
debiased, so that in expectation the true distribution has the best value at every number of atoms.

| Strictly proper scoring rules, prediction, and estimation (Gneiting, Raftery, 2007), section 4.3
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Literal

from distembed.registry import NUMBERS

if TYPE_CHECKING:
    from torch import Tensor

    from distembed.batch import SetBatch

__all__ = ["METRICS", "PRIMARY", "Metric", "metric", "number"]

Group = Literal[
    "samples",
    "likelihood",
    "geometry",
    "uncertainty",
    "tests",
    "parameters",
    "prediction",
    "scaling",
    "cost",
]


@dataclass(frozen=True)
class Metric:
    """One line of `METRICS`.

    Attributes:
        label: Its name in tables.
        group: What it judges: `samples` drawn atoms, `likelihood` held-out atoms under the
            distribution of an embedding, `geometry` latent distances, `uncertainty`
            intervals, `tests` two-sample tests, `parameters` estimates of a parameter,
            `prediction` labels of sets, `scaling` the dependence on the set size, `cost` time and
            network calls.
        direction: Whether `lower` or `higher` is better, or the value `nearest` to the target.
        meaning: What is compared, and the unit.
        target: The best value where the direction is `nearest`.
        atoms: Kinds of atoms that it is defined for.
        function: `module:name` of a function `(SetBatch, SetBatch) -> (B,)`, or of a class whose
            default instance is one, for metrics that compare drawn with held-out sets.
        undefined: Where it has no value.
    """

    label: str
    group: Group
    direction: Literal["lower", "higher", "nearest"] = "lower"
    meaning: str = ""
    target: float | None = None
    atoms: tuple[str, ...] = NUMBERS
    function: str | None = None
    undefined: str = ""

    @property
    def better(self) -> str:
        """The direction in words."""
        if self.direction == "nearest":
            return f"nearest to {self.target:g} is better"
        return f"{self.direction} is better"

    def merit(self, value: float) -> float:
        """Return a number that is larger where the value is better.

        Example:
            >>> METRICS["c2st"].merit(0.4) > METRICS["c2st"].merit(0.7)
            True
        """
        if self.target is not None:
            return -abs(value - self.target)
        return value if self.direction == "higher" else -value

    def load(self) -> Callable[[SetBatch, SetBatch], Tensor]:
        """Import and return the function.

        Raises:
            ValueError: If the metric is not a function of two batches of sets.
        """
        if self.function is None:
            raise ValueError(
                f"{self.label} is not a function of two batches of sets; metrics that are: "
                f"{', '.join(name for name, m in METRICS.items() if m.function)}."
            )
        module, _, name = self.function.partition(":")
        target: Any = getattr(importlib.import_module(module), name)
        function: Callable[[SetBatch, SetBatch], Tensor]
        function = target() if isinstance(target, type) else target
        return function


_DRAWN = "drawn against held-out atoms"
_COVERAGE = "share of 95 % intervals that contain the true value"
METRICS: Mapping[str, Metric] = {
    # -- samples: drawn atoms against held-out atoms or the true distribution
    "energy_unbiased": Metric(
        "Energy distance",
        "samples",
        meaning=f"{_DRAWN}, U-statistic (unbiased, 0 for equal laws), units of the ground space",
        atoms=(*NUMBERS, "tokens"),
        function="distembed.divergences.energy:unbiased_energy",
    ),
    "w2_debiased": Metric(
        "Squared W2, debiased",
        "samples",
        meaning=f"{_DRAWN}, 0 in expectation for equal laws, squared units of the ground space",
        function="distembed.divergences.debiased:debiased_w2",
    ),
    "sliced_w2_debiased": Metric(
        "Squared sliced W2, debiased",
        "samples",
        meaning=f"{_DRAWN}, 0 in expectation for equal laws, squared units of the ground space",
        function="distembed.divergences.debiased:debiased_sliced_w2",
    ),
    "energy": Metric(
        "Energy distance, plug-in",
        "samples",
        meaning=f"{_DRAWN}, V-statistic (too large by the noise of sampling)",
        function="distembed.divergences.energy:Energy",
    ),
    "sliced_w2": Metric(
        "Sliced W2, plug-in",
        "samples",
        meaning=f"{_DRAWN}, too large by the noise of sampling",
        function="distembed.divergences.sliced:SlicedW2",
    ),
    "w2": Metric("W2", "samples", meaning="to the true distribution, or to samples of it"),
    "paper_w2": Metric(
        "W2 as in the GDE paper", "samples", meaning="mean error plus squared covariance error"
    ),
    "mw2": Metric(
        "MW2", "samples", meaning="of a mixture fitted to drawn atoms, to the true mixture"
    ),
    "paper_mw2": Metric(
        "Squared MW2 as in the GDE paper",
        "samples",
        meaning="as MW2, squared, of a fit that starts from the true mixture",
    ),
    "sinkhorn": Metric(
        "Sinkhorn divergence", "samples", meaning=f"{_DRAWN}, squared units, pixels"
    ),
    "sinkhorn_features": Metric(
        "Sinkhorn divergence, features",
        "samples",
        meaning=f"{_DRAWN}, squared units, the hidden layer of a classifier of training images",
    ),
    "outside": Metric(
        "Share out of range",
        "samples",
        meaning="drawn numbers beyond the range of the training atoms of their feature",
    ),
    "energy_pca": Metric(
        "Energy distance, plug-in, PCA", "samples", meaning=f"{_DRAWN}, principal components"
    ),
    "sliced_w2_pca": Metric(
        "Sliced W2, plug-in, PCA", "samples", meaning=f"{_DRAWN}, principal components"
    ),
    "c2st": Metric(
        "Nearest-neighbour two-sample accuracy",
        "samples",
        "nearest",
        f"classifier of {_DRAWN}",
        0.5,
        function="distembed.divergences.c2st:neighbour_accuracy",
    ),
    "spectrum": Metric(
        "Squared spectrum distance",
        "samples",
        meaning=f"{_DRAWN}, k-mers for k = 1 to 6, unbiased, 0 for equal laws, at most 2",
        atoms=("tokens",),
        function="distembed.divergences.spectrum:unbiased_spectrum",
    ),
    "lengths": Metric(
        "Distance of lengths",
        "samples",
        meaning=f"{_DRAWN}, W1 of their lengths (too large by the noise of sampling), symbols",
        atoms=("tokens",),
        function="distembed.divergences.sequences:length_distance",
    ),
    "columns": Metric(
        "Correlation of columns",
        "samples",
        "higher",
        f"{_DRAWN}, Pearson, connected correlations of pairs of columns of aligned sequences",
        atoms=("tokens",),
        function="distembed.divergences.sequences:column_correlation",
        undefined="not defined where sequences differ in length, or no two columns vary together",
    ),
    "copies": Metric(
        "Copies",
        "samples",
        "nearest",
        "share of drawn atoms that occur in the context, minus that of held-out atoms",
        0.0,
        atoms=("tokens",),
    ),
    "c2st_kmers": Metric(
        "Nearest-neighbour two-sample accuracy, k-mers",
        "samples",
        "nearest",
        f"classifier of {_DRAWN}, on shares of k-mers",
        0.5,
        atoms=("tokens",),
        function="distembed.divergences.sequences:kmer_accuracy",
    ),
    "energy_saved": Metric(
        "Energy distance saved", "samples", "higher", "atoms of other sets less gde, same folds"
    ),
    "energy_score": Metric(
        "Energy score", "samples", meaning="of draws at the atoms of the next set"
    ),
    "bad_modes": Metric("Modes off by a factor of 2", "samples", meaning="of eight modes"),
    "off_modes": Metric("Atoms outside all modes", "samples", meaning="share of drawn atoms"),
    "long_run_error": Metric(
        "Sliced W2 at the most calls", "samples", meaning="plug-in, noise of sampling included"
    ),
    # -- likelihood: held-out atoms under the distribution of the embedding of others
    "bits": Metric(
        "Bits a residue",
        "likelihood",
        meaning="held-out atoms of the same set, the end of the sequence included",
        atoms=("tokens",),
    ),
    "bits_bound": Metric(
        "Bits a residue, upper bound",
        "likelihood",
        meaning="of a generator that has a bound in place of a likelihood",
        atoms=("tokens",),
    ),
    "bits_above_truth": Metric(
        "Bits a residue above the truth",
        "likelihood",
        meaning="less those under the known law of each set",
        atoms=("tokens",),
    ),
    "bits_saved": Metric(
        "Bits a residue that gde saves",
        "likelihood",
        "higher",
        "the method less gde on the same atoms, mean over sets",
        atoms=("tokens",),
    ),
    "bits_saved_low": Metric(
        "Bits a residue that gde saves, low end",
        "likelihood",
        "higher",
        "of the paired 95 % interval over sets: above 0, gde is better",
        atoms=("tokens",),
    ),
    # -- geometry: latent distances against W2
    "spearman_w2": Metric("Rank correlation with W2", "geometry", "higher", "Spearman, all pairs"),
    "spearman_w2_near": Metric(
        "Rank correlation, near pairs", "geometry", "higher", "Spearman, the closest tenth"
    ),
    "spearman_mw2": Metric(
        "Rank correlation with MW2", "geometry", "higher", "Spearman, W2 of mixture components"
    ),
    "pearson_w2": Metric("Linear correlation with W2", "geometry", "higher", "Pearson, all pairs"),
    "pearson_paper": Metric(
        "Linear correlation as in the GDE paper",
        "geometry",
        "higher",
        "Pearson with squared W2 of Gaussians of the same moments, both orders and the diagonal",
    ),
    "pearson_fisher_rao": Metric(
        "Linear correlation with Fisher-Rao", "geometry", "higher", "Pearson, all pairs"
    ),
    "pearson_hellinger": Metric(
        "Linear correlation with Hellinger", "geometry", "higher", "Pearson, all pairs"
    ),
    "relative_error": Metric(
        "Relative error", "geometry", meaning="median of |D / W2 - 1|, distances in units of W2"
    ),
    "error_density": Metric(
        "Error against density", "geometry", "nearest", "Spearman, with that of training sets", 0.0
    ),
    "spearman_w2_minus_bures": Metric(
        "Rank correlation above plug-in Bures", "geometry", "higher", "the same atoms"
    ),
    "path_error": Metric(
        "Error of paths", "geometry", meaning="W2 to the shortest path over W2 of the ends"
    ),
    "end_error": Metric(
        "Error of the ends", "geometry", meaning="W2 to the ends over W2 of the ends"
    ),
    "path_length": Metric(
        "Length of paths", "geometry", "nearest", "over the W2 of the ends, 1 if shortest", 1.0
    ),
    "transport_error": Metric(
        "Error of transport", "geometry", meaning="W2 to the target over W2 of the ends"
    ),
    "transport_cost": Metric(
        "Cost of transport", "geometry", "nearest", "over the cost of exact OT", 1.0
    ),
    # -- uncertainty of embeddings and distances
    "z": Metric("Coverage, coordinates of z", "uncertainty", "nearest", _COVERAGE, 0.95),
    "distance": Metric("Coverage, latent distances", "uncertainty", "nearest", _COVERAGE, 0.95),
    "near": Metric("Coverage, near pairs", "uncertainty", "nearest", _COVERAGE, 0.95),
    "same": Metric("Coverage, equal distributions", "uncertainty", "nearest", _COVERAGE, 0.95),
    "w2_coverage": Metric("Coverage, W2", "uncertainty", "nearest", _COVERAGE, 0.95),
    "width": Metric(
        "Width, latent distances", "uncertainty", meaning="of the interval over the true distance"
    ),
    "w2_width": Metric("Width, W2", "uncertainty", meaning="of the interval over the true W2"),
    "trace": Metric(
        "Variance ratio", "uncertainty", "nearest", "predicted over observed variance of z", 1.0
    ),
    "limit_error": Metric(
        "Error of the limit", "uncertainty", meaning="in standard errors of the largest sets"
    ),
    # -- two-sample tests at level 0.05
    "size": Metric("Size", "tests", "nearest", "rejections of equal distributions", 0.05),
    "power": Metric("Power", "tests", "higher", "rejections of unequal distributions"),
    "fdr": Metric("False discovery rate", "tests", meaning="after Benjamini-Hochberg at 0.05"),
    "found": Metric("Discoveries", "tests", "higher", "share of unequal pairs, after adjustment"),
    # -- estimates of a parameter
    "r2_radius": Metric(
        "Radius from z", "parameters", "higher", "share of variance, linear, held-out sets"
    ),
    "r2_rotation": Metric(
        "Rotation from z", "parameters", "higher", "share of variance, linear, held-out sets"
    ),
    "r2_weights": Metric(
        "Parameters from z", "parameters", "higher", "share of variance, linear, held-out sets"
    ),
    "mse": Metric("Mean squared error", "parameters", meaning="over held-out sets"),
    "risk": Metric("Risk", "parameters", meaning="expected squared error, closed form"),
    "excess": Metric(
        "Excess over Bayes", "parameters", meaning="mean squared difference to the Bayes estimate"
    ),
    # -- labels of sets, predicted on folds
    "r2": Metric("R2", "prediction", "higher", "1 - squared error over variance of the target"),
    "mae": Metric("Mean absolute error", "prediction", meaning="in units of the target"),
    "auc": Metric("AUC", "prediction", "higher", "area under the ROC curve"),
    "balanced_accuracy": Metric(
        "Balanced accuracy", "prediction", "higher", "mean recall over classes"
    ),
    # -- viral proteins
    "clade_distance": Metric(
        "Distance of clades", "samples", meaning=f"{_DRAWN}, total variation of their shares"
    ),
    "column_error": Metric(
        "Error of columns", "samples", meaning=f"{_DRAWN}, mean absolute difference of shares"
    ),
    # -- hits of motifs in drawn promoters, by bin of expression
    "motif_correlation": Metric(
        "Correlation of motif hits", "samples", "higher", "over motifs and bins, from their mean"
    ),
    "motif_error": Metric(
        "Error of motif hits", "samples", meaning="in deviations over training bins"
    ),
    "gain": Metric("Gain over the best baseline", "prediction", "higher", "on the same folds"),
    "p_holm": Metric("p of the gain, after Holm", "prediction", meaning="adjusted over tasks"),
    "wins": Metric("Wins", "prediction", "higher", "tasks with a gain above zero after Holm"),
    "ties": Metric("Ties", "prediction", "higher", "tasks that are neither"),
    "losses": Metric(
        "Losses", "prediction", meaning="tasks with the interval of the gain below 0"
    ),
    "r2_paper": Metric(
        "R2 of changes", "prediction", "higher", "mean over sets of the squared Pearson over genes"
    ),
    "mse_change": Metric("Error of changes", "prediction", meaning="mean squared, over genes"),
    "ratio_error": Metric(
        "Error of the nuclear ratio", "prediction", meaning="of the mean log ratio, absolute"
    ),
    "nuclear_ratio": Metric(
        "Nuclear ratio", "prediction", meaning="nucleus over its ring, geometric mean over cells"
    ),
    "change_rank": Metric(
        "Rank of changes", "prediction", "higher", "Spearman of predicted and real sizes"
    ),
    # -- vectors of a unit at two times
    "bits_shared": Metric(
        "Shared bits", "prediction", "higher", "mutual information, neighbour estimate"
    ),
    "bits_null": Metric(
        "Shared bits, null", "prediction", meaning="of units re-paired within their strata"
    ),
    "p_null": Metric("p against the null", "prediction", meaning="of the permutations"),
    "bits_contrastive": Metric(
        "Shared bits, lower bound", "prediction", "higher", "InfoNCE of a forecast from others"
    ),
    "retrieval": Metric(
        "Retrieval", "prediction", "higher", "share of others that the true one is ahead of"
    ),
    # -- dependence on the set size
    "drift": Metric("Drift of z", "scaling", meaning="from the set size of training"),
    "sd1": Metric("Deviation of z, first axis", "scaling", meaning="over sets of one law"),
    "sd2": Metric("Deviation of z, second axis", "scaling", meaning="over sets of one law"),
    "slope1": Metric("Slope, first axis", "scaling", "nearest", "log deviation in log m", -0.5),
    "slope2": Metric("Slope, second axis", "scaling", "nearest", "log deviation in log m", -0.5),
    # -- missing values
    "missing_change": Metric("Change of z", "scaling", meaning="by values that are missing"),
    "missing_ratio": Metric(
        "Over that by feature means", "scaling", meaning="change of z by missing values"
    ),
    # -- cost
    "ms_per_step": Metric("ms a step", "cost", meaning="training"),
    "build_seconds": Metric("Seconds to build", "cost", meaning="the store of a file"),
    "build_peak_mb": Metric("Peak MB, build", "cost", meaning="of the process, with libraries"),
    "store_mb": Metric("MB of the store", "cost", meaning="on disk"),
    "open_ms": Metric("ms to open", "cost", meaning="the store"),
    "fit_peak_mb": Metric("Peak MB, fit", "cost", meaning="of the process, with libraries"),
    "draw_seconds": Metric("Seconds to draw", "cost", meaning="100,000 atoms of one set"),
    "step_over_plain": Metric("Seconds of a step over the plain loop", "cost"),
    "share_of_draw": Metric("Share of the draw of a batch", "cost", meaning="of a step's seconds"),
    "share_of_loss": Metric("Share of the loss", "cost", meaning="forward, of a step's seconds"),
    "embed_seconds": Metric("Seconds to embed", "cost", meaning="1,000 sets of 1,000 atoms"),
    "seconds_1000_pairs": Metric("Seconds for 1,000 pairs", "cost"),
    "forward_atoms_per_s": Metric("Atoms a second, forward", "cost", "higher"),
    "training_atoms_per_s": Metric("Atoms a second, training", "cost", "higher"),
    "forward_over_padded": Metric("Forward over padded", "cost", "higher", "ratio of speeds"),
    "training_over_padded": Metric("Training over padded", "cost", "higher", "ratio of speeds"),
    "forward_gain": Metric("Forward gain of bfloat16", "cost", "higher", "ratio of speeds"),
    "training_gain": Metric("Training gain of bfloat16", "cost", "higher", "ratio of speeds"),
    "us_per_atom": Metric("Microseconds an atom", "cost"),
    "largest_over_smallest": Metric(
        "Cost an atom, largest over smallest sets", "cost", "nearest", "1 is linear cost", 1.0
    ),
    "calls_to_own": Metric("Calls to its own error", "cost", meaning="network calls"),
    "seconds_to_own": Metric("Seconds to its own error", "cost"),
    "calls_to_ancestral": Metric("Calls to the ancestral error", "cost", meaning="network calls"),
    "seconds_to_ancestral": Metric("Seconds to the ancestral error", "cost"),
    "fewer_calls": Metric("Fewer calls than ancestral", "cost", "higher", "ratio of calls"),
}
PRIMARY: Mapping[Group, str] = {"samples": "energy_unbiased", "geometry": "spearman_w2"}
"""The metric that decides in a group."""

_SUFFIXES: Mapping[str, str] = {
    r"_equal_seconds": "equal seconds of training",
    r"_lead": "lead of gde",
    r"_m(\d+)": r"\1 atoms",
}


def metric(name: str) -> Metric:
    r"""Return a metric by its name in a row.

    The suffix `_equal_seconds` is the same metric after equal seconds of training, `_m100` the
    same metric at sets of 100 atoms, and `_lead` what the default has more than another method.

    Raises:
        ValueError: If there is no such metric.

    Example:
        >>> metric("spearman_w2").better, metric("drift_m100").label
        ('higher is better', 'Drift of z, 100 atoms')
    """
    if name in METRICS:
        return METRICS[name]
    for suffix, words in _SUFFIXES.items():
        if (match := re.fullmatch(f"(.+?){suffix}", name)) and match[1] in METRICS:
            base = METRICS[match[1]]
            return replace(base, label=f"{base.label}, {match.expand(words.replace('1', '2'))}")
    names = get_close_matches(name, METRICS, n=3) or list(METRICS)[:8]
    raise ValueError(
        f"There is no metric {name!r}; there are {len(METRICS)}, such as {', '.join(names)}."
    )


def number(value: float) -> str:
    """Write a number with three digits, and four where a correlation comes near one.

    Example:
        >>> number(0.5), number(0.99973), number(12.3456), number(0.05), number(4321.2)
        ('0.500', '0.9997', '12.3', '0.0500', '4321')
    """
    size = abs(value)
    if 0.99 <= size < 1:
        return f"{value:.4f}"
    return f"{value:.0f}" if 100 <= size < 1e6 else f"{value:#.3g}"
