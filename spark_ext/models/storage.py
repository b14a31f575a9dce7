"""Directories on the filesystems that Spark knows: HDFS, object stores through Hadoop's connectors, the driver's own disk.

In comes a path as Spark takes it; one without a scheme is on the session's default filesystem. Out goes a path that dsgd
saves to and loads from: the path itself on a local disk, on what only pyarrow knows, and through Spark Connect, whose client
has no JVM; a temporary copy otherwise, which the JVM carries there or back.
"""

import contextlib
import os
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pyspark.sql import SparkSession

from dsgd.errors import CheckpointError, ConfigError
from dsgd.fitted.place import HEADER


@contextlib.contextmanager
def written(session: SparkSession | None, path: str, overwrite: bool) -> Iterator[str]:
    """Give a path to save a model to; what is there when the block ends is at ``path``.

    Raises
    ------
    ConfigError
        When something is at ``path`` already, and it is no model or is not to be replaced.
    """
    with _in_words(path):
        place = _place(session, path)
        if not isinstance(place, str):
            place.check_free(overwrite)
    if isinstance(place, str):
        yield place
        return
    with tempfile.TemporaryDirectory(prefix="dsgd-") as folder:
        copy = os.path.join(folder, "model")
        yield copy
        with _in_words(path):
            place.put(copy)


@contextlib.contextmanager
def readable(session: SparkSession | None, path: str) -> Iterator[str]:
    """Give a path to load the model at ``path`` from.

    Raises
    ------
    CheckpointError
        When there is nothing at ``path``.
    """
    with _in_words(path):
        place = _place(session, path)
    if isinstance(place, str):
        yield place
        return
    with tempfile.TemporaryDirectory(prefix="dsgd-") as folder:
        copy = os.path.join(folder, "model")
        with _in_words(path):
            place.get(copy)
        yield copy


@contextlib.contextmanager
def _in_words(path: str) -> Iterator[None]:
    """Say what a filesystem of Hadoop's did not do, without its stack."""
    try:
        from py4j.protocol import Py4JJavaError
    except ImportError:  # A client of Connect need not have it, and has no JVM.
        yield
        return
    try:
        yield
    except Py4JJavaError as error:
        cause = str(error.java_exception.toString()).splitlines()[0]
        raise CheckpointError(f"{path} cannot be reached: {cause}") from None


def _place(session: SparkSession | None, path: str) -> "str | _Remote":
    """A path that dsgd reaches by itself, or a directory that only the JVM reaches."""
    if session is None or type(session).__module__.startswith("pyspark.sql.connect"):
        return path
    from py4j.protocol import Py4JJavaError

    jvm: Any = session._jvm
    configuration = session._jsparkSession.sessionState().newHadoopConf()
    found = jvm.org.apache.hadoop.fs.Path(path)
    scheme = found.toUri().getScheme()
    try:
        if scheme is not None:
            jvm.org.apache.hadoop.fs.FileSystem.getFileSystemClass(scheme, configuration)
    except Py4JJavaError:
        return path  # Hadoop does not know the scheme; pyarrow may
    filesystem = found.getFileSystem(configuration)
    found = filesystem.makeQualified(found)
    if found.toUri().getScheme() == "file":
        return found.toUri().getPath()  # Hadoop also writes file:/tmp/model
    return _Remote(jvm, filesystem, found)


@dataclass(frozen=True)
class _Remote:
    """A directory on one of Hadoop's filesystems."""

    jvm: Any
    filesystem: Any
    path: Any

    def check_free(self, overwrite: bool) -> None:
        if not self.filesystem.exists(self.path):
            return
        if not overwrite:
            raise ConfigError(f"{self.path} exists already; name another place, or save with write().overwrite()")
        if not self.filesystem.exists(self._path(self.path, HEADER)):
            raise ConfigError(f"{self.path} is not a saved model, so it is not replaced; name another place")

    def put(self, local: str) -> None:
        """Copy a local directory here: under another name first, so that what bears the name is whole.

        What was here steps aside, and comes back if the new one cannot take its place.
        """
        unfinished, aside = (self._path(f"{self.path}.{uuid.uuid4().hex[:8]}.{end}") for end in ("unfinished", "old"))
        replaced = self.filesystem.exists(self.path)
        try:
            self.filesystem.copyFromLocalFile(self._path(f"file://{local}"), unfinished)
            if replaced:
                self._rename(self.path, aside)
            try:
                self._rename(unfinished, self.path)
            except BaseException:
                if replaced:
                    self._rename(aside, self.path)
                raise
            if replaced:
                self.filesystem.delete(aside, True)
        finally:
            self.filesystem.delete(unfinished, True)

    def _rename(self, source: Any, target: Any) -> None:
        if not self.filesystem.rename(source, target):
            raise OSError(f"{source} could not be renamed to {target}")

    def get(self, local: str) -> None:
        """Copy the directory to a local one."""
        if not self.filesystem.exists(self.path):
            raise CheckpointError(f"there is no saved model at {self.path}")
        raw = True  # without the checksum files that Hadoop keeps on local disks
        self.filesystem.copyToLocalFile(False, self.path, self._path(f"file://{local}"), raw)

    def _path(self, *parts: Any) -> Any:
        return self.jvm.org.apache.hadoop.fs.Path(*parts)
