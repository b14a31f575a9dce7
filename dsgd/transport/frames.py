"""What lies on the wire: a fixed header, then the raw bytes of an array. No pickle, nothing executable.

A message of up to ``INLINE`` bytes is one frame, header and payload together; a longer one is two frames, so that the
payload is neither copied on the way out nor on the way in. All numbers are little-endian.
"""

import struct
from typing import NamedTuple

import numpy as np

MAGIC = b"dSGD"
VERSION = 1
INLINE = 8192
CHUNK = 1 << 19  # bytes of a longer array's pieces

DTYPES = (np.dtype(np.uint8), np.dtype(np.float32), np.dtype(np.float64), np.dtype(np.int64))
CODES = {dtype: code for code, dtype in enumerate(DTYPES)}

HELLO, REDUCE, BROADCAST, GATHER, ABORT, LIFE, REPORT, EXCHANGE, FILE = range(9)
KINDS = ("hello", "all-reduce", "broadcast", "all-gather", "abort", "sign of life", "report", "exchange", "file")

# magic, version, kind, dtype, unused, source, attempt, fit, sequence, length in bytes
_HEADER = struct.Struct("<4sBBBBIIQQQ")
HEADER_BYTES = _HEADER.size


def pack(kind: int, code: int, source: int, attempt: int, fit: int, sequence: int, length: int) -> bytes:
    """The bytes of a header; the fields are those of :class:`Header`, which need not be made for every message."""
    return _HEADER.pack(MAGIC, VERSION, kind, code, 0, source, attempt, fit, sequence, length)


class Header(NamedTuple):
    """A message's header.

    Attributes
    ----------
    kind, code : int
        What the message is for, and its dtype: indices into KINDS and DTYPES.
    source : int
        The sender's rank.
    attempt, fit : int
        Fence off messages of another fit, or of a twin from an earlier attempt.
    sequence : int
        Counts the messages from this sender to this receiver, from 0.
    length : int
        Bytes of the payload.
    """

    kind: int
    code: int
    source: int
    attempt: int
    fit: int
    sequence: int
    length: int

    def pack(self) -> bytes:
        """The header as it travels."""
        return pack(*self)


def parse(data: bytes) -> Header:
    """Read the header of a frame.

    Raises
    ------
    ValueError
        When ``data`` does not begin with a header of this protocol's version; the message says why.

    Examples
    --------
    >>> parse(Header(REDUCE, 1, source=3, attempt=0, fit=7, sequence=9, length=400).pack()).length
    400
    """
    if len(data) < HEADER_BYTES:
        raise ValueError(f"{len(data)} bytes are too short for a header of {HEADER_BYTES}")
    magic, version, kind, code, _, source, attempt, fit, sequence, length = _HEADER.unpack_from(data)
    if magic != MAGIC or version != VERSION:
        raise ValueError(f"expected {MAGIC!r} version {VERSION}, found {magic!r} version {version}")
    if kind >= len(KINDS) or code >= len(DTYPES):
        raise ValueError(f"unknown kind {kind} or dtype code {code}")
    if length % DTYPES[code].itemsize:
        raise ValueError(f"{length} bytes are not an array of {DTYPES[code]}")
    return Header(kind, code, source, attempt, fit, sequence, length)
