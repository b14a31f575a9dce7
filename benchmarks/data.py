"""Where the benchmarks' data lives, and the dense set: standard normal columns with labels from a logistic model.

Comes in: a number of rows. Goes out: a directory with ``train`` and ``test`` parts, written once and found again under
``DSGD_BENCH_DATA`` (the system's temporary directory by default). Everything is drawn from generators addressed by their
place (set, chunk), so that the same rows come out whatever was generated before, and memory does not grow with the rows.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

SEED = 20_240_229
CHUNK = 50_000
HELD_OUT = 10  # one row in ten, the last ones
VERSION = 1  # part of every directory's name: raise it when a generator changes


def root() -> Path:
    """Directory that holds the generated sets."""
    return Path(os.environ.get("DSGD_BENCH_DATA") or Path(tempfile.gettempdir()) / "dsgd-bench")


def cached(name: str, write: Callable[[Path], None]) -> Path:
    """Return the directory ``name``, calling ``write`` to fill it when it is not there yet.

    The directory appears under its name only when it is complete, so an interrupted run leaves nothing to mistake for data.
    """
    target = root() / f"{name}-v{VERSION}"
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=target.parent))
    try:
        write(partial)
        partial.rename(target)
    except OSError:
        if not target.exists():  # otherwise another process was faster, with the same content
            raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target


def split_rows(rows: int) -> tuple[int, int]:
    """Rows of the training part and of the held-out part."""
    held_out = rows // HELD_OUT
    return rows - held_out, held_out


def chunk_generator(branch: int, index: int) -> np.random.Generator:
    """Generator of chunk ``index`` of the set numbered ``branch``."""
    return np.random.Generator(np.random.SFC64(np.random.SeedSequence(SEED, spawn_key=(branch, index))))


def overlaps(start: int, stop: int) -> Iterator[tuple[int, slice]]:
    """Yield the chunks that cover rows ``start`` to ``stop``, each with the part of it that lies inside.

    Examples
    --------
    >>> list(overlaps(40_000, 60_000))
    [(0, slice(40000, 50000, None)), (1, slice(0, 10000, None))]
    """
    for index in range(start // CHUNK, -(-stop // CHUNK)):
        base = index * CHUNK
        yield index, slice(max(start - base, 0), min(stop - base, CHUNK))


def draw_labels(generator: np.random.Generator, score: np.ndarray) -> np.ndarray:
    """Draw 0/1 labels (int32) from the logistic model of ``score``."""
    return (generator.random(len(score)) < 1 / (1 + np.exp(-score))).astype(np.int32)


# The dense set -------------------------------------------------------------------------------------------------------

DENSE_BRANCH = 1
DENSE_COLUMNS = 100
DENSE_NORM = 3.0


def dense_truth() -> np.ndarray:
    """Weights of the dense set's true model, of norm 3."""
    weights = chunk_generator(DENSE_BRANCH, 2**31).standard_normal(DENSE_COLUMNS)
    return weights * (DENSE_NORM / np.linalg.norm(weights))


def dense_chunk(index: int) -> tuple[np.ndarray, np.ndarray]:
    """Features (CHUNK, 100) float32 and labels (CHUNK,) int32 of one chunk."""
    generator = chunk_generator(DENSE_BRANCH, index)
    features = generator.standard_normal((CHUNK, DENSE_COLUMNS), dtype=np.float32)
    return features, draw_labels(generator, features @ dense_truth())


def _dense_rows(start: int, stop: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for index, inside in overlaps(start, stop):
        features, labels = dense_chunk(index)
        yield features[inside], labels[inside]


def dense_names() -> list[str]:
    """Column names of the dense set's features."""
    return [f"x{j}" for j in range(DENSE_COLUMNS)]


def _write_dense(directory: Path, rows: int) -> None:
    train, _ = split_rows(rows)
    for part, start, stop in (("train", 0, train), ("test", train, rows)):
        shape = (stop - start, DENSE_COLUMNS)
        features = np.lib.format.open_memmap(directory / f"{part}_X.npy", "w+", np.float32, shape)
        labels = np.lib.format.open_memmap(directory / f"{part}_y.npy", "w+", np.int32, shape[:1])
        filled = 0
        for X, y in _dense_rows(start, stop):
            features[filled : filled + len(y)] = X
            labels[filled : filled + len(y)] = y
            filled += len(y)
        write_files(directory / part, 8 if part == "train" else 1, 0, stop - start, _dense_tables(features, labels))


def _dense_tables(features: np.ndarray, labels: np.ndarray) -> Callable[[int, int], Iterator[pa.Table]]:
    def tables(start: int, stop: int) -> Iterator[pa.Table]:
        for first in range(start, stop, CHUNK):
            inside = slice(first, min(first + CHUNK, stop))
            columns = np.ascontiguousarray(features[inside].T)
            yield pa.table([*map(pa.array, columns), pa.array(labels[inside])], names=[*dense_names(), "label"])

    return tables


def write_files(directory: Path, files: int, start: int, stop: int, tables: Callable) -> None:
    """Write rows ``start`` to ``stop`` as Parquet files (zstd) of about equal size, one table after the other."""
    directory.mkdir()
    edges = np.linspace(start, stop, files + 1).astype(int)
    for number, (first, last) in enumerate(pairwise(edges)):
        writer = None
        for table in tables(int(first), int(last)):
            if writer is None:
                writer = pq.ParquetWriter(directory / f"part-{number}.parquet", table.schema, compression="zstd")
            writer.write_table(table)
        if writer is not None:
            writer.close()


def dense(rows: int = 1_000_000) -> Path:
    """Make or find the dense set.

    Returns
    -------
    Path
        A directory with ``train_X.npy``, ``train_y.npy`` and the same as Parquet under ``train/`` (100 float columns and
        ``label``); likewise ``test``, the last tenth of the rows.
    """
    return cached(f"dense-{rows}", lambda directory: _write_dense(directory, rows))


def load_dense(rows: int, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Features (n, 100) float32 and labels (n,) int32 of ``part`` ("train" or "test"), in memory."""
    directory = dense(rows)
    return np.load(directory / f"{part}_X.npy"), np.load(directory / f"{part}_y.npy")
