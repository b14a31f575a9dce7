"""Rows that came from several ranks, a block of their columns each: pieces of Arrow in a file, and read from there as a dataset.

A piece is some rows of one rank, with its identity: the rank that read the rows, the piece's number among those of that rank, and
the number of its rows. Ranks that own other columns of the same rows have the same pieces, in the same order.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from ..errors import ConfigError, WorkerLost
from .dataset import Dataset, Split
from .layout import Layout
from .resolve import Roles
from .spec import FeatureSpec
from .where import Where

_KEY = b"dsgd-piece"
# A column beside those of the block, the last one: numbers of the rows, where they do not follow each other.
_ROWS = "dsgd-rows"
_LENGTH = 8


@dataclass(frozen=True)
class Identity:
    """Which rows a piece has: piece ``number`` (from 0) of those that ``rank`` has read, of so many ``rows``."""

    rank: int
    number: int
    rows: int


@dataclass(frozen=True)
class _Kept:
    """A piece in the file."""

    identity: Identity
    offset: int
    length: int


def pack_piece(identity: Identity, batch: pa.RecordBatch, where: Where) -> pa.Buffer:
    """A piece as the bytes of an Arrow stream."""
    if where.numbers is not None:
        batch = pa.RecordBatch.from_arrays(
            [*batch.columns, pa.array(where.numbers)], names=[*batch.schema.names, _ROWS]
        )
    said = {**vars(identity), "path": where.path, "first": where.first, "numbered": where.numbers is not None}
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema.with_metadata({_KEY: json.dumps(said).encode()})) as stream:
        stream.write_batch(batch.replace_schema_metadata({_KEY: json.dumps(said).encode()}))
    return sink.getvalue()


def join_pieces(packed: Sequence[pa.Buffer]) -> np.ndarray:
    """Packed pieces as one array of bytes, each after its length."""
    parts = []
    for buffer in packed:
        parts += [np.array([buffer.size], np.int64).view(np.uint8), np.frombuffer(buffer, np.uint8)]
    return np.concatenate(parts) if parts else np.empty(0, np.uint8)


def split_pieces(payload: np.ndarray) -> Iterator[tuple[Identity, np.ndarray]]:
    """The inverse of :func:`join_pieces`, with the pieces' identities."""
    start = 0
    while start < len(payload):
        length = int(payload[start : start + _LENGTH].view(np.int64)[0])
        packed = payload[start + _LENGTH : start + _LENGTH + length]
        said = _said(pa.ipc.open_stream(pa.py_buffer(packed)).schema)
        yield Identity(said["rank"], said["number"], said["rows"]), packed
        start += _LENGTH + length


def _said(schema: pa.Schema) -> dict:
    return json.loads((schema.metadata or {})[_KEY])


class Spool:
    """Pieces in a file of their own below ``directory``, in the order in which they are added; ``close`` removes it.

    Parameters
    ----------
    directory : str
    most : int, optional
        Bytes that the file may have.

    Attributes
    ----------
    bytes : int
        That it has.
    """

    def __init__(self, directory: str, most: int | None = None):
        os.makedirs(directory, exist_ok=True)
        descriptor, self.path = tempfile.mkstemp(prefix="pieces-", suffix=".arrow", dir=directory)
        self._file = os.fdopen(descriptor, "wb")
        self._kept: list[_Kept] = []
        self._most = most
        self.bytes = 0

    def add(self, identity: Identity, packed: np.ndarray) -> None:
        """Append a piece.

        Raises
        ------
        ConfigError
            When the file would become too long, or the disk is full or cannot be written.
        """
        if self._most is not None and self.bytes + len(packed) > self._most:
            raise ConfigError(
                f"a frame's rows, divided by columns, lie in a file of each worker until the fit ends, and take more than the "
                f"{self._most:,} bytes that cache_bytes leaves; allow more, or train from Parquet files, of which every worker "
                "reads its own columns"
            )
        try:
            self._file.write(packed.data)
        except OSError as error:
            raise ConfigError(
                f"rows that came from other ranks could not be written to {self.path}: {error}; use a directory with more room"
            ) from error
        self._kept.append(_Kept(identity, self.bytes, len(packed)))
        self.bytes += len(packed)

    def digest(self) -> str:
        """A short text that says which pieces there are, in which order."""
        identities = [(kept.identity.rank, kept.identity.number, kept.identity.rows) for kept in self._kept]
        return f"{sum(rows for *_, rows in identities)} rows, {hashlib.sha256(repr(identities).encode()).hexdigest()}"

    def dataset(self, spec: FeatureSpec, roles: Roles, ranks: int, cut_like: Layout) -> "TransposedDataset":
        """The rows, of a block's columns; nothing is added any more."""
        try:
            self._file.close()
        except OSError as error:
            raise ConfigError(f"{self.path} could not be written: {error}; use a directory with more room") from error
        return TransposedDataset(self.path, self._kept, spec, roles, ranks, cut_like)

    def close(self) -> None:
        """Remove the file; safe to call twice."""
        try:
            self._file.close()
        finally:
            if os.path.exists(self.path):
                os.unlink(self.path)


class TransposedDataset(Dataset):
    """The rows of a :class:`Spool`, a split a piece; ``ranks`` is the number of ranks that they came from."""

    def __init__(
        self, path: str, kept: Sequence[_Kept], spec: FeatureSpec, roles: Roles, ranks: int, cut_like: Layout | None
    ):
        self._path, self._spec, self.roles, self._ranks, self.cut_like = path, spec, roles, ranks, cut_like
        self._pieces = list(kept)
        self._places = {self._index(piece): piece for piece in self._pieces}

    def __repr__(self):
        return f"TransposedDataset({len(self._pieces)} pieces, {self.roles})"

    def _index(self, piece: _Kept) -> int:
        """Says rank and number: the block's key of rows that are encoded together begins with it."""
        return piece.identity.number * self._ranks + piece.identity.rank

    @property
    def spec(self) -> FeatureSpec:
        """The features."""
        return self._spec

    def with_spec(self, spec: FeatureSpec) -> "TransposedDataset":
        """Return the same rows with other features."""
        return TransposedDataset(self._path, self._pieces, spec, self.roles, self._ranks, self.cut_like)

    def splits(self) -> list[Split]:
        """The pieces, in their order."""
        return [Split("", 0, 0, piece.identity.rows, index=self._index(piece)) for piece in self._pieces]

    def read_located(self, split: Split, batch_rows: int, threads: int = 1) -> Iterator[tuple[pa.RecordBatch, Where]]:
        """Yield a piece's rows, named as the rank that read them would name them."""
        piece = self._places[split.index]
        if not os.path.exists(self._path):
            raise WorkerLost(
                f"rows that came from other ranks are gone from {self._path}; was local disk tidied up meanwhile?"
            )
        with pa.OSFile(self._path) as file:  # mapped pages would stay resident
            file.seek(piece.offset)
            packed = file.read_buffer(piece.length)
        with pa.ipc.open_stream(packed) as stream:
            said, batch = _said(stream.schema), stream.read_next_batch()
        numbers = np.asarray(batch.column(batch.num_columns - 1)) if said["numbered"] else None
        rows = batch.slice(split.start, split.rows)
        for start in range(0, rows.num_rows, batch_rows):
            where = Where(said["path"], said["first"], numbers).after(split.start + start)
            yield rows.slice(start, batch_rows), where
