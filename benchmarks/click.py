"""The click set: 13 log-normal numbers and 26 string columns with Zipf frequencies, as advertising logs have them.

Comes in: a number of rows. Goes out: eight Parquet files (zstd) of training rows and one of held-out rows, columns
``n0 .. n12`` (log1p of the numbers, float32), ``c0 .. c25`` (8 characters) and ``label`` (0/1). Labels are drawn from an
additive logistic model: one effect a value of each string column, one slope a number, an intercept that makes the mean
score zero, hence about half positives.
"""

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
from scipy import sparse

from .data import CHUNK, cached, chunk_generator, draw_labels, overlaps, split_rows, write_files

BRANCH = 2
NUMBERS = 13
CARDINALITIES = (
    *(1000, 500, 200_000, 80_000, 300, 20, 10_000, 600, 3, 40_000, 5000, 200_000, 3000),
    *(26, 10_000, 100_000, 10, 4000, 2000, 4, 150_000, 15, 15, 50_000, 80, 40_000),
)
ZIPF = 1.3
EFFECT = 0.35  # standard deviation of a value's effect on the score
SLOPE = 0.2
NUMBER_NAMES = [f"n{j}" for j in range(NUMBERS)]
STRING_NAMES = [f"c{j}" for j in range(len(CARDINALITIES))]
NON_ZEROS = NUMBERS + len(CARDINALITIES)


@cache
def frequencies(cardinality: int) -> np.ndarray:
    """Probability of each value, proportional to ``rank ** -1.3``."""
    mass = np.arange(1, cardinality + 1) ** -ZIPF
    return mass / mass.sum()


@cache
def _cumulative(cardinality: int) -> np.ndarray:
    return np.cumsum(frequencies(cardinality))


@cache
def truth() -> tuple[np.ndarray, list[np.ndarray], float]:
    """Slopes, effects per column, and the intercept of the true model."""
    generator = chunk_generator(BRANCH, 2**31)
    slopes = SLOPE * generator.standard_normal(NUMBERS)
    effects = [EFFECT * generator.standard_normal(size) for size in CARDINALITIES]
    nodes, mass = np.polynomial.hermite_e.hermegauss(40)
    mean_number = np.log1p(np.exp(nodes)) @ mass / mass.sum()
    mean = slopes.sum() * mean_number + sum(frequencies(len(e)) @ e for e in effects)
    return slopes, effects, -float(mean)


@cache
def vocabulary(column: int) -> pa.StringArray:
    """The 8-character values of a string column, by rank: a bijection of 32 bits, in hexadecimal."""
    size = CARDINALITIES[column]
    mixed = np.arange(size, dtype=np.uint32) * np.uint32(2_654_435_761) + np.uint32(column) * np.uint32(40_503)
    mixed ^= mixed >> np.uint32(15)
    mixed *= np.uint32(2_246_822_519)
    mixed ^= mixed >> np.uint32(13)
    text = mixed.astype(">u4").tobytes().hex().encode()
    offsets = np.arange(size + 1, dtype=np.int32) * 8
    return pa.StringArray.from_buffers(size, pa.py_buffer(offsets), pa.py_buffer(text))


def chunk(index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Numbers (CHUNK, 13) float32, value ranks (CHUNK, 26) int32 and labels (CHUNK,) int32 of one chunk."""
    generator = chunk_generator(BRANCH, index)
    slopes, effects, intercept = truth()
    numbers = np.log1p(np.exp(generator.standard_normal((CHUNK, NUMBERS), dtype=np.float32)))
    ranks = np.empty((CHUNK, len(CARDINALITIES)), np.int32)
    score = numbers @ slopes + intercept
    for column, size in enumerate(CARDINALITIES):
        drawn = np.searchsorted(_cumulative(size), generator.random(CHUNK))
        ranks[:, column] = np.minimum(drawn, size - 1)  # the last cumulative value may round below 1
        score += effects[column][ranks[:, column]]
    return numbers, ranks, draw_labels(generator, score)


def _rows(start: int, stop: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    for index, inside in overlaps(start, stop):
        numbers, ranks, labels = chunk(index)
        yield numbers[inside], ranks[inside], labels[inside]


def _tables(start: int, stop: int) -> Iterator[pa.Table]:
    """Tables of up to four chunks: row groups of a size that Parquet writers commonly choose."""
    for first in range(start, stop, 4 * CHUNK):
        pieces = _rows(first, min(first + 4 * CHUNK, stop))
        yield pa.concat_tables([_table(*piece) for piece in pieces]).combine_chunks()


def _table(numbers: np.ndarray, ranks: np.ndarray, labels: np.ndarray) -> pa.Table:
    floats = [pa.array(column) for column in np.ascontiguousarray(numbers.T)]
    strings = [vocabulary(j).take(pa.array(ranks[:, j])) for j in range(ranks.shape[1])]
    return pa.table([*floats, *strings, pa.array(labels)], names=[*NUMBER_NAMES, *STRING_NAMES, "label"])


def _write(directory: Path, rows: int) -> None:
    train, _ = split_rows(rows)
    write_files(directory / "train", 8, 0, train, _tables)
    write_files(directory / "test", 1, train, rows, _tables)


def click(rows: int = 1_000_000) -> Path:
    """Make or find the click set: a directory with Parquet under ``train/`` and ``test/`` (the last tenth of the rows)."""
    return cached(f"click-{rows}", lambda directory: _write(directory, rows))


def load_csr(rows: int, part: str) -> tuple[sparse.csr_matrix, np.ndarray]:
    """The click set one-hot by value rank, columns laid side by side: X (n, d) float32 CSR and labels (n,) int32.

    This is the friendliest layout for a peer: no hash collision and no column that cannot occur.
    """
    train, held_out = split_rows(rows)
    start, stop = (0, train) if part == "train" else (train, train + held_out)
    base = NUMBERS + np.concatenate([[0], np.cumsum(CARDINALITIES[:-1])]).astype(np.int32)
    n = stop - start
    indices = np.empty((n, NON_ZEROS), np.int32)
    values = np.ones((n, NON_ZEROS), np.float32)
    labels = np.empty(n, np.int32)
    filled = 0
    for numbers, ranks, y in _rows(start, stop):
        inside = slice(filled, filled + len(y))
        indices[inside, :NUMBERS] = np.arange(NUMBERS)
        indices[inside, NUMBERS:] = ranks + base
        values[inside, :NUMBERS] = numbers
        labels[inside] = y
        filled += len(y)
    indptr = np.arange(0, n * NON_ZEROS + 1, NON_ZEROS, dtype=np.int32)
    shape = (n, NUMBERS + sum(CARDINALITIES))
    return sparse.csr_matrix((values.ravel(), indices.ravel(), indptr), shape=shape), labels
