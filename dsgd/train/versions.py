"""Whether a worker's software matches the driver's: compared at the start of every fit, before any work.

Functions travel by name, results must agree to the bit, and compiled kernels follow numpy and numba: so dsgd must be
equal, and Python, numpy and numba equal up to their minor version.
"""

import platform
from importlib import metadata

from ..errors import ConfigError

# Compared packages, and how many parts of the version must agree (0: all of it).
_PARTS = {"dsgd": 0, "python": 2, "numpy": 2, "numba": 2}


def installed() -> dict[str, str]:
    """Versions of this process's dsgd, Python, numpy and numba; "missing" for a package that is not there.

    Examples
    --------
    >>> sorted(installed())
    ['dsgd', 'numba', 'numpy', 'python']
    """
    from .. import __version__

    found = {"dsgd": __version__, "python": platform.python_version()}
    return found | {package: _version(package) for package in ("numpy", "numba")}


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "missing"


def _matters(package: str, version: str) -> list[str]:
    parts = version.split(".")
    return parts[: _PARTS[package]] if _PARTS[package] else parts


def compare(driver: dict[str, str], worker: dict[str, str], where: str, how_to_ship: str) -> None:
    """Raise ConfigError when the worker's software differs from the driver's.

    Parameters
    ----------
    driver, worker : dict
        As :func:`installed` returns them.
    where : str
        Names the worker in the message.
    how_to_ship : str
        What a user of this engine does to bring a package to its workers.

    Examples
    --------
    >>> compare(installed(), installed(), "worker 0", "install it")
    >>> compare({**installed(), "dsgd": "9.9"}, {**installed(), "dsgd": "9.8"}, "worker 0", "Install it there.")
    Traceback (most recent call last):
        ...
    dsgd.errors.ConfigError: worker 0 differs from the driver: dsgd is 9.8, expected 9.9. Install it there.
    """
    wrong = [
        f"{package} is {worker.get(package, 'missing')}, expected {driver[package]}"
        for package in _PARTS
        if _matters(package, worker.get(package, "missing")) != _matters(package, driver[package])
    ]
    if wrong:
        raise ConfigError(f"{where} differs from the driver: {'; '.join(wrong)}. {how_to_ship}")
