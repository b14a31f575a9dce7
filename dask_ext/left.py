"""Files that the ranks of a gang leave with the driver: on the scheduler, the latest of each name, until the gang ends."""

from typing import Any

import distributed

from .gang import bounded
from .meeting import LEFT, left

# Seconds in which the scheduler answers with a file; those that were never written are waited for.
_ANSWER = 5


class Left:
    """What has been left, as the driver hears of it.

    Parameters
    ----------
    client : distributed.Client
    fit : str
        The gang's.
    found : dict of str to bytes, or None
        Is brought up to date by :meth:`fetch`; None where nobody asks for it.
    """

    def __init__(self, client: distributed.Client, fit: str, found: dict[str, bytes] | None):
        self._client, self._fit, self._found = client, fit, found
        # Names in the order of their first word: a checkpoint's header comes after its parts.
        self._there: dict[str, bool] = {}

    @property
    def wanted(self) -> bool:
        """Whether anybody asks for it."""
        return self._found is not None

    def note(self, record: dict[str, Any]) -> bool:
        """Take a record, if it is word of a file; whether it was."""
        if LEFT not in record:
            return False
        self._there[record[LEFT]] = record["there"]
        return True

    def fetch(self) -> None:
        """Bring the files up to date."""
        assert self._found is not None
        for name, there in self._there.items():
            self._found.pop(name, None)
            if there:
                bounded(lambda name=name: self._take(name), 2.0 * _ANSWER)  # type: ignore[misc]

    def _take(self, name: str) -> None:
        data = self._variable(name).get(timeout=f"{_ANSWER} seconds")
        if self._found is not None:
            self._found[name] = bytes(data)

    def remove(self) -> None:
        """Remove the files from the scheduler."""
        for name in [name for name, there in self._there.items() if there]:
            bounded(self._variable(name).delete)

    def _variable(self, name: str) -> distributed.Variable:
        return distributed.Variable(left(self._fit, name), client=self._client)
