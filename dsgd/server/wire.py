"""What lies on the wire between workers and parameter servers: a fixed header, then the raw bytes of some arrays.

A message of up to ``INLINE`` bytes is one frame; a longer one is a frame with the header, and for each array one or more frames
of at most ``CHUNK`` bytes, which are not copied. No pickle, nothing executable. All numbers are little-endian.
"""

import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

MAGIC = b"dSGP"
VERSION = 1
INLINE = 1 << 14
CHUNK = 4 << 20  # bytes of a frame at most
MOST_ARRAYS = 8

DTYPES = tuple(np.dtype(name) for name in ("u1", "<i4", "<i8", "<f4", "<f8"))
_CODES = {dtype: code for code, dtype in enumerate(DTYPES)}

# Workers to shards, shards to workers; then what the lead and the workers say about the rows, and the lead to the shards; then
# what is said about waiting: REST by a worker that leaves for a while, WAIT by a shard that cannot answer yet.
(
    JOIN, LEAVE, STEP, WEIGHTS, WELCOME, REFUSED, KEEP, RESTORE, START,
    ASK, LEASE, DONE, BEAT, STATE, FINAL, NOTED, OFFER, REST, WAIT,
) = range(19)  # fmt: skip
KINDS = (
    "join", "leave", "step", "weights", "welcome", "refused", "keep", "restore", "start",
    "ask", "lease", "done", "beat", "state", "final", "noted", "offer", "rest", "wait",
)  # fmt: skip

# magic, version, kind, number of arrays, flags, worker, attempt, link, fit, clock, wanted, version of the weights, step, rows
_HEADER = struct.Struct("<4sBBBBIIIxxxxQqqqqq")
_ARRAY = struct.Struct("<BxxxxxxxQ")  # dtype, bytes


class BadMessage(ValueError):
    """What came is no message of this fit, or says what cannot be; the text says why."""


class Message(NamedTuple):
    """A message.

    Attributes
    ----------
    kind : int
        An index into KINDS.
    worker, attempt : int
        Of the worker that sends it, or whom it is for.
    clock, wanted, version, step, rows : int
        What they count depends on the kind.
    flags : int
        What there is in it.
    arrays : sequence of ndarray
        Flat; read-only when they came by wire.
    link : int
        How often its sender had connected before: what comes by an earlier connection has been said again by a later one.
    """

    kind: int
    worker: int
    attempt: int = 0
    clock: int = 0
    wanted: int = 0
    version: int = 0
    step: int = 0
    rows: int = 0
    flags: int = 0
    arrays: Sequence[np.ndarray] = ()
    link: int = 0


def encode(message: Message, fit: int) -> list[Any]:
    """The frames of a message; arrays of more than ``INLINE`` bytes are not copied, and must not change until they are sent."""
    kind, worker, attempt, clock, wanted, version, step, rows, flags, arrays, link = message
    head = _HEADER.pack(
        MAGIC, VERSION, kind, len(arrays), flags, worker, attempt, link, fit, clock, wanted, version, step, rows
    )
    sizes = [array.nbytes for array in arrays]
    head += b"".join([_ARRAY.pack(_CODES[array.dtype], size) for array, size in zip(arrays, sizes, strict=True)])
    if sum(sizes) <= INLINE:
        return [b"".join([head, *(array.tobytes() for array in arrays)])]
    frames: list[Any] = [head]
    for array in arrays:
        view = array.view(np.uint8)
        frames += [view[start : start + CHUNK] for start in range(0, max(1, len(view)), CHUNK)]
    return frames


def decode(frames: Sequence[Any], fit: int) -> Message:
    """The inverse, from frames (bytes or memoryviews) as they came.

    Raises
    ------
    BadMessage
        When they are no message of this fit and this protocol's version, or are not as long as the header says; the text says
        why.

    Examples
    --------
    >>> message = Message(STEP, worker=1, clock=3, arrays=[np.arange(3, dtype=np.int32)])
    >>> decode(encode(message, fit=7), fit=7).arrays[0].tolist()
    [0, 1, 2]
    """
    head = frames[0] if frames else b""
    if len(head) < _HEADER.size:
        raise BadMessage(f"{len(head)} bytes are too short for a header of {_HEADER.size}")
    magic, protocol, kind, count, flags, worker, attempt, link, whose, *numbers = _HEADER.unpack_from(head)
    if magic != MAGIC or protocol != VERSION:
        raise BadMessage(f"expected {MAGIC!r} version {VERSION}, found {magic!r} version {protocol}")
    if kind >= len(KINDS) or count > MOST_ARRAYS or len(head) < _HEADER.size + count * _ARRAY.size:
        raise BadMessage(f"unknown kind {kind}, or a header of {len(head)} bytes for {count} arrays")
    if whose != fit:
        raise BadMessage("it belongs to another fit")
    arrays = _arrays(frames, _announced(head, count))
    clock, wanted, version, step, rows = numbers
    return Message(kind, worker, attempt, clock, wanted, version, step, rows, flags, arrays, link)


def _announced(head: Any, count: int) -> list[tuple[np.dtype, int]]:
    """Dtype and bytes of each array."""
    announced = []
    for number in range(count):
        code, size = _ARRAY.unpack_from(head, _HEADER.size + number * _ARRAY.size)
        if code >= len(DTYPES) or size % DTYPES[code].itemsize:
            raise BadMessage(f"array {number} has dtype code {code} and {size} bytes")
        announced.append((DTYPES[code], size))
    return announced


def _arrays(frames: Sequence[Any], announced: list[tuple[np.dtype, int]]) -> list[np.ndarray]:
    """The arrays, which follow the header in its own frame or in frames of their own."""
    place = _HEADER.size + len(announced) * _ARRAY.size
    if len(frames) > 1:
        if len(frames[0]) != place:
            raise BadMessage(f"a header of {len(frames[0])} bytes for {len(announced)} arrays")
        return _pieced(frames[1:], announced)
    total = sum(size for _, size in announced)
    if len(frames[0]) != place + total:
        raise BadMessage(f"the frame has {len(frames[0])} bytes, its header says {place + total}")
    arrays = []
    for dtype, size in announced:
        arrays.append(_array(frames[0], dtype, size, place))
        place += size
    return arrays


def _pieced(frames: Sequence[Any], announced: list[tuple[np.dtype, int]]) -> list[np.ndarray]:
    arrays, place = [], 0
    for number, (dtype, size) in enumerate(announced):
        parts = max(1, -(-size // CHUNK))
        found = frames[place : place + parts]
        if len(found) != parts or sum(map(len, found)) != size:
            raise BadMessage(
                f"array {number} has {sum(map(len, found))} bytes, its header says {size} in {parts} frames"
            )
        arrays.append(_array(found[0] if parts == 1 else b"".join(found), dtype, size))
        place += parts
    if place != len(frames):
        raise BadMessage(f"{len(frames) - place} frames follow the last array")
    return arrays


def _array(buffer: Any, dtype: np.dtype, size: int, place: int = 0) -> np.ndarray:
    """A part of a frame, not to be written to; a copy where it is not aligned, for which kernels would be compiled once more."""
    array = np.frombuffer(buffer, dtype, size // dtype.itemsize, place) if size else np.zeros(0, dtype)
    if not array.flags.aligned:
        array = array.copy()
    array.flags.writeable = False
    return array
