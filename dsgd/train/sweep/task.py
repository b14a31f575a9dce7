"""What travels for a sweep from the driver to a rank."""

from dataclasses import dataclass

from ..config import FitConfig
from ..task import FitTask
from .splits import Range


@dataclass(frozen=True)
class SweepTask:
    """One rank's part of a sweep.

    Attributes
    ----------
    fit : FitTask
        The rows; its validation rows are those that lanes are measured by, if there are any.
    configs : tuple of FitConfig
    splits : tuple of Range
        The parts of the rows that are left out, one after the other, and measured by; a single empty one with validation rows.
    cv : int, float or None
        What the splits were made of, for messages.
    metrics : tuple of str
        Keys of :data:`dsgd.train.sweep.scores.SCORERS`.
    refit : str or None
        The metric whose best configuration is trained on all rows.
    """

    fit: FitTask
    configs: tuple[FitConfig, ...]
    splits: tuple[Range, ...]
    cv: int | float | None
    metrics: tuple[str, ...]
    refit: str | None
