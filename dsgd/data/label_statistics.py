"""What there is to know of the labels: their classes and weights if they are few, their moments in any case."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import DataError
from ..foreign import is_number
from ..kernels.moments import count_values, scalar_moments
from .labels import LabelCodes

# More distinct numbers than this are a regression's target, not classes.
MAX_CLASSES = 10_000
_SLOTS = 1 << 15


@dataclass(frozen=True)
class LabelStatistics:
    """Statistics of the labels.

    Attributes
    ----------
    kind : {"", "int", "float", "bool", "string"}
        Empty when there were no rows.
    classes : ndarray of shape (k,), or None
        The distinct labels in ascending order, of dtype int64, float64, bool or str; None when they are more than 10,000.
    class_rows : ndarray of shape (k,), int64
    class_weight : ndarray of shape (k,), float64
        Rows, and their weight, of each class.
    weight, mean, m2 : float
        Weighted moments of a numeric label; zero for strings.
    low, high : float
        Smallest and largest label; infinities when there were none.
    """

    kind: str
    classes: np.ndarray | None
    class_rows: np.ndarray
    class_weight: np.ndarray
    weight: float = 0.0
    mean: float = 0.0
    m2: float = 0.0
    low: float = np.inf
    high: float = -np.inf

    @property
    def variance(self) -> float:
        """Weighted population variance."""
        return self.m2 / self.weight if self.weight > 0 else 0.0

    def to_parts(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Split into arrays and a JSON-ready dictionary."""
        meta = {name: getattr(self, name) for name in _SCALARS}
        meta["classes"] = None if self.classes is None else self.classes.tolist()
        return {"class_rows": self.class_rows, "class_weight": self.class_weight}, meta

    @classmethod
    def from_parts(cls, arrays: dict[str, np.ndarray], meta: Any) -> "LabelStatistics":
        """The inverse of :meth:`to_parts`; DataError for what it has not made."""
        try:
            classes = None if meta["classes"] is None else np.array(meta["classes"], _DTYPES[meta["kind"]])
            scalars = {name: meta[name] for name in _SCALARS}
            rows, weight = arrays["class_rows"], arrays["class_weight"]
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise DataError(f"a worker's statistics of the labels are damaged: {error!r}") from error
        shape = (0,) if classes is None else classes.shape
        kept = (rows.shape, rows.dtype, weight.shape, weight.dtype) == (shape, np.int64, shape, np.float64)
        numbers = all(is_number(value) for name, value in scalars.items() if name != "kind")
        if len(shape) != 1 or shape[0] > MAX_CLASSES or not kept or not numbers or scalars["kind"] not in _DTYPES:
            raise DataError("a worker's statistics of the labels are damaged: their parts do not belong together")
        return cls(classes=classes, class_rows=rows, class_weight=weight, **scalars)


_SCALARS = ("kind", "weight", "mean", "m2", "low", "high")
_DTYPES: dict[str, Any] = {"": np.float64, "int": np.int64, "float": np.float64, "bool": np.bool_, "string": np.str_}


def merge_labels(left: LabelStatistics, right: LabelStatistics) -> LabelStatistics:
    """Return the statistics of both sets of labels."""
    if not left.kind or not right.kind:
        return left if left.kind else right
    kind = left.kind
    if left.kind != right.kind:
        if {left.kind, right.kind} != {"int", "float"}:
            raise DataError(f"labels are of kind {left.kind} in some files and {right.kind} in others; make them agree")
        kind = "float"
    weight = left.weight + right.weight
    delta = right.mean - left.mean
    share = right.weight / weight if weight > 0 else 0.0
    classes, class_rows, class_weight = _merge_classes(left, right, kind)
    return LabelStatistics(
        kind=kind,
        classes=classes,
        class_rows=class_rows,
        class_weight=class_weight,
        weight=weight,
        mean=left.mean + delta * share,
        m2=left.m2 + right.m2 + delta * delta * left.weight * share,
        low=min(left.low, right.low),
        high=max(left.high, right.high),
    )


def _merge_classes(left: LabelStatistics, right: LabelStatistics, kind: str):
    if left.classes is None or right.classes is None:
        return _no_classes()
    both = np.concatenate([left.classes.astype(_DTYPES[kind]), right.classes.astype(_DTYPES[kind])])
    classes, place = np.unique(both, return_inverse=True)
    if len(classes) > MAX_CLASSES:
        return _no_classes()
    rows, weight = np.zeros(len(classes), np.int64), np.zeros(len(classes))
    np.add.at(rows, place, np.concatenate([left.class_rows, right.class_rows]))
    np.add.at(weight, place, np.concatenate([left.class_weight, right.class_weight]))
    return classes, rows, weight


def _no_classes() -> tuple[None, np.ndarray, np.ndarray]:
    return None, np.zeros(0, np.int64), np.zeros(0)


class LabelCounter:
    """Gathers label statistics block by block."""

    def __init__(self):
        self._keys = np.zeros(_SLOTS, np.int64)
        self._rows = np.zeros(_SLOTS, np.int64)
        self._weights = np.zeros(_SLOTS)
        self._used = 0
        self._moments = LabelStatistics("", *_no_classes())
        self._dtype = np.dtype(np.float64)

    def add(self, label: np.ndarray, weight: np.ndarray) -> None:
        """Count a block's raw labels, of shape (n,), with their weights, of shape (n,) or (0,)."""
        self._dtype = label.dtype
        values = label.astype(np.float64) + 0.0  # -0.0 becomes 0.0, which is another bit pattern
        if self._used >= 0:
            bits = values.view(np.int64)
            self._used = count_values(bits, weight, self._keys, self._rows, self._weights, self._used, MAX_CLASSES)
        self._moments = merge_labels(self._moments, _moments(values, weight))

    def result(self, codes: LabelCodes) -> LabelStatistics:
        """Return the statistics of all labels; ``codes`` tells their kind, and what the codes of strings mean."""
        moments = self._moments
        if codes.kind == "string":
            moments = LabelStatistics("string", *_no_classes())
        classes: np.ndarray | None
        classes, rows, weight = _no_classes()
        if self._used >= 0:
            found = np.flatnonzero(self._rows)
            values = self._keys[found].view(np.float64)
            known = np.array(codes.values, np.str_)[values.astype(np.int64)] if codes.kind == "string" else values
            if codes.kind == "float" and self._dtype == np.float32:
                # 0.1 is 0.1 again, not the float64 nearest to the float32 nearest to it.
                known = np.array([float(str(value)) for value in values.astype(np.float32)])
            known = known.astype(_DTYPES[codes.kind])
            order = np.argsort(known)
            classes, rows, weight = known[order], self._rows[found][order], self._weights[found][order]
        return LabelStatistics(
            codes.kind, classes, rows, weight, moments.weight, moments.mean, moments.m2, moments.low, moments.high
        )


def _moments(values: np.ndarray, weight: np.ndarray) -> LabelStatistics:
    """The moments of one block."""
    if len(values) == 0:
        return LabelStatistics("", *_no_classes())
    return LabelStatistics("float", *_no_classes(), *scalar_moments(values, weight))
