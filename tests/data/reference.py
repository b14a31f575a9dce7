"""The encoding once more, in plain Python: slow, obvious, and written apart from the code that it checks."""

import math

import numpy as np

MASK = 2**64 - 1
P1, P2, P3, P4, P5 = (
    11400714785074694791,
    14029467366897019727,
    1609587929392839161,
    9650029242287828579,
    2870177450012600261,
)


def rotate(x: int, bits: int) -> int:
    return ((x << bits) | (x >> (64 - bits))) & MASK


def round_(accumulator: int, lane: int) -> int:
    return rotate((accumulator + lane * P2) & MASK, 31) * P1 & MASK


def xxh64(data: bytes, seed: int = 0) -> int:
    """XXH64 after its specification, step by step."""
    rest = data
    if len(data) >= 32:
        lanes = [(seed + P1 + P2) & MASK, (seed + P2) & MASK, seed, (seed - P1) & MASK]
        while len(rest) >= 32:
            for i in range(4):
                lanes[i] = round_(lanes[i], int.from_bytes(rest[8 * i : 8 * i + 8], "little"))
            rest = rest[32:]
        h = sum(rotate(lane, bits) for lane, bits in zip(lanes, (1, 7, 12, 18), strict=True)) & MASK
        for lane in lanes:
            h = ((h ^ round_(0, lane)) * P1 + P4) & MASK
    else:
        h = (seed + P5) & MASK
    h = (h + len(data)) & MASK
    while len(rest) >= 8:
        h = (rotate(h ^ round_(0, int.from_bytes(rest[:8], "little")), 27) * P1 + P4) & MASK
        rest = rest[8:]
    if len(rest) >= 4:
        h = (rotate(h ^ (int.from_bytes(rest[:4], "little") * P1 & MASK), 23) * P2 + P3) & MASK
        rest = rest[4:]
    for byte in rest:
        h = rotate(h ^ (byte * P5 & MASK), 11) * P1 & MASK
    h = (h ^ (h >> 33)) * P2 & MASK
    h = (h ^ (h >> 29)) * P3 & MASK
    return h ^ (h >> 32)


def category_code(value, start: int, bits: int) -> int:
    """The weight of one category value: text, number, boolean or None."""
    mask = 2**bits - 1
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return start + (xxh64(b"", 0x6E756C6C) & mask)
    if isinstance(value, bool):
        text = "true" if value else "false"
    elif isinstance(value, float):
        text = str(int(value))
    else:
        text = str(value)
    return start + (xxh64(text.encode()) & mask)


def expand(codes, columns, start, mask):
    """The codes of every row and, after them, its crosses."""
    rows = []
    for row in codes.tolist():
        crosses = []
        for members, first, limit in zip(columns.tolist(), start.tolist(), mask.tolist(), strict=True):
            h = P5
            for member in members:
                if member >= 0:
                    h = (h ^ row[member]) * P1 & MASK
                    h ^= h >> 32
            crosses.append(first + (h & limit))
        rows.append(row + crosses)
    return np.array(rows, np.int32).reshape(len(codes), codes.shape[1] + len(start))
