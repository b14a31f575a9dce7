"""Scores of a dataset, block by block: memory holds one block and the scores, whatever the size of the data."""

from collections.abc import Iterable, Iterator
from copy import copy

import numpy as np

from ..data.block import Block
from ..data.dataset import Dataset, Split
from ..data.encode import Encoder
from ..data.resolve import Roles
from ..data.spec import FeatureSpec
from ..kernels.rows import Rows, read_only
from ..kernels.score import plain_frame, score_rows

# Enough rows for the loops, few enough for the second-level cache's sake.
BATCH_ROWS = 1 << 15


def features_only(dataset: Dataset, spec: FeatureSpec) -> Dataset:
    """Return the rows with a fitted model's features and offset; labels and weights are not read, and need not exist."""
    other = copy(dataset)
    other.roles = Roles(offset=dataset.roles.offset)
    return other.with_spec(spec)


def scored_blocks(
    dataset: Dataset, params: np.ndarray, outputs: int, splits: Iterable[Split] | None = None
) -> Iterator[tuple[Block, np.ndarray, Encoder]]:
    """Yield the dataset's blocks in the order of its rows, each with its scores and the encoder that made it.

    Parameters
    ----------
    dataset : Dataset
        With the spec of the model.
    params : ndarray of shape ((d + 1) * k,)
    outputs : int
        k.
    splits : iterable of Split, optional
        Only their rows; those of the dataset if not given.
    """
    encoder = Encoder(dataset.spec, dataset.roles, params.dtype)
    frame = plain_frame(dataset.spec.layout.crosses, params.dtype)
    for split in dataset.splits() if splits is None else splits:
        for block in dataset.blocks(split, encoder, BATCH_ROWS):
            yield block, score_rows(read_only(Rows(**vars(block))), frame, params, outputs), encoder


def scores(dataset: Dataset, params: np.ndarray, outputs: int) -> np.ndarray:
    """Return the scores of all rows, of shape (n,), or (n, k) for k > 1."""
    parts = [found for _, found, _ in scored_blocks(dataset, params, outputs)]
    if parts:
        return np.concatenate(parts)
    return np.empty(0 if outputs == 1 else (0, outputs), params.dtype)
