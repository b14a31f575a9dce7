"""The files of a fit's checkpoints, on any filesystem that pyarrow knows.

``fit.json`` says whose they are. A checkpoint is a directory of parts, arrays in safetensors files, and a header that is written
last and names every part with its size and digest: without its header a checkpoint is not there, so nobody sees half of one,
also where a directory cannot be renamed at once. What is read back is data from outside: sizes are compared before anything is
read, names cannot lead elsewhere, and whatever is wrong is a CheckpointError.
"""

import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from safetensors import SafetensorError
from safetensors.numpy import load as unpack
from safetensors.numpy import save as pack

from ...errors import CheckpointError, ConfigError
from .storage import Directory, Storage

FORMAT, VERSION = "dsgd-checkpoint", 1
_OWNER, _HEADER = "fit.json", "header.json"
_NAME = re.compile(r"checkpoint-(\d{9})$")
_PART = re.compile(r"part-\d{5}-\d{5}\.safetensors")
# Bytes of values in one file, which is in memory a second time while it is written; and of a JSON file, at most.
_PART_BYTES, _JSON_BYTES = 128 << 20, 64 << 20


class Folder:
    """A directory of checkpoints.

    Parameters
    ----------
    path : str
        A path of this machine, or a URI.
    storage : Storage, optional
        Where the files are, if not in a directory.

    Attributes
    ----------
    uri, everywhere : str
        As of :class:`Storage`.

    Raises
    ------
    ConfigError
        When pyarrow knows no such filesystem.
    """

    def __init__(self, path: str, storage: Storage | None = None):
        self._files: Storage = Directory(path) if storage is None else storage
        self.uri, self.everywhere = self._files.uri, self._files.everywhere

    # ---- whose they are

    def owner(self) -> dict[str, Any] | None:
        """What ``fit.json`` says; None where there is none, also beside remains of checkpoints that were never ended.

        Raises
        ------
        ConfigError
            When the directory holds something else.
        CheckpointError
            When it cannot be read.
        """
        names = self._files.names()
        if _OWNER not in names:
            if not all(name == f"{_OWNER}.partial" or _NAME.fullmatch(name) for name in names) or self.numbers():
                raise ConfigError(
                    f"checkpoint={self.uri!r} is a directory that holds something else; name one that is empty or does not exist"
                )
            return None
        return self._json(_OWNER)

    def claim(self, owner: Mapping[str, Any]) -> None:
        """Say whose the checkpoints are from now on.

        Raises
        ------
        ConfigError
            When nothing can be written there.
        """
        try:
            self._files.write(_OWNER, json.dumps({"format": FORMAT, "version": VERSION, **owner}).encode())
        except (pa.ArrowException, OSError) as error:
            raise ConfigError(f"checkpoint={self.uri!r} cannot be written: {error}") from error

    def clear(self) -> None:
        """Remove all checkpoints, and the directory if nothing else is in it."""
        for name in self._files.names():
            if _NAME.fullmatch(name):
                self._files.remove(name)
        for name in (_OWNER, f"{_OWNER}.partial"):
            if name in self._files.names():
                self._files.remove(name)
        self._files.close()

    # ---- checkpoints

    def numbers(self) -> list[int]:
        """The checkpoints that have a header, newest first."""
        found = (_NAME.fullmatch(name) for name in self._files.names())
        numbers = sorted((int(match[1]) for match in found if match), reverse=True)
        return [number for number in numbers if self._files.size(f"{_name(number)}/{_HEADER}") is not None]

    def write_part(self, number: int, part: int, arrays: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
        """Write a rank's arrays; return what the header is to say of the files."""
        records = []
        for serial, (names, tensors) in enumerate(_pieces(arrays)):
            data, file = pack(tensors), f"part-{part:05d}-{serial:05d}.safetensors"
            self._files.write(f"{_name(number)}/{file}", data)
            digest = hashlib.sha256(data).hexdigest()
            records.append({"file": file, "bytes": len(data), "sha256": digest, "arrays": names})
        return records

    def finish(self, number: int, header: Mapping[str, Any], keep: int) -> None:
        """Write the header, which makes the checkpoint one, and remove those that are too old, and remains."""
        content = {"format": FORMAT, "version": VERSION, **header}
        data = json.dumps({**content, "digest": digest_of(content)}).encode()
        self._files.write(f"{_name(number)}/{_HEADER}", data)
        kept = {_name(old) for old in self.numbers()[:keep]}
        for name in self._files.names():
            if _NAME.fullmatch(name) and name not in kept:
                self._files.remove(name)

    def header(self, number: int) -> dict[str, Any]:
        """A checkpoint's header, once its parts are known to be there in full length.

        Raises
        ------
        CheckpointError
        """
        name = _name(number)
        header = self._json(f"{name}/{_HEADER}")
        if header.pop("digest", None) != digest_of(header):
            raise CheckpointError(f"{self.uri}/{name}/{_HEADER} is damaged: its digest differs")
        try:
            for records in header["parts"]:
                for record in records:
                    self._check(number, record)
                _check_sizes(records)
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"{self.uri}/{name}/{_HEADER} is damaged: {error!r}") from error
        return header

    def part(self, number: int, records: list[dict[str, Any]]) -> dict[str, np.ndarray]:
        """The arrays that :meth:`write_part` was given, from what it returned.

        Raises
        ------
        CheckpointError
        """
        arrays: dict[str, np.ndarray] = {}
        for record in records:
            data = self._read(f"{_name(number)}/{record['file']}")
            if hashlib.sha256(data).hexdigest() != record["sha256"]:
                raise CheckpointError(
                    f"{self.uri}: {record['file']} of checkpoint {number} is damaged: its digest differs"
                )
            try:
                tensors = unpack(data)
                for key, name, shape, start in record["arrays"]:
                    whole = arrays.setdefault(name, np.zeros(shape, tensors[key].dtype))
                    whole.reshape(-1)[start : start + tensors[key].size] = tensors[key]
            except (SafetensorError, KeyError, TypeError, ValueError) as error:
                raise CheckpointError(
                    f"{self.uri}: {record['file']} of checkpoint {number} is damaged: {error}"
                ) from error
        return arrays

    def _check(self, number: int, record: Mapping[str, Any]) -> None:
        file = record["file"]
        if not isinstance(file, str) or not _PART.fullmatch(file):
            raise CheckpointError(f"{self.uri}: checkpoint {number} names {file!r}, which is no part of a checkpoint")
        size = self._files.size(f"{_name(number)}/{file}")
        if size != record["bytes"]:
            raise CheckpointError(f"{self.uri}: {file} of checkpoint {number} has {size} bytes, not {record['bytes']}")

    # ---- files

    def _read(self, name: str) -> bytes:
        try:
            return self._files.read(name)
        except (pa.ArrowException, OSError) as error:
            raise CheckpointError(f"{self.uri}/{name} cannot be read: {error}") from error

    def _json(self, name: str) -> dict[str, Any]:
        if (self._files.size(name) or 0) > _JSON_BYTES:
            raise CheckpointError(f"{self.uri}/{name} is too large to be one of a checkpoint")
        try:
            content = json.loads(self._read(name))
        except (ValueError, RecursionError) as error:
            raise CheckpointError(f"{self.uri}/{name} is damaged: it is not JSON ({error})") from error
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise CheckpointError(f"{self.uri}/{name} is not of a checkpoint of dsgd")
        if content.get("version") != VERSION:
            raise CheckpointError(
                f"{self.uri}/{name} has version {content.get('version')!r} and this version of dsgd reads {VERSION}; go on with "
                "the version that wrote it, or begin anew with Checkpoint(..., resume=False)"
            )
        return content


