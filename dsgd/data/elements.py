"""How often the elements of a sparse vector column are used, guessed from a few rows: by that columns are divided into blocks."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from .spec import FeatureSpec

# Rows that are worth a look.
SAMPLE_ROWS = 256


class Sample(NamedTuple):
    """Indices of the values of some ``rows`` rows, all together; shape (m,)."""

    indices: np.ndarray
    rows: int


def values_per_row(spec: FeatureSpec, samples: Mapping[str, Sample]) -> dict[str, np.ndarray | float]:
    """Values a row of each element of the sparse vector columns, for :func:`dsgd.data.column_blocks.column_blocks`.

    Elements that were seen once stand for all that were not: they and those share what was seen of them evenly (Good, "The
    population frequencies of species and the estimation of population parameters", Biometrika 1953). Where all elements are as
    frequent, each has the same guess, however few rows there are.

    Parameters
    ----------
    spec : FeatureSpec
    samples : dict of str to Sample
        By the columns' names; a column without rows is left out.

    Returns
    -------
    dict of str to ndarray of shape (w,)

    Examples
    --------
    >>> from dsgd.data.spec import Vector
    >>> spec = FeatureSpec(vectors=(Vector("v", 4, sparse=True),))
    >>> values_per_row(spec, {"v": Sample(np.array([0, 0, 0, 2]), 2)})["v"].round(2).tolist()
    [1.5, 0.17, 0.17, 0.17]
    """
    widths = {vector.name: vector.width for vector in spec.sparse_vectors}
    return {name: _smoothed(sample, widths[name]) for name, sample in samples.items() if name in widths and sample.rows}


def _smoothed(sample: Sample, width: int) -> np.ndarray:
    counts = np.bincount(sample.indices, minlength=width).astype(float)
    rare = counts <= 1
    if rare.any():
        counts[rare] = counts[rare].mean()
    return counts / sample.rows


def joined(samples: list[Sample]) -> Sample:
    """Several samples as one."""
    return Sample(np.concatenate([np.empty(0, np.int64), *(s.indices for s in samples)]), sum(s.rows for s in samples))
