"""What a package imports, and when: names that are imported when they are first asked for, and extras that are missing.

A worker that only needs an error class shall not wait for scikit-learn.
"""

from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any


def importing_later(package: str, homes: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Make the ``__getattr__`` and ``__dir__`` of a package whose names are imported when they are first asked for.

    Parameters
    ----------
    package : str
        Its ``__name__``.
    homes : dict
        From each public name to the module that has it, relative to the package.

    Examples
    --------
    >>> get, names = importing_later("dsgd", {"DataError": ".errors"})
    >>> get("DataError").__name__
    'DataError'
    >>> get("nothing")
    Traceback (most recent call last):
    AttributeError: module 'dsgd' has no attribute 'nothing'
    """

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(homes[name], package), name)
        vars(import_module(package))[name] = value
        return value

    def names() -> list[str]:
        return sorted({*vars(import_module(package)), *homes})

    return get, names


def require_packages(user: str, extra: str, *packages: str) -> None:
    """Say which extra to install when packages that ``user`` needs are missing.

    Raises
    ------
    ModuleNotFoundError
        In place of the one that the first import of such a package would raise.

    Examples
    --------
    >>> require_packages("the demo", "demo", "no_such_package")
    Traceback (most recent call last):
    ModuleNotFoundError: the demo needs no_such_package, which is not installed: pip install 'dsgd[demo]'
    """
    for name in packages:
        if find_spec(name) is None:
            raise ModuleNotFoundError(
                f"{user} needs {name}, which is not installed: pip install 'dsgd[{extra}]'", name=name
            )
