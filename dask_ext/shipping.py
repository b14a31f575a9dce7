"""Payloads on their way to a worker: pickled, and the futures inside them turned into dependencies of the task.

A payload may hold futures anywhere; the rank finds the data in their places. Dask itself brings the data to the worker, and
leaves it where it is when it is there already.
"""

import io
import pickle
from collections.abc import Sequence
from typing import Any

import distributed


class _Packer(pickle.Pickler):
    def __init__(self, file: io.BytesIO):
        super().__init__(file, protocol=5)
        self.futures: list[distributed.Future] = []

    def persistent_id(self, obj: Any) -> int | None:
        if not isinstance(obj, distributed.Future):
            return None
        self.futures.append(obj)
        return len(self.futures) - 1


class _Unpacker(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, found: Sequence[Any]):
        super().__init__(file)
        self._found = found

    def persistent_load(self, pid: int) -> Any:
        return self._found[pid]


def pack(payload: Any) -> tuple[bytes, list[distributed.Future]]:
    """Return a payload as bytes, and the futures that it holds in the order in which :func:`unpack` wants their data."""
    file = io.BytesIO()
    packer = _Packer(file)
    packer.dump(payload)
    return file.getvalue(), packer.futures


def unpack(data: bytes, found: Sequence[Any]) -> Any:
    """Return the payload, with ``found`` in the places of its futures.

    Examples
    --------
    >>> data, futures = pack({"rows": [1, 2]})
    >>> unpack(data, futures)
    {'rows': [1, 2]}
    """
    return _Unpacker(io.BytesIO(data), found).load()
