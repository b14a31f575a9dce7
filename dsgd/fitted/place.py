"""A place for a saved model on any filesystem that pyarrow knows: in comes a path or a URI, out go files, whole directories.

A directory that is written beside its place and renamed appears whole; what it replaces steps aside, and comes back if that
fails.
"""

import logging
import os
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from pyarrow import fs

from ..errors import CheckpointError, ConfigError

_log = logging.getLogger(__name__)
HEADER = "model.json"
# Where a rename is a copy of every byte, and not atomic.
_OBJECT_STORES = ("s3", "gcs", "abfs")


@dataclass(frozen=True)
class Place:
    """A directory on some filesystem; ``uri`` is what the user called it."""

    filesystem: fs.FileSystem
    path: str
    uri: str

    @classmethod
    def of(cls, path: Any) -> "Place":
        """The place that a path of this machine or a URI names."""
        text = os.fspath(path)
        if "://" not in text:
            return cls(fs.LocalFileSystem(), os.path.abspath(text), text)
        try:
            filesystem, inside = fs.FileSystem.from_uri(text)
        except (pa.ArrowException, OSError) as error:
            raise ConfigError(f"pyarrow has no filesystem for {text!r}: {error}") from error
        return cls(filesystem, inside.rstrip("/"), text.rstrip("/"))

    @property
    def renames(self) -> bool:
        """Whether a directory can be renamed; an object store has none."""
        return self.filesystem.type_name not in _OBJECT_STORES

    @property
    def taken(self) -> bool:
        """Whether there is anything; in an object store a file, as it may keep the mark of a directory whose files are gone."""
        return self.exists(self.path) if self.renames else bool(self.files())

    @property
    def holds_model(self) -> bool:
        """Whether what is there looks like a saved model."""
        return self.exists(f"{self.path}/{HEADER}")

    def exists(self, path: str) -> bool:
        """Whether there is a file or a directory at a path of this filesystem."""
        return self.filesystem.get_file_info(path).type != fs.FileType.NotFound

    def check_free(self, overwrite: bool) -> None:
        """Raise ConfigError when something is here that may not be replaced; what is no model never may."""
        if not self.taken:
            return
        if not overwrite:
            raise ConfigError(f"{self.uri} exists already; name another place, or save with overwrite=True")
        if not self.holds_model:
            raise ConfigError(f"{self.uri} is not a saved model, so it is not replaced; name another place")

    def read(self, name: str) -> bytes:
        """Content of a file that a header names: a header is data from outside, and must not lead elsewhere."""
        if not isinstance(name, str) or "/" in name or "\\" in name:
            raise ValueError(f"{name!r} is not the name of a file beside {HEADER}")
        return self.content(name)

    def content(self, name: str) -> bytes:
        """Content of a file of this directory."""
        if self.filesystem.get_file_info(f"{self.path}/{name}").type is fs.FileType.Unknown:
            # A pipe or a device has no end, and a header may name whatever is beside it.
            raise CheckpointError(f"{self.uri}/{name} is not a file")
        try:
            with self.filesystem.open_input_file(f"{self.path}/{name}") as file:
                return file.read()
        except FileNotFoundError as error:
            raise CheckpointError(f"there is no saved model at {self.uri}: {name} is missing") from error
        except (pa.ArrowException, OSError) as error:
            raise CheckpointError(f"{self.uri}/{name} cannot be read: {error}") from error

    def write(self, directory: str, files: dict[str, bytes]) -> None:
        """Write files, by their path inside a directory, and the directories that they need."""
        for folder in sorted({os.path.dirname(f"{directory}/{name}") for name in files}):
            self.filesystem.create_dir(folder, recursive=True)
        for name, content in files.items():
            with self.filesystem.open_output_stream(f"{directory}/{name}") as stream:
                stream.write(content)

    def swap(self, unfinished: str) -> None:
        """Rename a whole directory to this place; what was there steps aside first, and comes back if that fails."""
        aside = f"{self.path}.{uuid.uuid4().hex[:8]}.old"
        replaced = self.taken
        if replaced:
            self.filesystem.move(self.path, aside)
        try:
            self.filesystem.move(unfinished, self.path)
        except OSError:
            if replaced:
                self.filesystem.move(aside, self.path)
            raise
        if replaced:
            self.remove(aside)

    def files(self) -> set[str]:
        """The files of this directory, by their path inside it; "" is a file in its place."""
        if self.filesystem.get_file_info(self.path).is_file:
            return {""}
        selector = fs.FileSelector(self.path, allow_not_found=True, recursive=True)
        found = self.filesystem.get_file_info(selector)
        return {info.path[len(self.path) :].strip("/") for info in found if info.is_file}

    def remove_files(self, names: Iterable[str]) -> None:
        """Delete files of this directory that nobody needs any more, with a warning where that cannot be."""
        for name in names:
            try:
                self.filesystem.delete_file(f"{self.path}/{name}")
            except FileNotFoundError:
                continue
            except (pa.ArrowException, OSError) as error:
                _log.warning("%s/%s is of no use any more, and cannot be deleted: %s", self.uri, name, error)

    def remove(self, path: str) -> None:
        """Delete a directory, if it is there."""
        if self.exists(path):
            self.filesystem.delete_dir(path)
