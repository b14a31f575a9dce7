"""Where predictions go that are written by a rank: one Parquet file, under its name when it is whole."""

import contextlib
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from ...errors import ConfigError
from ..place import Place


@dataclass(frozen=True)
class Output:
    """A file that is to be written by a rank.

    Attributes
    ----------
    uri : str
        Of the unfinished file: a path or a URI.
    keep : tuple of str
        Columns of the data to put beside the predictions.
    """

    uri: str
    keep: tuple[str, ...]

    @contextlib.contextmanager
    def writer(self, schema: pa.Schema) -> Iterator[pq.ParquetWriter]:
        """Open the file for tables of a schema.

        Raises
        ------
        ConfigError
            When it is not where the driver has made it.
        """
        place = self.reached()
        try:
            with pq.ParquetWriter(place.path, schema, compression="zstd", filesystem=place.filesystem) as writer:
                yield writer
        except OSError as error:
            raise ConfigError(f"the predictions cannot be written to {self.uri}: {error}") from error

    def reached(self) -> Place:
        """Its place, seen from a rank; ConfigError when it is not there."""
        place = Place.of(self.uri)
        if not place.taken:
            raise ConfigError(
                f"the rank that writes the predictions does not see {self.uri}; let out be a file that the workers and this "
                "process reach"
            )
        return place


@contextlib.contextmanager
def unfinished(out: Any, keep: tuple[str, ...], overwrite: bool) -> Iterator[Output]:
    """Make an empty file beside ``out`` for a rank to write, and give it that name when the block ends well.

    Raises
    ------
    ConfigError
        When ``out`` exists and may not be replaced, or nothing can be written there.
    """
    found = Place.of(out)
    kind = found.filesystem.get_file_info(found.path).type
    if kind == fs.FileType.Directory:
        raise ConfigError(f"{out} is a directory, and a file is to be written; name a place in it")
    if kind != fs.FileType.NotFound and not overwrite:
        raise ConfigError(f"{out} exists already; name another place, or give overwrite=True")
    remote = "://" in found.uri
    folder, _, name = found.path.rpartition("/")
    other = f".{name}.{uuid.uuid4().hex[:8]}.unfinished"
    path = f"{folder}/{other}"
    # What a URI says after a question mark is about the filesystem.
    address, mark, options = found.uri.partition("?")
    uri = f"{address.rstrip('/').rpartition('/')[0]}/{other}{mark}{options}" if remote else path
    try:
        found.filesystem.open_output_stream(path).close()
    except (pa.ArrowException, OSError) as error:
        raise ConfigError(f"nothing can be written to {folder}: {error}; name another place") from error
    try:
        yield Output(uri, keep)
        if kind != fs.FileType.NotFound and not isinstance(found.filesystem, fs.LocalFileSystem):
            found.filesystem.delete_file(found.path)  # which not all of them replace when a file is renamed
        found.filesystem.move(path, found.path)
    finally:
        if found.exists(path):
            found.filesystem.delete_file(path)
