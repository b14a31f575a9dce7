"""The kernels by name: which function does an operation on a device.

``"cpu"`` is the compiled kernel, ``"reference"`` its plain counterpart in numpy, with the same arguments and effects. The
operations for several outputs end in ``_multi``.
"""

from collections.abc import Callable
from typing import Any

from ..errors import ConfigError
from . import coordinates, multi, online, reference, score, steps

_KERNELS: dict[tuple[str, str], Callable[..., Any]] = {
    ("batch_gradient", "cpu"): steps.batch_gradient,
    ("anchored_gradient", "cpu"): steps.anchored_gradient,
    ("local_steps", "cpu"): steps.local_steps,
    ("batch_gradient_multi", "cpu"): multi.batch_gradient_multi,
    ("anchored_gradient_multi", "cpu"): multi.anchored_gradient_multi,
    ("local_steps_multi", "cpu"): multi.local_steps_multi,
    ("online_pass", "cpu"): online.online_pass,
    ("update_dense", "cpu"): coordinates.update_dense,
    ("update_listed", "cpu"): coordinates.update_listed,
    ("settle_all", "cpu"): coordinates.settle_all,
    ("score_rows", "cpu"): score.score_rows,
    ("batch_gradient", "reference"): reference.batch_gradient,
    ("anchored_gradient", "reference"): reference.anchored_gradient,
    ("local_steps", "reference"): reference.local_steps,
    ("batch_gradient_multi", "reference"): reference.batch_gradient,
    ("anchored_gradient_multi", "reference"): reference.anchored_gradient,
    ("local_steps_multi", "reference"): reference.local_steps,
    ("online_pass", "reference"): reference.online_pass,
    ("update_dense", "reference"): reference.update_dense,
    ("update_listed", "reference"): reference.update_listed,
    ("settle_all", "reference"): reference.settle_all,
    ("score_rows", "reference"): reference.score_rows,
}


def operations(device: str = "cpu") -> tuple[str, ...]:
    """Names of the operations that a device has."""
    return tuple(name for name, place in _KERNELS if place == device)


def get(operation: str, device: str = "cpu") -> Callable[..., Any]:
    """Return the function that does ``operation`` on ``device``.

    Raises
    ------
    ConfigError
        When there is none.

    Examples
    --------
    >>> get("score_rows", "reference").__module__
    'dsgd.kernels.reference'
    """
    kernel = _KERNELS.get((operation, device))
    if kernel is not None:
        return kernel
    devices = sorted({place for _, place in _KERNELS})
    if device not in devices:
        raise ConfigError(f"there are no kernels for device {device!r}; use one of {', '.join(devices)}")
    raise ConfigError(f"device {device!r} has no kernel {operation!r}; it has {', '.join(operations(device))}")