def _name(number: int) -> str:
    return f"checkpoint-{number:09d}"


def digest_of(content: Mapping[str, Any]) -> str:
    """What a header says of itself, by which one that was damaged is told."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _check_sizes(records: list[dict[str, Any]]) -> None:
    """Raise ValueError when a part's files cannot hold the arrays that they are said to."""
    shapes = {name: shape for record in records for _, name, shape, _ in record["arrays"]}
    if any(not isinstance(length, int) or length < 0 for shape in shapes.values() for length in shape):
        raise ValueError("a shape that cannot be")
    if sum(math.prod(shape) for shape in shapes.values()) > sum(record["bytes"] for record in records):
        raise ValueError("more values than bytes")


def _pieces(arrays: Mapping[str, np.ndarray]) -> Iterator[tuple[list[list[Any]], dict[str, np.ndarray]]]:
    """The arrays in files of bounded size: what each holds as (key, array, its shape, first value), and the tensors."""
    names: list[list[Any]] = []
    tensors: dict[str, np.ndarray] = {}
    size = 0
    for name, array in arrays.items():
        flat = array.reshape(-1)
        step = max(1, _PART_BYTES // flat.itemsize)
        for start in range(0, max(flat.size, 1), step):
            # A vector that lies among others is copied piece by piece: it may be most of what a machine has room for.
            piece = np.ascontiguousarray(flat[start : start + step])
            if tensors and size + piece.nbytes > _PART_BYTES:
                yield names, tensors
                names, tensors, size = [], {}, 0
            key = f"{name}@{start}"
            names.append([key, name, list(array.shape), start])
            tensors[key] = piece
            size += piece.nbytes
    if tensors:
        yield names, tensors
