"""xxHash64 over Arrow's string buffers, compiled: each value's bytes in, the position of its weight out.

A column of strings is two buffers, the UTF-8 bytes of all values and where each value ends, so hashing one is a single loop
without a Python object per value. The hash is XXH64 as published (Y. Collet, "xxHash fast digest algorithm", format 0.1.1):
64 bits, seedable, the same on every machine. A category's weight is at ``start + (hash & mask)``.
"""

import numpy as np

from .compiling import compiled, helper, inlined

_P1 = np.uint64(0x9E3779B185EBCA87)
_P2 = np.uint64(0xC2B2AE3D27D4EB4F)
_P3 = np.uint64(0x165667B19E3779F9)
_P4 = np.uint64(0x85EBCA77C2B2AE63)
_P5 = np.uint64(0x27D4EB2F165667C5)

# A null hashes as the empty string under another seed: a category of its own, apart from "".
NULL_SEED = 0x6E756C6C


@inlined
def _rotate(x, bits):
    return (x << np.uint64(bits)) | (x >> np.uint64(64 - bits))


@inlined
def _read(data, position, count):
    """``count`` bytes as a little-endian integer; LLVM joins the loads into one."""
    value = np.uint64(0)
    for i in range(count):
        value |= np.uint64(data[np.uint64(position + i)]) << np.uint64(8 * i)
    return value


@inlined
def _round(accumulator, lane):
    return _rotate(accumulator + lane * _P2, 31) * _P1


@inlined
def _merge(hashed, accumulator):
    return (hashed ^ _round(np.uint64(0), accumulator)) * _P1 + _P4


@helper
def _stripes(data, start, stop, seed):
    """The part of XXH64 for 32 bytes and more: four lanes over whole stripes."""
    a, b, c, d = seed + _P1 + _P2, seed + _P2, seed, seed - _P1
    position = start
    while position + 32 <= stop:
        a = _round(a, _read(data, position, 8))
        b = _round(b, _read(data, position + 8, 8))
        c = _round(c, _read(data, position + 16, 8))
        d = _round(d, _read(data, position + 24, 8))
        position += 32
    hashed = _rotate(a, 1) + _rotate(b, 7) + _rotate(c, 12) + _rotate(d, 18)
    return _merge(_merge(_merge(_merge(hashed, a), b), c), d)


@compiled
def xxhash64(data, start, stop, seed):
    """XXH64 of the bytes ``data[start:stop]``.

    Parameters
    ----------
    data : ndarray of uint8
    start, stop : int
    seed : uint64

    Returns
    -------
    uint64

    Examples
    --------
    >>> import numpy as np
    >>> hex(xxhash64(np.frombuffer(b"abc", np.uint8), 0, 3, np.uint64(0)))
    '0x44bc2cf5ad770999'
    """
    seed = np.uint64(seed)
    length = stop - start
    position = start
    if length >= 32:
        hashed = _stripes(data, start, stop, seed)
        position += (length // 32) * 32
    else:
        hashed = seed + _P5
    hashed += np.uint64(length)
    while position + 8 <= stop:
        hashed = _rotate(hashed ^ _round(np.uint64(0), _read(data, position, 8)), 27) * _P1 + _P4
        position += 8
    if position + 4 <= stop:
        hashed = _rotate(hashed ^ (_read(data, position, 4) * _P1), 23) * _P2 + _P3
        position += 4
    while position < stop:
        hashed = _rotate(hashed ^ (_read(data, position, 1) * _P5), 11) * _P1
        position += 1
    hashed = (hashed ^ (hashed >> np.uint64(33))) * _P2
    hashed = (hashed ^ (hashed >> np.uint64(29))) * _P3
    return hashed ^ (hashed >> np.uint64(32))


@compiled
def hash_strings(data, offsets, seed, start, mask, out):
    """Write each string's weight position: ``out[i] = start + (xxhash64(string i) & mask)``.

    Parameters
    ----------
    data : ndarray of uint8
        The UTF-8 bytes of all strings.
    offsets : ndarray of shape (n + 1,), int32 or int64
        String ``i`` is ``data[offsets[i]:offsets[i + 1]]``.
    seed : uint64
    start, mask : int
        First weight of the column and ``2**bits - 1``.
    out : ndarray of shape (n,), int32
    """
    for i in range(len(offsets) - 1):
        hashed = xxhash64(data, np.int64(offsets[i]), np.int64(offsets[i + 1]), seed)
        out[i] = np.int32(start + np.int64(hashed & np.uint64(mask)))
