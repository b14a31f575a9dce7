"""A model's weights as safetensors files, and back: whole, or as (position, value) when most of them are zero."""

from collections.abc import Mapping

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as unpack
from safetensors.numpy import save as pack

from ..errors import CheckpointError

# Bytes of values in one file: what fits into a message of any store, and in memory beside the model.
SHARD_BYTES = 256 << 20
_DTYPES = {"float32": np.float32, "float64": np.float64}


def encode(
    coef: np.ndarray, intercept: np.ndarray, shard_bytes: int = SHARD_BYTES, *, mark: str = ""
) -> dict[str, bytes]:
    """Return the files of some weights, by name.

    Parameters
    ----------
    coef : ndarray of shape (k, d)
    intercept : ndarray of shape (k,)
    shard_bytes : int
        Bytes of values in one file, at most.
    mark : str
        Part of the files' names.

    Examples
    --------
    >>> import numpy as np
    >>> files = encode(np.eye(2, 50), np.zeros(2))
    >>> list(files), decode(files, (2, 50), "float64", "here")[0].sum()
    (['weights.safetensors'], np.float64(2.0))
    """
    flat = np.ascontiguousarray(coef).ravel()
    position = np.flatnonzero(flat)
    sparse = position.size * (8 + flat.itemsize) < flat.nbytes
    values = flat[position] if sparse else flat
    step = max(1, shard_bytes // flat.itemsize)
    starts = range(0, max(values.size, 1), step)
    files = {}
    for number, start in enumerate(starts):
        tensors = {"value": values[start : start + step], "start_total": np.array([start, values.size], np.int64)}
        if sparse:
            tensors["position"] = position[start : start + step].astype(np.int64)
        if number == 0:
            tensors["intercept"] = np.ascontiguousarray(intercept, coef.dtype)
        files[_name(mark, number, len(starts))] = pack(tensors)
    return files


def _name(mark: str, number: int, count: int) -> str:
    return f"weights{mark}.safetensors" if count == 1 else f"weights{mark}-{number + 1:05d}-of-{count:05d}.safetensors"


def decode(
    files: Mapping[str, bytes], shape: tuple[int, ...], dtype: str, source: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return the coefficients, of shape (k, d), and the intercepts, of shape (k,), that :func:`encode` was given.

    Raises
    ------
    CheckpointError
        When a file is damaged, or its tensors are not those of such weights; names the file below ``source``.
    """
    if len(shape) != 2 or dtype not in _DTYPES:
        raise ValueError(f"weights of shape {shape} and dtype {dtype!r}")
    try:
        flat = np.zeros(shape[0] * shape[1], _DTYPES[dtype])
    except MemoryError as error:
        raise CheckpointError(f"{source} has {shape[0]} x {shape[1]} weights, which do not fit the memory") from error
    intercept, missing = None, None
    for name, content in files.items():
        try:
            tensors = unpack(content)
            if missing is None:
                missing = int(tensors["start_total"][1])
            missing -= _place(tensors, flat)
            intercept = tensors.get("intercept", intercept)
        except (SafetensorError, LookupError, TypeError, ValueError, OverflowError) as error:
            raise CheckpointError(f"{source}/{name} is damaged: {error}; save the model again") from error
    if intercept is None or intercept.shape != (shape[0],) or missing != 0:
        raise CheckpointError(f"the weights of {source} are not whole: {list(files)} do not hold {shape} of them")
    if intercept.dtype not in _DTYPES.values() or not np.isfinite(intercept).all():
        raise CheckpointError(f"the intercepts of {source} are damaged: some are no finite numbers")
    return flat.reshape(shape), intercept.astype(flat.dtype, copy=False)


def _place(tensors: dict[str, np.ndarray], flat: np.ndarray) -> int:
    """Put one file's values in their places; returns how many there were."""
    values, (start, total) = tensors["value"], tensors["start_total"].tolist()
    if values.ndim != 1 or values.dtype != flat.dtype:
        raise ValueError(f"its values are of dtype {values.dtype} and shape {values.shape}")
    # Here and not of all weights: those that nobody wrote need not be looked at, however many they are.
    if not np.isfinite(values.sum(dtype=np.float64)):
        raise ValueError("some of its values are not finite")
    if "position" in tensors:
        position = tensors["position"]
        whole = position.shape == values.shape and position.dtype == np.int64
        if not whole or ((position < 0) | (position >= flat.size)).any():
            raise ValueError("its positions are outside of the weights")
        flat[position] = values
    else:
        if total != flat.size or not 0 <= start <= start + values.size <= flat.size:
            raise ValueError("its values do not fit the weights")
        flat[start : start + values.size] = values
    return values.size
