"""What every engine does around a rank: find its function, run it, and turn its end into something that travels.

A function is named by its import path, ``"package.module:name"``, and never shipped as code. It ends in bytes or in a
:class:`Failure`, a plain record that an engine carries home in its own way; :func:`raise_first` then raises in the
driver the failure that explains the others.
"""

import importlib
import json
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NoReturn

from .. import errors
from ..errors import ConfigError, DSGDError, WorkerLost
from ..foreign import read_object

# What a failure can be: a class of dsgd.errors by its name, any other exception, or a rank that ended without a word.
OTHER, LOST = "other", "lost"

_CLASSES = {
    name: value for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, DSGDError)
}
_TRACE_LIMIT = 8000
_FOLD = -1  # Stands for the rank where a fold of an aggregate fails.


@dataclass(frozen=True)
class Failure:
    """How a rank ended, when not well.

    Attributes
    ----------
    rank : int
    kind : str
        The name of a class of ``dsgd.errors``, or "other" for any other exception, or "lost" for a rank that the engine
        saw dead.
    message : str
    trace : str
        The traceback's text, for ``kind="other"``.
    cause : BaseException or None
        The exception itself, where the rank ran in the driver's process; it does not travel.
    """

    rank: int
    kind: str
    message: str
    trace: str = ""
    cause: BaseException | None = field(default=None, compare=False, repr=False)

    def __reduce__(self):
        return Failure, (self.rank, self.kind, self.message, self.trace)  # An exception may not pickle, or not load.

    def to_json(self) -> str:
        """Text that :meth:`from_json` reads."""
        return json.dumps({name: value for name, value in asdict(self).items() if name != "cause"})

    @classmethod
    def from_json(cls, text: str | bytes) -> "Failure":
        """Rebuild what :meth:`to_json` wrote.

        Raises
        ------
        WorkerLost
            When the text does not describe a failure: the rank did not end well, and nobody knows how.

        Examples
        --------
        >>> failure = Failure(1, "DataError", "column 'x' is missing")
        >>> Failure.from_json(failure.to_json()) == failure
        True
        """
        found = read_object(text, "what a rank says of its end", WorkerLost)
        rank, kind, message, trace = (found.get(name) for name in ("rank", "kind", "message", "trace"))
        if not isinstance(rank, int) or not all(isinstance(part, str) for part in (kind, message, trace)):
            raise WorkerLost(f"what a rank says of its end is damaged: {str(found)[:200]}")
        return cls(rank, str(kind), str(message), str(trace))

    def exception(self) -> DSGDError:
        """The error that the driver raises for this failure."""
        if self.kind in _CLASSES:
            return _CLASSES[self.kind](self.message)
        if self.kind == LOST:
            return WorkerLost(self.message)
        who = "a fold" if self.rank == _FOLD else f"rank {self.rank}"
        return WorkerLost(f"{who} failed with {self.message}\n{self.trace}".rstrip())

    @property
    def severity(self) -> int:
        """0: a cause. 1: a death that the engine saw. 2: a rank's word that it lost a peer, so there is a cause."""
        if self.kind == "WorkerLost":
            return 2
        return 1 if self.kind == LOST else 0


def failure_of(rank: int, error: BaseException) -> Failure:
    """Describe an exception that ended a rank."""
    for base in type(error).__mro__:
        if _CLASSES.get(base.__name__) is base and base is not DSGDError:
            return Failure(rank, base.__name__, str(error), cause=error)
    trace = "".join(traceback.format_exception(error))[-_TRACE_LIMIT:]
    return Failure(rank, OTHER, f"{type(error).__name__}: {error}", trace, cause=error)


def raise_first(failures: Iterable[Failure]) -> NoReturn:
    """Raise the failure that explains the others: a cause, else a death, else the word of a lost peer; the earliest."""
    first = min(failures, key=lambda failure: failure.severity)
    raise first.exception() from first.cause


def find(function: str) -> Callable[..., Any]:
    """Import a function by its path.

    Raises
    ------
    ConfigError
        When the path is not "package.module:name" or names nothing callable.

    Examples
    --------
    >>> find("dsgd.train.rank:find") is find
    True
    """
    module, colon, name = function.partition(":")
    if not (module and colon and name.isidentifier()):
        raise ConfigError(f"a function is named 'package.module:name', not {function!r}")
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ImportError as error:
        raise ConfigError(f"cannot import {module!r} for the function {function!r}: {error}") from error
    if not callable(found):
        raise ConfigError(f"the module {module!r} has no function {name!r}")
    return found


def run(rank: int, function: str, *arguments: Any) -> bytes | Failure:
    """Run a function to its end, whatever the end is, and return its bytes or its failure.

    ``SystemExit`` ends a rank as any other exception does; ``KeyboardInterrupt`` passes through.
    """
    try:
        result = find(function)(*arguments)
        if not isinstance(result, (bytes, bytearray, memoryview)):
            raise TypeError(f"{function} must return bytes, not {type(result).__name__}")
        return bytes(result)
    except (Exception, SystemExit) as error:
        return failure_of(rank, error)


def fold(combine: str, outcomes: Sequence["bytes | Failure"]) -> "bytes | Failure":
    """Fold one group of an aggregate from the left; a failure among the results goes up as it is.

    Examples
    --------
    >>> fold("dsgd.train.selftest:bracket", [b"a", b"b", b"c"])
    b'((a b) c)'
    """
    failures = [outcome for outcome in outcomes if isinstance(outcome, Failure)]
    if failures:
        return failures[0]
    return run(_FOLD, "dsgd.train.tree:fold", outcomes, find(combine))


def results(outcomes: Iterable["bytes | Failure"]) -> list[bytes]:
    """Return the results when all ranks ended well; raise the first cause otherwise."""
    outcomes = list(outcomes)
    failures = [outcome for outcome in outcomes if isinstance(outcome, Failure)]
    if failures:
        raise_first(failures)
    return [outcome for outcome in outcomes if isinstance(outcome, bytes)]
