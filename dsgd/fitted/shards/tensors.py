"""A safetensors file, written piece by piece and read by ranges of bytes: memory holds a piece, never the file.

The format is 8 bytes of a length, so many of a JSON header, and the arrays one after the other
(https://github.com/huggingface/safetensors, "Format"). A file of ours has ``value`` of shape (n, k), perhaps ``position`` of
shape (n,), and in its metadata the name of the model it is of.
"""

import hashlib
import json
from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa

from ...errors import CheckpointError
from ..place import Place
from .record import Shard, Shards

# Bytes that are read or written at once, and that a checksum is of; and how many such stretches an open file keeps, once they
# have been found to be what was saved: positions and values lie apart, and may begin anywhere in a stretch.
PIECE = 8 << 20
_KEPT = 3
# A header of two arrays and two names takes some hundred bytes.
_MOST_HEADER = 1 << 16
_KINDS = {"float32": "F32", "float64": "F64", "int64": "I64"}


def layout(shards: Shards, shard: Shard) -> dict[str, tuple[np.dtype, tuple[int, ...], int, int]]:
    """The arrays of a shard, by name, in order: dtype, shape, first byte and the one after the last, after the header."""
    rows = shard.width if shard.stored is None else shard.stored
    arrays = {} if shard.stored is None else {"position": (np.dtype(np.int64), (rows,))}
    arrays["value"] = (shards.numbers, (rows, shards.outputs))  # type: ignore[assignment]
    found: dict[str, tuple[np.dtype, tuple[int, ...], int, int]] = {}
    at = 0
    for name, (dtype, shape) in arrays.items():
        size = int(np.prod(shape, dtype=object)) * dtype.itemsize
        found[name] = (dtype, shape, at, at + size)
        at += size
    return found


