"""A model as a directory: ``model.json`` and ``weights*.safetensors``; the same in every package, and never a pickle.

``model.json`` says what the weights are of: format and version, kind, features, loss, classes with their type, and the fit's
history. Weights are cut into files of at most 256 MiB, and kept as (position, value) when most of them are zero. A
directory appears under its name when it is whole: it is written beside its place and renamed; in an object store, which
cannot rename, ``model.json`` is written last. Paths may be local, or URIs that pyarrow's filesystems open.
"""

import json
import uuid
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..data.spec import FeatureSpec
from ..errors import CheckpointError, DSGDError
from ..losses import make_loss
from . import weights
from .model import LinearModel
from .place import HEADER, Place

FORMAT, VERSION = "dsgd-model", 1
_CLASS_TYPES: dict[str, Any] = {"int": np.int64, "float": np.float64, "bool": np.bool_, "string": np.str_}
_KINDS = {"i": "int", "u": "int", "f": "float", "b": "bool", "U": "string"}
# Where a rename is a copy of every byte, and not atomic.
_OBJECT_STORES = ("s3", "gcs", "abfs")


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
    files = weights.encode(model.coef, model.intercept)
    header = json.dumps(_header(model, sorted(files)), indent=1, allow_nan=False).encode()
    files |= beside or {}
    if place.filesystem.type_name in _OBJECT_STORES:
        place.remove(place.path)
        place.write(place.path, files)
        place.write(place.path, {HEADER: header})
        return
    unfinished = f"{place.path}.{uuid.uuid4().hex[:8]}.unfinished"
    try:
        place.write(unfinished, files)
        place.write(unfinished, {HEADER: header})
        place.swap(unfinished)
    finally:
        place.remove(unfinished)


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
    place = Place.of(path)
    header = _read_header(place)
    try:
        classes, spec = _classes(header), _spec(header)
        shape = tuple(header["weights"]["shape"])
        expected = (1 if header["outputs"] == "single" else len(classes), spec.layout.size)  # type: ignore[arg-type]
        if shape != expected:
            raise ValueError(f"its weights are of shape {shape} and its features and classes need {expected}")
        files = {name: place.read(name) for name in header["weights"]["files"]}
        coef, intercept = weights.decode(files, shape, str(header["weights"]["dtype"]), place.uri)
        return _model(header, classes, spec, coef, intercept)
    except CheckpointError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(
            f"{place.uri}/{HEADER} is damaged: {type(error).__name__}: {error}; save the model again"
        ) from error


def read_beside(path: Any, name: str) -> bytes | None:
    """Return a file that was saved beside a model, or None when there is none of that name."""
    place = Place.of(path)
    return place.content(name) if place.exists(f"{place.path}/{name}") else None


def _header(model: LinearModel, files: list[str]) -> dict[str, Any]:
    classes = None
    if model.classes is not None:
        classes = {"type": _KINDS[model.classes.dtype.kind], "values": model.classes.tolist()}
    return {
        "format": FORMAT,
        "format_version": VERSION,
        "kind": "linear",
        "task": model.task,
        "loss": model.loss,
        "loss_parameters": model.loss_parameters,
        "outputs": model.outputs,
        "classes": classes,
        "spec": model.spec.to_dict(),
        "weights": {"files": files, "shape": list(model.coef.shape), "dtype": model.coef.dtype.name},
        "fit": {
            "epochs": model.epochs,
            "steps": model.steps,
            "converged": model.converged,
            "history": [{name: _plain(value) for name, value in record.items()} for record in model.history],
        },
    }


def _plain(value: Any) -> Any:
    """A value of the history as JSON has it; numbers that are not finite, which JSON has not, become None."""
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _classes(header: dict[str, Any]) -> np.ndarray | None:
    if header["classes"] is None:
        return None
    return np.array(header["classes"]["values"], _CLASS_TYPES[header["classes"]["type"]])


def _spec(header: dict[str, Any]) -> FeatureSpec:
    if header["outputs"] not in ("single", "softmax", "ovr"):
        raise ValueError(f"outputs is {header['outputs']!r}")
    try:
        make_loss(header["loss"], **header["loss_parameters"])
        return FeatureSpec.from_dict(header["spec"])
    except DSGDError as error:
        raise ValueError(str(error)) from error


def _model(
    header: dict[str, Any], classes: np.ndarray | None, spec: FeatureSpec, coef: np.ndarray, intercept: np.ndarray
) -> LinearModel:
    fit = header["fit"]
    return LinearModel(
        coef=coef,
        intercept=intercept,
        classes=classes,
        spec=spec,
        loss=header["loss"],
        loss_parameters=dict(header["loss_parameters"]),
        outputs=header["outputs"],
        epochs=int(fit["epochs"]),
        steps=int(fit["steps"]),
        history=tuple(fit["history"]),
        converged=bool(fit["converged"]),
    )


def _read_header(place: Place) -> dict[str, Any]:
    try:
        header = json.loads(place.read(HEADER))
    except ValueError as error:
        raise CheckpointError(f"{place.uri}/{HEADER} is damaged: it is not JSON ({error})") from error
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise CheckpointError(f"{place.uri}/{HEADER} is not of a model of dsgd: its format is not {FORMAT!r}")
    if header.get("format_version") != VERSION:
        raise CheckpointError(
            f"{place.uri} has format_version {header.get('format_version')!r} and this version of dsgd reads {VERSION}; "
            "load it with the version that saved it"
        )
    if header.get("kind") != "linear":
        raise CheckpointError(f"{place.uri} holds a model of kind {header.get('kind')!r}; this version reads 'linear'")
    return header
