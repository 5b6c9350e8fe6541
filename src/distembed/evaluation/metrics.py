"""What is measured: title, meaning and direction of every metric, and how numbers are written."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Metric", "metric", "number"]


@dataclass(frozen=True)
class Metric:
    """One metric.

    Attributes:
        title: Its name in tables.
        what: What is compared, and in which units.
        higher: Whether higher is better.
    """

    title: str
    what: str = ""
    higher: bool = False

    @property
    def direction(self) -> str:
        """Which way is better, in words."""
        return f"{'higher' if self.higher else 'lower'} is better"


_AGAINST = "reconstruction against held-out atoms, in the model's ground space"
_METRICS = {
    "sliced_w2": Metric("Sliced W2", _AGAINST),
    "energy": Metric("Energy distance", _AGAINST),
    "w2": Metric("W2", _AGAINST),
    "spearman_w2": Metric("Rank correlation with W2", "Spearman, all pairs", True),
    "spearman_w2_near": Metric(
        "Rank correlation, near pairs", "Spearman, the closest tenth", True
    ),
    "spearman_w2_minus_bures": Metric("Above plug-in Bures", "the same points", True),
    "spearman_w2_equal_seconds": Metric("The same, equal seconds", "Spearman, all pairs", True),
    "ms_per_step": Metric("ms a step"),
}


def metric(name: str) -> Metric:
    """Return a metric by its name in a row; of one that is not ours, lower is better."""
    return _METRICS.get(name, Metric(name))


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
