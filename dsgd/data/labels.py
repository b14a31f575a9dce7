"""Labels: numbers as they are, anything else as codes of the classes in the order in which they were met.

A block holds raw labels, because no worker knows all classes while it encodes; once they are known from everybody's
statistics, the store maps them to what the losses want (-1 and +1, or 0 .. k-1).
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from ..errors import DataError
from .categories import as_dictionary
from .numbers import as_floats, refuse_nulls, refuse_values
from .resolve import is_number
from .where import Where


class LabelCodes:
    """Codes of the classes that one worker has met, and of which kind its labels are.

    Attributes
    ----------
    kind : {"", "int", "float", "bool", "string"}
        Empty until a label has been seen.
    values : list of str
        For ``kind="string"``, the class of each code.
    """

    def __init__(self):
        self.kind = ""
        self.values: list[str] = []
        self._codes: dict[str, int] = {}

    def note(self, kind: str, name: str, where: Where) -> None:
        """Remember the kind of the labels; integers and floats mix, anything else does not."""
        if {self.kind, kind} == {"int", "float"}:
            kind = "float"
        if self.kind not in ("", kind) and {self.kind, kind} != {"int", "float"}:
            raise DataError(
                f"label column {name!r} holds {kind} values in {where.path or 'the data'} and {self.kind} values before; "
                "make the files agree"
            )
        self.kind = kind

    def code(self, value: str) -> int:
        """The code of a class, a new one if it was not met before."""
        if value not in self._codes:
            self._codes[value] = len(self.values)
            self.values.append(value)
        return self._codes[value]


def encode_label(array: pa.Array, name: str, labels: LabelCodes, dtype: np.dtype, where: Where) -> np.ndarray:
    """Return the labels as an array of shape (n,): numbers and booleans by value, classes by code.

    Raises
    ------
    DataError
        For a null, a number that is not finite, or a type that is no label; names column, file and row.
    """
    refuse_nulls(array, name, where, "every row needs a label; filter such rows out")
    if pt.is_dictionary(array.type) and not _is_string(array.type.value_type):
        array = array.cast(array.type.value_type)
    if pt.is_boolean(array.type):
        labels.note("bool", name, where)
        return as_floats(array, dtype)
    if is_number(array.type):
        labels.note("int" if pt.is_integer(array.type) else "float", name, where)
        values = as_floats(array, dtype)
        if not np.isfinite(values.sum(dtype=np.float64)):
            refuse_values(~np.isfinite(values), values, name, where, "a label must be finite")
        return values
    if not (pt.is_dictionary(array.type) or _is_string(array.type)):
        raise DataError(f"label column {name!r} is of type {array.type}; numbers, booleans or strings were expected")
    labels.note("string", name, where)
    encoded = as_dictionary(array)
    present = pc.unique(encoded.indices).to_numpy(zero_copy_only=False)
    table = np.zeros(max(len(encoded.dictionary), 1), dtype)
    for i in np.sort(present):
        table[i] = labels.code(encoded.dictionary[int(i)].as_py())
    return table[encoded.indices.to_numpy(zero_copy_only=False)]


def _is_string(kind: pa.DataType) -> bool:
    return pt.is_string(kind) or pt.is_large_string(kind) or (hasattr(pt, "is_string_view") and pt.is_string_view(kind))
