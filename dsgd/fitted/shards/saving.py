"""The driver's side of saving: a place for the ranks' files, and the header, which makes them a model, when all are there.

Where a directory can be renamed, the files are written beside their place. An object store cannot: there they are written at
their place, under names that no other model's files have, and the new header replaces the old one at once.
"""

import json
import uuid
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from ...errors import CheckpointError, ConfigError
from ...train.columns.keeping import Keep
from ..place import HEADER, Place
from .reading import check_files
from .record import Shards
from .writing import Target


class Saving:
    """A model on its way to its place; as a context manager, what is not finished leaves nothing.

    Parameters
    ----------
    path : str
        Path or URI.
    overwrite : bool

    Attributes
    ----------
    place : Place
        Where the model will be.
    keep : Keep
        For the fit.

    Raises
    ------
    ConfigError
        When the place is taken, or nothing can be written there.
    """

    def __init__(self, path: str, overwrite: bool):
        found = Place.of(path)
        # What a worker is told must not depend on where it stands.
        self.place = Place(found.filesystem, found.path, found.uri if "://" in found.uri else found.path)
        self._overwrite = overwrite
        self.place.check_free(overwrite)
        self._in_place = not self.place.renames
        end = "" if self._in_place else f".{uuid.uuid4().hex[:8]}.unfinished"
        # What a URI says after a question mark is about the filesystem.
        uri, mark, options = self.place.uri.partition("?" if "://" in self.place.uri else "\0")
        self._there = Place(self.place.filesystem, self.place.path + end, uri.rstrip("/") + end + mark + options)
        self._target = Target.new(self._there.uri)
        self.keep = Keep("dsgd.fitted.shards.writing:ShardWriter", self._target)
        self._before = self.place.files() if self._in_place else set()
        self._finished = False

    def __enter__(self) -> "Saving":
        if not self._in_place:
            try:
                self.place.filesystem.create_dir(self._there.path, recursive=True)
            except (pa.ArrowException, OSError) as error:
                raise ConfigError(f"nothing can be written to {self.place.uri}: {error}; name another place") from error
        return self

    def __exit__(self, *error: object) -> None:
        if self._finished:
            return
        if self._in_place:
            mark = f"weights-{self._target.model[:8]}-"
            self.place.remove_files(name for name in self.place.files() if name.startswith(mark))
        else:
            self.place.remove(self._there.path)

    def shards(self, kept: Sequence[dict[str, Any]], shape: tuple[int, int], dtype: str) -> Shards:
        """What the ranks have written, looked at.

        Raises
        ------
        CheckpointError
            When some of it is not there, or does not make a whole.
        """
        state = {"model": self._target.model, "shape": list(shape), "dtype": dtype, "shards": kept}
        try:
            shards = Shards.from_dict(state)
        except ValueError as error:
            raise CheckpointError(f"the ranks' parts of the model do not make a whole: {error}") from error
        try:
            check_files(self._there, shards)
        except CheckpointError as error:
            raise CheckpointError(
                f"{error}; save_to must be a directory that all workers and this process reach"
            ) from error
        return shards

    def finish(self, header: dict[str, Any]) -> None:
        """Write the header, and let the model take its place."""
        content = json.dumps(header, indent=1, allow_nan=False).encode()
        if not self._in_place or self.place.holds_model:  # else what is there are the ranks' own files
            self.place.check_free(self._overwrite)
        self.place.write(self._there.path, {HEADER: content})
        if not self._in_place:
            self.place.swap(self._there.path)
        self._finished = True
        if self._in_place:
            self.place.remove_files(self._before - {HEADER})
