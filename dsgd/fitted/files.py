"""A model as a directory: ``model.json`` and ``weights*.safetensors``; the same in every package, and never a pickle.

``model.json`` says what the weights are of: format and version, kind, features, loss, classes with their type, and the fit's
history. Weights are cut into files of at most 256 MiB, and kept as (position, value) when most of them are zero. A
directory appears under its name when it is whole: it is written beside its place and renamed; in an object store, which
cannot rename, ``model.json`` is written last. Paths may be local, or URIs that pyarrow's filesystems open.
"""

import hashlib
import json
import uuid
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..data.spec import FeatureSpec
from ..errors import CheckpointError, ConfigError
from . import weights
from .header import SHARDED, classes_of, fields_of, header_of, read_header, spec_of
from .model import LinearModel
from .place import HEADER, Place
from .shards.record import Shards
from .shards.stored import StoredModel, all_but_weights


def save(model: LinearModel, path: Any, *, overwrite: bool = False, beside: Mapping[str, bytes] | None = None) -> None:
    """Save a model as a directory.

    Parameters
    ----------
    model : LinearModel
    path : str, path, or URI
    overwrite : bool
        Whether a model that is there may be replaced. A directory that holds no model never is.
    beside : dict of str to bytes, optional
        More files for the directory, by their path inside it; :func:`read_beside` reads them.

    Raises
    ------
    ConfigError
        When there is something at ``path`` already, or the filesystem is unknown.

    Examples
    --------
    >>> import tempfile
    >>> spec = FeatureSpec(("x",))
    >>> model = LinearModel(np.array([[2.0]]), np.array([-1.0]), None, spec, "squared_error")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     model.save(folder + "/model")
    ...     load(folder + "/model").coef.tolist()
    [[2.0]]
    """
    place = Place.of(path)
    place.check_free(overwrite)
    if not place.renames:
        _save_in_place(place, model, dict(beside or {}))
        return
    unfinished = f"{place.path}.{uuid.uuid4().hex[:8]}.unfinished"
    files, header = _content(model)
    try:
        _write(place, unfinished, {**files, **(beside or {})}, model)
        place.write(unfinished, {HEADER: header})
        place.swap(unfinished)
    finally:
        place.remove(unfinished)


def _save_in_place(place: Place, model: LinearModel, beside: dict[str, bytes]) -> None:
    """Save where a directory cannot be renamed: new files lie beside the old ones until the header takes the old one's place."""
    if isinstance(model, StoredModel) and model.place == place:
        raise ConfigError(f"{place.uri} is where the model has its weights; name another place")
    files, header = _content(model, f"-{uuid.uuid4().hex[:8]}")
    names = {shard.file for shard in model.shards.parts} if isinstance(model, StoredModel) else set(files)
    before = place.files()
    replaced = {name: place.content(name) for name in beside if name in before}
    try:
        _write(place, place.path, files, model)
        place.write(place.path, beside)
        place.write(place.path, {HEADER: header})
    except BaseException:
        place.remove_files({*names, *beside} - before)
        place.write(place.path, replaced)
        raise
    # Not what another save has written meanwhile.
    place.remove_files(before - {HEADER, *names, *beside})


def _content(model: LinearModel, mark: str = "") -> tuple[dict[str, bytes], bytes]:
    """A model's files but for its header and for weights that are on disk, and its header."""
    if isinstance(model, StoredModel):
        files, described = {}, sharded_header(model)
    else:
        files = weights.encode(model.coef, model.intercept, mark=mark)
        digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
        held = {"files": sorted(files), "shape": list(model.coef.shape), "dtype": model.coef.dtype.name}
        described = header_of(model, held | {"sha256": digests})
    return files, json.dumps(described, indent=1, allow_nan=False).encode()


def _write(place: Place, directory: str, files: dict[str, bytes], model: LinearModel) -> None:
    """Write files, and copy the weights of a model that has them on disk."""
    place.write(directory, files)
    if isinstance(model, StoredModel):
        model.copy_weights(place, directory)


def load(path: Any) -> LinearModel:
    """Load a model that any of the packages has saved.

    Parameters
    ----------
    path : str, path, or URI that pyarrow's filesystems open

    Returns
    -------
    LinearModel

    Raises
    ------
    CheckpointError
        When there is no model, or it is damaged, or of a format that this version cannot read; says which file.
    """
    found = opened(path)
    return LinearModel(coef=found.coef, **all_but_weights(found)) if isinstance(found, StoredModel) else found


def opened(path: Any) -> LinearModel:
    """Load a model, but for weights in shards: then it is a :class:`StoredModel`; parameters and errors are those of load."""
    place = Place.of(path)
    header = read_header(place)
    try:
        classes, spec = classes_of(header), spec_of(header)
        shape = tuple(header["weights"]["shape"])
        expected = (1 if header["outputs"] == "single" else len(classes), spec.layout.size)  # type: ignore[arg-type]
        if shape != expected:
            raise ValueError(f"its weights are of shape {shape} and its features and classes need {expected}")
        if header["format_version"] == SHARDED:
            return _stored(place, header, classes, spec)
        names = header["weights"]["files"]
        if not isinstance(names, list):
            raise ValueError(f"its files are {str(names)[:80]!r}")
        files = {name: place.read(name) for name in names}
        _check_digests(place, files, header["weights"].get("sha256"))
        coef, intercept = weights.decode(files, shape, str(header["weights"]["dtype"]), place.uri)
        return LinearModel(coef=coef, **fields_of(header, classes, spec, intercept))
    except CheckpointError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise CheckpointError(
            f"{place.uri}/{HEADER} is damaged: {type(error).__name__}: {error}; save the model again"
        ) from error


def read_beside(path: Any, name: str) -> bytes | None:
    """Return a file that was saved beside a model, or None when there is none of that name."""
    place = Place.of(path)
    return place.content(name) if place.exists(f"{place.path}/{name}") else None


def sharded_header(model: StoredModel) -> dict[str, Any]:
    """The header of a model in shards; a few intercepts are in it themselves."""
    held = model.shards.to_dict() | {"intercept": model.intercept.tolist()}
    return header_of(model, held) | {"format_version": SHARDED}


def _stored(place: Place, header: dict[str, Any], classes: np.ndarray | None, spec: FeatureSpec) -> StoredModel:
    shards = Shards.from_dict(header["weights"])
    intercept = np.array(header["weights"]["intercept"], np.float64).astype(shards.numbers)
    if intercept.shape != (shards.outputs,) or not np.isfinite(intercept).all():
        raise ValueError("its intercepts are not finite numbers, one an output")
    model = StoredModel.at(place, shards, **fields_of(header, classes, spec, intercept))
    model.check()
    return model


def _check_digests(place: Place, files: Mapping[str, bytes], digests: Any) -> None:
    """Raise CheckpointError for a file that is not as it was saved; models from before there were digests have none."""
    if digests is None:
        return
    for name, content in files.items():
        if hashlib.sha256(content).hexdigest() != digests[name]:
            raise CheckpointError(f"{place.uri}/{name} is damaged: its digest differs; save the model again")