def header(shards: Shards, shard: Shard) -> bytes:
    """What a shard's file begins with."""
    described: dict[str, Any] = {"__metadata__": {"format": "dsgd-shard", "model": shards.model}}
    for name, (dtype, shape, start, stop) in layout(shards, shard).items():
        described[name] = {"dtype": _KINDS[dtype.name], "shape": list(shape), "data_offsets": [start, stop]}
    text = json.dumps(described).encode()
    text = text.ljust(-(-len(text) // 8) * 8)
    return len(text).to_bytes(8, "little") + text


def length(shards: Shards, shard: Shard) -> int:
    """Bytes of a shard's file."""
    return len(header(shards, shard)) + layout(shards, shard)["value"][-1]


def write(place: Place, path: str, pieces: Iterable[bytes | np.ndarray]) -> "Checksums":
    """Write pieces one after the other to a file of the place's filesystem; return what it must be found to be."""
    sums = Checksums(PIECE)
    with place.filesystem.open_output_stream(path) as stream:
        for piece in pieces:
            content = (
                np.ascontiguousarray(piece).reshape(-1).view(np.uint8).data if isinstance(piece, np.ndarray) else piece
            )
            sums.add(content)
            stream.write(content)
    return sums


class Checksums:
    """SHA-256 of each stretch of so many bytes of what goes by, however it is cut.

    Examples
    --------
    >>> whole, cut = Checksums(3), Checksums(3)
    >>> whole.add(b"abcdefgh"), cut.add(b"ab"), cut.add(b"cdef"), cut.add(b"gh")
    (None, None, None, None)
    >>> whole.finish() == cut.finish(), len(cut.finish())
    (True, 3)
    """

    def __init__(self, stretch: int):
        self.stretch, self._left, self._hash = stretch, stretch, hashlib.sha256()
        self._found: list[str] = []

    def add(self, content: bytes | memoryview) -> None:
        """Take what comes next."""
        rest = memoryview(content)
        while len(rest):
            part, rest = rest[: self._left], rest[self._left :]
            self._hash.update(part)
            self._left -= len(part)
            if not self._left:
                self._found.append(self._hash.hexdigest())
                self._left, self._hash = self.stretch, hashlib.sha256()

    def finish(self) -> tuple[str, ...]:
        """The checksums of all stretches, the last of which may be shorter."""
        return (*self._found, *([self._hash.hexdigest()] if self._left < self.stretch else []))


class ShardFile:
    """A shard that is open; as a context manager it is closed.

    Raises
    ------
    CheckpointError
        When it is missing, of another length than the header says, of another model, or damaged.
    """

    def __init__(self, place: Place, shards: Shards, shard: Shard):
        self._name, self._layout, self._shard = f"{place.uri}/{shard.file}", layout(shards, shard), shard
        self._sound: dict[int, memoryview] = {}
        try:
            self._file = place.filesystem.open_input_file(f"{place.path}/{shard.file}")
        except FileNotFoundError as error:
            raise CheckpointError(f"the model at {place.uri} is not whole: {shard.file} is missing") from error
        except (pa.ArrowException, OSError) as error:
            raise CheckpointError(f"{self._name} cannot be read: {error}") from error
        try:
            self._begin = self._check(shards, shard)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> "ShardFile":
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def _check(self, shards: Shards, shard: Shard) -> int:
        size = self._size()
        if size != shard.size:
            raise CheckpointError(
                f"{self._name} has {size} bytes and the header says {shard.size}; save the model again"
            )
        count = int.from_bytes(self._bytes(0, 8), "little")
        if count > min(_MOST_HEADER, size - 8):
            raise CheckpointError(f"{self._name} is damaged: its header of {count} bytes is none of ours")
        try:
            found = json.loads(self._bytes(8, count))
            model = found.pop("__metadata__")["model"]
            arrays = {
                name: (each["dtype"], tuple(each["shape"]), *each["data_offsets"]) for name, each in found.items()
            }
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise CheckpointError(f"{self._name} is damaged: {type(error).__name__} in its header: {error}") from error
        if model != shards.model:
            raise CheckpointError(f"{self._name} is of another model; save the model again")
        expected = {name: (_KINDS[each[0].name], *each[1:]) for name, each in self._layout.items()}
        if arrays != expected or 8 + count + self._layout["value"][-1] != size:
            raise CheckpointError(f"{self._name} is damaged: it does not hold the arrays that the model's header says")
        return 8 + count

    def rows(self, name: str, first: int, count: int) -> np.ndarray:
        """Rows ``first`` to ``first + count`` of an array, read-only."""
        dtype, shape, start, _ = self._layout[name]
        size = dtype.itemsize * int(np.prod(shape[1:]))
        content = self._sound_bytes(self._begin + start + first * size, count * size)
        return np.frombuffer(content, dtype).reshape(count, *shape[1:])

    def pieces(self, name: str, first: int, count: int) -> Iterable[tuple[int, np.ndarray]]:
        """The same rows some at a time, each with the place of its first row after ``first``."""
        dtype, shape, _, _ = self._layout[name]
        step = max(1, PIECE // (dtype.itemsize * max(1, int(np.prod(shape[1:])))))
        for at in range(0, count, step):
            yield at, self.rows(name, first + at, min(step, count - at))

    def _size(self) -> int:
        try:
            return self._file.size()
        except (pa.ArrowException, OSError) as error:
            raise CheckpointError(f"{self._name} cannot be read: {error}") from error

    def _sound_bytes(self, first: int, count: int) -> bytes | memoryview:
        """Bytes of the arrays; where there are checksums, of stretches that agree with theirs."""
        if not self._shard.sha256:
            return self._bytes(first, count)
        size, stop = self._shard.stretch, first + count
        parts = [
            self._stretch(number)[max(0, first - number * size) : stop - number * size]
            for number in range(first // size, -(-stop // size))
        ]
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _stretch(self, number: int) -> memoryview:
        if number not in self._sound:
            first = number * self._shard.stretch
            content = self._bytes(first, min(self._shard.stretch, self._shard.size - first))
            if hashlib.sha256(content).hexdigest() != self._shard.sha256[number]:
                raise CheckpointError(
                    f"{self._name} is damaged: its bytes {first} to {first + len(content)} are not those that were saved; save "
                    "the model again, or take the file from a copy that is whole"
                )
            while len(self._sound) >= _KEPT:
                del self._sound[next(iter(self._sound))]
            self._sound[number] = memoryview(content)
        return self._sound[number]

    def _bytes(self, first: int, count: int) -> bytes:
        try:
            content = self._file.read_at(count, first)
        except (pa.ArrowException, OSError) as error:
            raise CheckpointError(f"{self._name} cannot be read: {error}") from error
        if len(content) != count:
            raise CheckpointError(f"{self._name} is cut short; save the model again")
        return content
