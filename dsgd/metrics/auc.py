"""Area under the ROC curve from a histogram of the scores of either class.

In come scores of any scale, out goes the area with a bound on its error. The grid is fixed in advance, so that
histograms of different ranks add up: bins of equal width in asinh(16 score), hence of width 2e-4 near zero and 0.3% of
the score far from it, up to 10,000 on both sides. Rows that share a bin count as ties, one half of a pair each.
Sources: Hanley & McNeil (1982) for the area as a share of concordant pairs; Fawcett (2006) for ties.
"""

import numpy as np

from .base import Metric

BINS = 8192
SCALE = 16.0
REACH = float(np.arcsinh(SCALE * 1e4))


class AUC(Metric):
    """Share of (positive, negative) pairs that the scores put in order; ties count one half.

    The area is exact when no bin holds scores of both classes that differ; otherwise it is off by at most
    :meth:`error_bound`, and by far less once the scores spread over many bins: the error falls with the square of a
    bin's width, the bound with the width. Scores within a few bins (a spread of 0.05 around -4, say) are hard:
    there it is some thousandths.
    """

    def __init__(self):
        super().__init__(2 * BINS)

    def update(self, scores, target, weight):
        place = (np.arcsinh(SCALE * scores) / REACH + 1) * (BINS / 2)
        # A diverged model's NaN ranks nothing; the lowest bin keeps it countable.
        bins = np.clip(np.nan_to_num(place, nan=0.0), 0, BINS - 1).astype(np.intp)
        self.sums += np.bincount(bins + BINS * (target > 0), weights=weight, minlength=2 * BINS)

    def _pairs(self):
        negative, positive = self.sums.reshape(2, BINS)
        return negative, positive, negative.sum() * positive.sum()

    def results(self):
        negative, positive, pairs = self._pairs()
        if pairs == 0:
            return {"auc": float("nan")}
        below = np.cumsum(negative) - 0.5 * negative
        return {"auc": float(positive @ below / pairs)}

    def error_bound(self) -> float:
        """Largest possible distance from the exact area: half the share of pairs within one bin."""
        negative, positive, pairs = self._pairs()
        return float(0.5 * (positive @ negative) / pairs) if pairs else float("nan")
