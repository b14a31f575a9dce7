"""The errors that a user of dsgd can meet.

Every message says what was expected, what was found and what to do next. All of them derive from
:class:`DSGDError`, and each also from the built-in exception that callers of scikit-learn, Spark and Dask
already catch. A face whose users know the parameters by other names says them with :func:`in_words_of`.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager


class DSGDError(Exception):
    """Base of every error that dsgd raises on purpose."""


class ConfigError(DSGDError, ValueError):
    """The parameters, or the cluster, cannot do what was asked; raised before any work starts."""


class DataError(DSGDError, ValueError):
    """The data cannot be used; the message names the column, the file and the row where it can."""


class WorkerLost(DSGDError, RuntimeError):
    """A peer died, or was silent past the deadline."""


class CheckpointError(DSGDError, RuntimeError):
    """A checkpoint or a saved model is damaged, foreign, or of a format this version cannot read."""


@contextmanager
def in_words_of(names: Mapping[str, str]) -> Iterator[None]:
    """Raise the block's ConfigErrors with the parameters under the names by which a face's users know them.

    Parameters
    ----------
    names : mapping of str to str
        From a parameter's name here to its name there.

    Examples
    --------
    >>> with in_words_of({"alpha": "regParam", "max_iter": "maxIter"}):
    ...     raise ConfigError("alpha must be a number >= 0 or 'auto', not -1; and another max_iter")
    Traceback (most recent call last):
    dsgd.errors.ConfigError: regParam must be a number >= 0 or 'auto', not -1; and another maxIter
    """
    try:
        yield
    except ConfigError as error:
        said = renamed(str(error), names)
        if said == str(error):
            raise
        raise ConfigError(said) from error


def renamed(message: str, names: Mapping[str, str]) -> str:
    """Return a message with the parameters under other names.

    A name that is also a plain word ("alpha", "power") is taken for a parameter where it is given a value.

    Examples
    --------
    >>> renamed("power must be 1 to 2: more power needs power=2", {"power": "--power"})
    '--power must be 1 to 2: more power needs --power=2'
    """
    for name, other in names.items():
        valued = "" if "_" in name else r"(?= must |\s?[=<>])"
        message = re.sub(rf"(?<![\w-]){name}\b{valued}", other, message)
    return message
