"""Named arrays as bytes: a JSON header and the raw arrays after it, for block files and for statistics on their way.

The header is checked before any array is made, arrays are aligned to 64 bytes so that a mapped file is read in place, and a file
appears under its name only when it is whole.
"""

import contextlib
import io
import json
import math
import mmap
import os
import sys
import tempfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import DataError
from ..foreign import is_count, read_object

_MAGIC = b"DSGDARR1"
_ALIGN = 64
_PIECE = 1 << 20
# MADV_POPULATE_READ of Linux, which the mmap module does not name.
_POPULATE_READ = 22
_DTYPES = {"float32", "float64", "int32", "int64"}


def _round_up(size: int) -> int:
    return -(-size // _ALIGN) * _ALIGN


def _chunks(arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]):
    """The pieces of the encoding, one after the other."""
    offset, table = 0, []
    for name, array in arrays.items():
        table.append([name, str(array.dtype), list(array.shape), offset])
        offset += _round_up(array.nbytes)
    header = json.dumps({"arrays": table, "meta": meta, "size": offset}).encode()
    start = _round_up(len(_MAGIC) + 8 + len(header))
    yield (_MAGIC + len(header).to_bytes(8, "little") + header).ljust(start, b"\0")
    for array in arrays.values():
        flat = array.reshape(-1)
        # What does not lie one after the other is copied piece by piece.
        step = max(1, len(flat)) if flat.flags.c_contiguous else _PIECE
        for begin in range(0, len(flat), step):
            yield np.ascontiguousarray(flat[begin : begin + step]).data.cast("B")
        yield bytes(_round_up(array.nbytes) - array.nbytes)


def pack(arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> bytes:
    """Return arrays and JSON-ready ``meta`` as bytes.

    Examples
    --------
    >>> import numpy as np
    >>> arrays, meta = unpack(pack({"x": np.arange(3)}, {"rows": 3}))
    >>> arrays["x"].tolist(), meta
    ([0, 1, 2], {'rows': 3})
    """
    out = io.BytesIO()
    for chunk in _chunks(arrays, meta):
        out.write(chunk)
    return out.getvalue()


def unpack(buffer, source: str = "the message") -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return the arrays, as views of ``buffer``, and the meta data.

    Raises
    ------
    DataError
        When the bytes are not what :func:`pack` makes, or are cut short.
    """
    view = memoryview(buffer)
    start = len(_MAGIC) + 8
    if bytes(view[: len(_MAGIC)]) != _MAGIC:
        raise DataError(f"{source} does not begin as a block of arrays does; it is damaged or of another kind")
    length = int.from_bytes(view[len(_MAGIC) : start], "little")
    if start + length > len(view):
        raise DataError(f"{source} is cut short: {len(view)} bytes, and the header alone has {length}")
    header = read_object(bytes(view[start : start + length]), source, DataError)
    table, meta, size = header.get("arrays"), header.get("meta"), header.get("size", -1)
    if not (isinstance(table, list) and isinstance(meta, dict) and is_count(size)):
        raise DataError(f"{source} is damaged: its header is not that of a block of arrays")
    base = _round_up(start + length)
    if base + size > len(view):
        raise DataError(f"{source} is cut short: {len(view)} bytes where {base + size} were expected")
    return dict(_array(view[base : base + size], entry, source) for entry in table), meta


def _array(content: memoryview, entry: Any, source: str) -> tuple[str, np.ndarray]:
    """An array by its entry in the header."""
    if not isinstance(entry, list) or len(entry) != 4 or not isinstance(entry[0], str):
        raise DataError(f"{source} is damaged: {str(entry)[:80]} describes no array")
    name, dtype, shape, offset = entry
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        raise DataError(f"{source} holds an array of type {dtype!r}, which is not one of {sorted(_DTYPES)}")
    if not (isinstance(shape, list) and all(map(is_count, shape)) and is_count(offset) and offset % _ALIGN == 0):
        raise DataError(f"{source} is damaged: array {name!r} has no shape, or no place")
    count = math.prod(shape)
    if offset + count * np.dtype(dtype).itemsize > len(content):
        raise DataError(f"{source} is damaged: array {name!r} ends outside of it")
    try:
        return name, np.frombuffer(content, dtype, count, offset).reshape(shape)
    except ValueError as error:  # more dimensions, or longer ones, than numpy has
        raise DataError(f"{source} is damaged: array {name!r} cannot be ({error})") from error


def write_file(path: str, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> int:
    """Write arrays to ``path``, whole or not at all, and return the number of bytes."""
    handle, temporary = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".partial-")
    try:
        with os.fdopen(handle, "wb", buffering=0) as file:
            written = 0
            for chunk in _chunks(arrays, meta):
                _write_all(file, chunk)
                written += len(chunk)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    return written


def _write_all(file, chunk) -> None:
    """An unbuffered write may take less than it is given."""
    view = memoryview(chunk)
    while len(view):
        view = view[file.write(view) :]


class Mapped:
    """A file of arrays in memory-mapped form.

    Attributes
    ----------
    arrays : dict of str to ndarray
        Views of the mapping; read-only unless ``writable``.
    meta : dict
    """

    def __init__(self, path: str, writable: bool = False):
        with open(path, "r+b" if writable else "rb") as file:
            access = mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ
            self._map = mmap.mmap(file.fileno(), 0, access=access)
        self.arrays, self.meta = unpack(self._map, path)
        self._fetch()

    def release(self) -> None:
        """Give the pages back: they stop counting as resident, and are read again from the file if they are touched."""
        self._advise("MADV_DONTNEED")

    def _fetch(self) -> None:
        """Have all pages mapped at once: one by one, as they are met, they cost several nanoseconds a row."""
        self._advise("MADV_WILLNEED")
        if sys.platform == "linux":
            with contextlib.suppress(OSError):  # before 5.14
                self._map.madvise(_POPULATE_READ)

    def _advise(self, advice: str) -> None:
        if hasattr(mmap, advice):  # not on every operating system
            self._map.madvise(getattr(mmap, advice))
