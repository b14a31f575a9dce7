"""Exact vocabularies: the user's values as plain Python values that a saved model can hold, and the text that stands for each.

In come the values as the user has them (a list, an array of numpy, a column of pandas or Arrow); out come strings, whole
numbers, booleans and None, each once. Categories are compared by their text, so 7, 7.0 and "7" are one.
"""

import math
import numbers
from collections.abc import Iterable
from typing import Any

from ..errors import ConfigError

_WANTED = "strings, whole numbers, booleans and None"


def vocabulary_values(name: str, values: Iterable[Any]) -> tuple[str | int | bool | None, ...]:
    """Return the values of the vocabulary of column ``name``.

    Raises
    ------
    ConfigError
        For a value of another type, a fraction, or a value that occurs twice.

    Examples
    --------
    >>> import numpy as np
    >>> vocabulary_values("hour", np.array([0.0, 12.0, np.nan]))
    (0, 12, None)
    """
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise ConfigError(f"the vocabulary of {name!r} must be a list of {_WANTED}, not {values!r}")
    plain = tuple(_plain(name, value) for value in values)
    if len({category_text(value) for value in plain}) < len(plain):
        raise ConfigError(f"the vocabulary of {name!r} names a value twice")
    return plain


def _plain(name: str, value: Any) -> str | int | bool | None:
    for convert in ("as_py", "item"):  # scalars of Arrow and of numpy
        if hasattr(value, convert):
            value = getattr(value, convert)()
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, float) and value.is_integer():
        return int(value)
    raise ConfigError(
        f"the vocabulary of {name!r} has the value {value!r} of type {type(value).__name__}; it may hold {_WANTED}: give "
        "other values as their text (a date as '2020-01-31')"
    )


def category_text(value: Any) -> str | None:
    """The text that stands for a value in a vocabulary.

    Examples
    --------
    >>> category_text(7), category_text(7.0), category_text(True), category_text("x"), category_text(None)
    ('7', '7', 'true', 'x', None)
    """
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():  # of a model that was saved with such a value
        return str(int(value))
    return str(value)
