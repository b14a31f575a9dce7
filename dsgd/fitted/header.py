"""What ``model.json`` says of a model, and what it must not say: it is data from outside.

In comes a model, out goes what JSON can hold; and back, part by part, ValueError for what cannot be.
"""

from typing import Any

import numpy as np

from ..data.spec import FeatureSpec
from ..errors import CheckpointError, DSGDError
from ..foreign import read_object
from ..losses import make_loss
from .model import LinearModel
from .place import HEADER, Place

# Version 2 has its weights in shards: see dsgd.fitted.shards.
FORMAT, VERSION, SHARDED = "dsgd-model", 1, 2
_CLASS_TYPES: dict[str, Any] = {"int": np.int64, "float": np.float64, "bool": np.bool_, "string": np.str_}
_KINDS = {"i": "int", "u": "int", "f": "float", "b": "bool", "U": "string"}


def read_header(place: Place) -> dict[str, Any]:
    """The header of the model at a place, of a format that this version reads.

    Raises
    ------
    CheckpointError
    """
    header = read_object(place.read(HEADER), f"{place.uri}/{HEADER}", CheckpointError)
    if header.get("format") != FORMAT:
        raise CheckpointError(f"{place.uri}/{HEADER} is not of a model of dsgd: its format is not {FORMAT!r}")
    if header.get("format_version") not in (VERSION, SHARDED):
        raise CheckpointError(
            f"{place.uri} has format_version {header.get('format_version')!r} and this version of dsgd reads {VERSION} and "
            f"{SHARDED}; load it with the version that saved it"
        )
    if header.get("kind") != "linear":
        raise CheckpointError(f"{place.uri} holds a model of kind {header.get('kind')!r}; this version reads 'linear'")
    return header


def header_of(model: LinearModel, held: dict[str, Any]) -> dict[str, Any]:
    """What is said of a model whose weights are kept as ``held`` says."""
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
        "weights": held,
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


def classes_of(header: dict[str, Any]) -> np.ndarray | None:
    """A classifier's classes; ValueError, as of the other parts, where they cannot be."""
    if header["classes"] is None:
        return None
    classes = np.array(header["classes"]["values"], _CLASS_TYPES[header["classes"]["type"]])
    few = len(classes) < 2 or (header["outputs"] == "single" and len(classes) > 2)
    if classes.ndim != 1 or few:
        raise ValueError(f"its classes are of shape {classes.shape}, and its outputs {header['outputs']!r}")
    return classes


def spec_of(header: dict[str, Any]) -> FeatureSpec:
    """The features, once loss and outputs are known to be some."""
    if header["outputs"] not in ("single", "softmax", "ovr"):
        raise ValueError(f"outputs is {header['outputs']!r}")
    try:
        make_loss(header["loss"], **header["loss_parameters"])
        return FeatureSpec.from_dict(header["spec"])
    except DSGDError as error:
        raise ValueError(str(error)) from error


def fields_of(
    header: dict[str, Any], classes: np.ndarray | None, spec: FeatureSpec, intercept: np.ndarray
) -> dict[str, Any]:
    """All of a model's fields but its weights."""
    fit = header["fit"]
    if not isinstance(fit["history"], list) or not all(isinstance(record, dict) for record in fit["history"]):
        raise ValueError("its history is no list of epochs")
    return {
        "intercept": intercept,
        "classes": classes,
        "spec": spec,
        "loss": header["loss"],
        "loss_parameters": dict(header["loss_parameters"]),
        "outputs": header["outputs"],
        "epochs": int(fit["epochs"]),
        "steps": int(fit["steps"]),
        "history": tuple(fit["history"]),
        "converged": bool(fit["converged"]),
    }
