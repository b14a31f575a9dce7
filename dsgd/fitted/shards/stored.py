"""A model whose weights are on disk: it knows everything else, and reads them, or a part of them, when they are asked for."""

from collections.abc import Sequence
from dataclasses import fields
from functools import cached_property
from typing import Any

import numpy as np
from pyarrow import fs

from ..model import LinearModel
from ..place import Place
from .reading import check_files, read_weights
from .record import Shards


class StoredModel(LinearModel):
    """A :class:`LinearModel` that has its weights in shards.

    ``coef`` reads all of them into memory at first use, and so does what needs it (predictions, too);
    :meth:`weights_at` reads a part.

    Attributes
    ----------
    place : Place
    shards : Shards
    """

    place: Place
    shards: Shards

    @classmethod
    def at(cls, place: Place, shards: Shards, **rest: Any) -> "StoredModel":
        """The model at a place; ``rest`` are the fields of a LinearModel but ``coef``."""
        model = object.__new__(cls)
        vars(model).update(rest, place=place, shards=shards)
        return model

    @cached_property
    def coef(self) -> np.ndarray:
        """All weights, of shape (k, d)."""
        found = read_weights(self.place, self.shards, [(0, self.shards.weights)])
        return np.ascontiguousarray(found.T)

    def weights_at(self, ranges: Sequence[tuple[int, int]], into: np.ndarray | None = None) -> np.ndarray:
        """Return the weights at some ranges of positions, of shape (n, k), in ``into`` if given; nothing else is read.

        Raises
        ------
        CheckpointError
        """
        return read_weights(self.place, self.shards, ranges, into)

    def check(self) -> None:
        """Raise CheckpointError unless all files are there."""
        check_files(self.place, self.shards)

    def copy_weights(self, place: Place, directory: str) -> None:
        """Copy the files of the weights to a directory of another place's filesystem, which is made if need be.

        Raises
        ------
        CheckpointError
        """
        self.check()
        place.filesystem.create_dir(directory, recursive=True)
        for shard in self.shards.parts:
            source, target = f"{self.place.path}/{shard.file}", f"{directory}/{shard.file}"
            fs.copy_files(
                source, target, source_filesystem=self.place.filesystem, destination_filesystem=place.filesystem
            )

    def __getstate__(self):
        return {name: value for name, value in vars(self).items() if name not in ("coef", "_params")}


def all_but_weights(model: LinearModel) -> dict[str, Any]:
    """The fields of a model but ``coef``."""
    return {field.name: getattr(model, field.name) for field in fields(model) if field.name != "coef"}


def without_weights(model: LinearModel) -> LinearModel:
    """Return a model that turns scores into answers, and cannot make scores itself."""
    other = object.__new__(LinearModel)
    vars(other).update(all_but_weights(model))
    return other
