"""Frames between the driver and a rank's process: a tag of one byte, a length, and the body."""

import struct
from collections.abc import Sequence
from typing import BinaryIO

from ...errors import WorkerLost

HELLO, TASK, GATHER, GATHERED, REPORT, RESULT, FAILURE = b"H", b"T", b"g", b"G", b"r", b"R", b"F"
# Of a crew: a member writes on the board, asks for a name, is given the value, or none; and hears that the crew is over.
POST, READ, WORD, NO_WORD, OVER = b"p", b"q", b"W", b"N", b"O"
# Of a gang that may begin again: a rank leaves a file with the driver, or takes it back.
LEAVE, REMOVE = b"l", b"x"
# Of a pool: a process that has a task lives.
SIGN = b"s"

_HEADER = struct.Struct("<cQ")
_PIECE = 64 << 20
_LENGTH = struct.Struct("<Q")


def write(stream: BinaryIO, tag: bytes, body: bytes = b"") -> None:
    """Write one frame and flush it."""
    stream.write(_HEADER.pack(tag, len(body)))
    stream.write(body)
    stream.flush()


def read(stream: BinaryIO) -> tuple[bytes, bytes] | None:
    """Read one frame; None when the other side has closed, be it in the middle of a frame."""
    header = stream.read(_HEADER.size)
    if len(header) < _HEADER.size:
        return None
    tag, length = _HEADER.unpack(header)
    # Piece by piece: memory is taken for what is there, whatever is announced.
    pieces, left = [], length
    while left and (piece := stream.read(min(left, _PIECE))):
        pieces.append(piece)
        left -= len(piece)
    return None if left else (tag, pieces[0] if len(pieces) == 1 else b"".join(pieces))


def pack(parts: Sequence[bytes]) -> bytes:
    """Put byte strings into one.

    Examples
    --------
    >>> unpack(pack([b"a", b"", b"bcd"]))
    [b'a', b'', b'bcd']
    """
    return b"".join(piece for part in parts for piece in (_LENGTH.pack(len(part)), part))


def unpack(body: bytes) -> list[bytes]:
    """Take apart what :func:`pack` put together; WorkerLost when it is cut short."""
    parts, position = [], 0
    while position < len(body):
        start = position + _LENGTH.size
        length = int.from_bytes(body[position:start], "little")
        if start + length > len(body):
            raise WorkerLost(f"a frame of {len(body)} bytes from a rank's process is cut short")
        position = start
        parts.append(body[position : position + length])
        position += length
    return parts
