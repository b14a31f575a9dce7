"""What a worker finds in a lot, as it travels to the lead: statistics and numbering first, then measures with the plan.

Both come from a process that has the keys of the fit and may still be broken: what is read is checked before it is used.
"""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...data.arrays import pack, unpack
from ...data.layout import Layout
from ...data.numbering import Numbering
from ...data.statistics import Statistics
from ...errors import DataError
from ...foreign import is_count, is_number, read_object
from ...objective.start import TOTALS
from ...server.ranges import STRETCHES


def pack_prepared(statistics: Statistics, numbering: Numbering | None) -> bytes:
    """What a worker found while it encoded a lot."""
    codes = np.zeros(0, np.int32) if numbering is None else numbering.codes
    return pack({"statistics": as_array(found := statistics.to_bytes()), "codes": codes}, {"bytes": len(found)})


def as_array(data: bytes) -> np.ndarray:
    """Bytes as an array that :func:`dsgd.data.arrays.pack` takes, filled up with zeros."""
    return np.frombuffer(data.ljust(-(-len(data) // 8) * 8, b"\0"), np.int64)


def unpack_prepared(data: bytes, layout: Layout) -> tuple[Statistics, np.ndarray]:
    """Statistics, and the codes in the order of their numbers.

    Raises
    ------
    DataError
        When it is neither, or the codes are none of the layout's: the kernels that take them do not look.
    """
    source = "what was found in some rows"
    arrays, meta = unpack(data, source)
    codes = arrays.get("codes")
    if codes is None or codes.dtype != np.int32 or codes.ndim != 1 or len(codes) > layout.size - layout.dense:
        raise DataError(f"{source} is damaged: it does not hold the codes that were met")
    if len(codes) and not layout.dense <= codes.min() <= codes.max() < layout.size:
        raise DataError(f"{source} is damaged: its codes are from {codes.min()} to {codes.max()}")
    return Statistics.from_bytes(bytes_in(arrays, "statistics", meta.get("bytes"), source)), codes


def bytes_in(arrays: dict[str, np.ndarray], name: str, count: Any, source: str) -> bytes:
    """Bytes that :func:`as_array` has made an array."""
    if name not in arrays or not is_count(count) or count > arrays[name].nbytes:
        raise DataError(f"{source} is damaged: it has no {name}, or not all of it")
    return arrays[name].tobytes()[:count]


@dataclass(frozen=True)
class Measured:
    """What a worker measured of a lot, with the plan: sums, and a maximum.

    Attributes
    ----------
    rows : int
        For training.
    values : float
        Codes, interactions and sparse values.
    touched : int
        Features that a push touches: a mini-batch, or as many as a worker takes by itself.
    smoothness : float
    totals : list of float
        Of the targets.
    left : bool
        Whether there are copies for other workers of the machine.
    load : list of int
        How many features of each of the :func:`~dsgd.server.ranges.stretches` a push touches; empty where it is all of them.
    """

    rows: int
    values: float
    touched: int
    smoothness: float
    totals: list[float]
    left: bool
    load: list[int]

    def to_bytes(self) -> bytes:
        """As JSON."""
        return json.dumps(vars(self)).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> "Measured":
        """The inverse; DataError when these are no measures."""
        source = "what was measured of some rows"
        found = read_object(data, source, DataError)
        counts = all(is_count(found.get(name)) for name in ("rows", "touched"))
        numbers = all(is_number(found.get(name)) for name in ("values", "smoothness"))
        totals = found.get("totals")
        sums = isinstance(totals, list) and len(totals) == TOTALS and all(map(is_number, totals))
        load = found.get("load")
        loads = isinstance(load, list) and len(load) <= STRETCHES and all(map(is_count, load))
        if not (counts and numbers and sums and loads and isinstance(found.get("left"), bool)):
            raise DataError(f"{source} is damaged: {str(found)[:200]}")
        return cls(**{name: found[name] for name in cls.__dataclass_fields__})
