"""JSON from elsewhere: whatever is wrong with it ends in one kind of error, which the caller chooses.

Python's own reader raises four kinds: for text that is none, for bytes that are no text, for numbers of thousands of digits and
for lists in lists without end.
"""

import json
from typing import Any


def read_json(text: str | bytes, source: str, error: type[Exception]) -> Any:
    """Return what JSON says.

    Parameters
    ----------
    text : str or bytes
    source : str
        What is read, as the message calls it.
    error : type
        Of what is raised.

    Examples
    --------
    >>> read_json(b"[1, 2]", "the note", ValueError)
    [1, 2]
    >>> read_json(b"[" * 100_000, "the note", ValueError)
    Traceback (most recent call last):
    ValueError: the note is damaged: it is not JSON (RecursionError)
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise error(f"{source} is damaged: it is not JSON (RecursionError)") from None
    except ValueError as reason:
        raise error(f"{source} is damaged: it is not JSON ({reason})") from reason


def read_object(text: str | bytes, source: str, error: type[Exception]) -> dict[str, Any]:
    """Return what a JSON object says; parameters as for :func:`read_json`.

    Examples
    --------
    >>> read_object("[1]", "the note", ValueError)
    Traceback (most recent call last):
    ValueError: the note is damaged: a list is not a JSON object
    """
    found = read_json(text, source, error)
    if not isinstance(found, dict):
        raise error(f"{source} is damaged: a {type(found).__name__} is not a JSON object")
    return found


def is_count(value: Any, most: int = 2**63 - 1) -> bool:
    """Whether a value is a whole number from 0 to ``most``.

    Examples
    --------
    >>> is_count(3), is_count(True), is_count(3.0), is_count(-1), is_count(7, most=6)
    (True, False, False, False, False)
    """
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most


def is_number(value: Any) -> bool:
    """Whether a value is a number; JSON as Python reads it has infinities and NaN, too.

    Examples
    --------
    >>> is_number(0.5), is_number(float("nan")), is_number(True), is_number("1")
    (True, True, False, False)
    """
    return isinstance(value, int | float) and not isinstance(value, bool)
