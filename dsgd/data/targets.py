"""What is done to encoded blocks once all ranks' rows are known, labels above all.

Raw labels become what a loss wants: -1 and +1 for two classes, 0 .. k-1 for more, numbers as they are for regression.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..errors import DataError
from .block import Block
from .encode import Encoder, impute
from .label_statistics import LabelStatistics
from .labels import LabelCodes

# Above this, neighbouring integers are one float32.
_EXACT_FLOAT32 = 2**24


@dataclass(frozen=True)
class LabelMap:
    """A table from raw labels, as blocks hold them, to targets.

    Attributes
    ----------
    raw : ndarray of shape (k,)
        Ascending.
    targets : ndarray of shape (k,)
    """

    raw: np.ndarray
    targets: np.ndarray

    def __call__(self, label: np.ndarray) -> np.ndarray:
        """Return the targets of labels that are all in the table."""
        if len(self.raw) == 2:  # a comparison is a tenth of a search
            return np.where(label == self.raw[0], *self.targets)
        return self.targets[np.searchsorted(self.raw, label)]


def label_map(mapping: Mapping[Any, float], labels: LabelStatistics, codes: LabelCodes, dtype: np.dtype) -> LabelMap:
    """Build the table for one worker's labels.

    Parameters
    ----------
    mapping : dict
        From each class to its target; classes that this worker does not have may be there.
    labels, codes
        What the worker found.

    Raises
    ------
    DataError
        When the worker has a label that is not in the mapping, or labels that the dtype cannot tell apart.
    """
    if labels.classes is None:
        raise DataError(
            "the label has more than 10,000 distinct values; that is a target for regression, not a set of classes"
        )
    if labels.kind == "int" and dtype == np.float32 and max(-labels.low, labels.high) > _EXACT_FLOAT32:
        raise DataError(
            f"class {labels.high:.0f} is not exact in float32; use dtype='float64' or smaller class numbers"
        )
    raw: np.ndarray
    names: list[Any]
    wanted: dict[Any, float]
    if not labels.kind:  # this worker has no rows
        raw, names, wanted = np.zeros(0), [], {}
    elif labels.kind == "string":
        raw, names = np.arange(len(codes.values)), codes.values
        wanted = {str(key): value for key, value in mapping.items()}
    else:
        raw = labels.classes.astype(dtype)
        names = raw.tolist()
        wanted = {float(dtype.type(key)): value for key, value in mapping.items()}
    unknown = [name for name in names if name not in wanted]
    if unknown:
        raise DataError(f"label {unknown[0]!r} is none of the classes {list(mapping)}")
    return LabelMap(raw.astype(dtype), np.array([wanted[name] for name in names], dtype))


@dataclass
class Finish:
    """Labels mapped, missing values imputed, columns shifted and scaled, weights renumbered, as far as it is set.

    Attributes
    ----------
    sparse_start : int
        First weight of the sparse part.
    labels : LabelMap, optional
    means : ndarray of shape (p,), optional
    shift : ndarray of shape (p,) or (0,), optional
    factors : ndarray of shape (s,) or (0,), optional
    numbers : ndarray of shape (d,), optional
    """

    sparse_start: int
    labels: LabelMap | None = None
    means: np.ndarray | None = None
    shift: np.ndarray | None = None
    factors: np.ndarray | None = None
    numbers: np.ndarray | None = None

    def copy(self) -> "Finish":
        """What is done so far."""
        return replace(self)

    def __call__(self, block: Block) -> Block:
        """Finish a block that comes from the encoder."""
        return self.renumber(self.rescale(self.impute(self.relabel(block))))

    def set_labels(self, mapping: Mapping[Any, float] | None, labels: LabelStatistics, encoder: Encoder) -> None:
        """Set what labels become; only once, because blocks do not keep the labels they had."""
        if self.labels is not None:
            raise DataError("the labels of this store have been mapped already")
        if mapping is None and labels.kind == "string":
            raise DataError("the label is text and a number was expected; map the classes, or use a numeric column")
        if mapping is not None:
            self.labels = label_map(mapping, labels, encoder.labels, encoder.dtype)

    def set_scales(self, shift: np.ndarray, factors: np.ndarray) -> None:
        """Set what dense columns lose and sparse values are multiplied by; only once, as for labels."""
        if self.factors is not None:
            raise ValueError("the columns of this store have been rescaled already")
        self.shift, self.factors = shift, factors

    def relabel(self, block: Block) -> Block:
        """Map the labels of a block."""
        return block if self.labels is None else replace(block, label=self.labels(block.label))

    def renumber(self, block: Block) -> Block:
        """Replace each code by ``numbers[code]``."""
        return block if self.numbers is None else replace(block, codes=self.numbers[block.codes])

    def impute(self, block: Block) -> Block:
        """Fill in what is missing; the block given is not changed."""
        if self.means is None or not np.isnan(block.dense).any():
            return block
        dense = block.dense.copy()
        impute(dense, self.means)
        return replace(block, dense=dense)

    def rescale(self, block: Block) -> Block:
        """Shift and scale; the block given is not changed."""
        if self.shift is not None and self.shift.size:
            block = replace(block, dense=block.dense - self.shift)
        if self.factors is not None and self.factors.size and block.values.size:
            columns = block.indices - self.sparse_start if self.sparse_start else block.indices
            values = self.factors[columns]
            values *= block.values
            block = replace(block, values=values)
        return block
