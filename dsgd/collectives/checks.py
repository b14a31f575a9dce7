"""What a buffer must be before a collective touches it, said in the caller's words."""

import numpy as np

from ..errors import ConfigError

DTYPES = (np.dtype(np.float32), np.dtype(np.float64), np.dtype(np.int64))


def check_buffer(buffer: np.ndarray) -> None:
    """Raise ConfigError unless ``buffer`` is 1-d, contiguous, writeable, and of a dtype that can be summed."""
    if not isinstance(buffer, np.ndarray) or buffer.dtype not in DTYPES:
        found = getattr(buffer, "dtype", type(buffer).__name__)
        raise ConfigError(f"a collective sums float32, float64 or int64 arrays, not {found}; convert the buffer first")
    if buffer.ndim != 1 or not buffer.flags.c_contiguous or not buffer.flags.writeable:
        raise ConfigError(
            f"a collective works in place on a 1-d contiguous writeable array, not on shape {buffer.shape} "
            f"with strides {buffer.strides}; pass np.ascontiguousarray(x).reshape(-1)"
        )


def check_root(root: int, size: int) -> None:
    """Raise ConfigError unless ``root`` is a rank."""
    if not 0 <= root < size:
        raise ConfigError(f"root must be a rank, 0 to {size - 1}, not {root!r}")


def as_bytes(buffer: np.ndarray) -> np.ndarray:
    """The same memory as uint8."""
    return buffer.view(np.uint8)
