"""The average of the iterates of a recipe of small steps, later ones counting for more (Polyak & Juditsky 1992).

Weights come in as they are after some steps; out comes their mean. At the beginning of every epoch the past is given a part of
its weight, so that epoch e counts about e^3 (Shamir & Zhang 2013).
"""

import numpy as np

_FADING = 4


class IterateAverage:
    """A running mean of parameters.

    Parameters
    ----------
    size : int
        Of the vector of parameters.
    dtype : numpy dtype
    begins : int
        Rows after which averaging begins: with the epoch that uses the next one.

    Attributes
    ----------
    mean : ndarray of shape (size,)
    count : int
        Iterates that the mean counts as; compiled loops that average by themselves are handed it and bring it back.
    """

    def __init__(self, size: int, dtype: np.dtype, begins: int):
        self.mean = np.zeros(size, dtype)
        self.count = 0
        self._begins = begins
        self._rows = self._before = self._carried = 0

    @property
    def active(self) -> bool:
        """Whether this epoch's iterates go into the average."""
        return self._rows > self._begins

    def begin_epoch(self, rows: int) -> None:
        """Let the past fade before an epoch of ``rows`` rows."""
        self._rows += rows
        self._before += self.count - self._carried
        self.count = self._carried = self._before // _FADING

    def add(self, params: np.ndarray) -> None:
        """Take in one iterate."""
        self.count += 1
        self.mean += (params - self.mean) * self.mean.dtype.type(1.0 / self.count)
