"""Which targets a loss accepts, checked before training: in come a loss and targets, out comes at most a DataError."""

from typing import Any

import numpy as np

from ..errors import DataError

_DOMAINS: dict[str, tuple[Any, str, str]] = {
    "sign": (lambda y: np.abs(y) == 1, "-1 or +1", "encode the two classes as -1 and +1, or choose a regression loss"),
    "real": (np.isfinite, "finite numbers", "drop or impute those rows"),
    "nonnegative": (
        lambda y: (y >= 0) & np.isfinite(y),
        "finite and not negative",
        "drop those rows, or choose a loss for real targets, such as squared_error",
    ),
    "positive": (
        lambda y: (y > 0) & np.isfinite(y),
        "finite and greater than zero",
        "drop those rows, or choose a loss that accepts them: tweedie for zeros, squared_error for any number",
    ),
}


def check_targets(loss, y, *, first_row: int = 0, source: str = "y") -> None:
    """Raise unless every target is in the loss's domain.

    Parameters
    ----------
    loss : Loss
        One of :data:`dsgd.losses.LOSSES`, or a loss over several scores with ``outputs`` classes.
    y : array of shape (n,)
        Targets.
    first_row : int
        Row number of ``y[0]`` in the user's data, for the message.
    source : str
        What to call ``y`` in the message (a column and a file, say).

    Raises
    ------
    DataError
        With the first offending row and its value.

    Examples
    --------
    >>> from dsgd.losses import Poisson
    >>> check_targets(Poisson(), [0, 2, -1])
    Traceback (most recent call last):
    ...
    dsgd.errors.DataError: poisson needs targets that are finite and not negative, but row 2 of y is -1.0 (1 such row \
in 3). What to do: drop those rows, or choose a loss for real targets, such as squared_error.
    """
    try:
        y = np.asarray(y) if np.asarray(y).dtype.kind == "f" else np.asarray(y, np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"{loss.name} needs numeric targets, but {source} cannot be read as numbers: {error}") from None
    accepts, expected, advice = _domain(loss)
    bad = ~accepts(y)
    if not bad.any():
        return
    row, count = int(np.argmax(bad)), int(np.count_nonzero(bad))
    raise DataError(
        f"{loss.name} needs targets that are {expected}, but row {first_row + row} of {source} is {float(y[row])} "
        f"({count} such row{'s' if count > 1 else ''} in {y.size}). What to do: {advice}."
    )


def _domain(loss) -> tuple[Any, str, str]:
    if loss.domain != "class":
        return _DOMAINS[loss.domain]
    last = loss.outputs - 1
    return (
        lambda y: (y >= 0) & (y <= last) & (np.floor(y) == y),
        f"class numbers 0 .. {last}",
        "encode the classes by their position in the sorted list of classes",
    )
