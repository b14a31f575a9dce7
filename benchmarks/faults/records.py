"""What several runs of the program have recorded, as one: the newest of every fault of a mode on an engine counts."""

from collections.abc import Iterable
from typing import Any

from .plan import Case


def case_of(record: dict[str, Any]) -> tuple[str, str, str]:
    """Fault, mode and engine of a record of any kind.

    Examples
    --------
    >>> case_of({"done": ["kill", "ring", "local", 2], "recover": 0.1})
    ('kill', 'ring', 'local')
    """
    fault, mode, engine, _ = next(record[kind] for kind in ("case", "done", "skipped") if kind in record)
    return fault, mode, engine


def merged(old: dict[str, Any] | None, new: dict[str, Any], planned: Iterable[Case]) -> dict[str, Any]:
    """The new result with what the old one has of cases that were not run again, and that are still planned.

    Parameters
    ----------
    old : dict or None
    new : dict
        Its conditions (the date, the machine) are those of the whole.
    planned : iterable of Case

    Examples
    --------
    >>> kill, pause = Case("kill", "ring", "local", 1), Case("pause", "ring", "local", 1)
    >>> old = {"told": [{"done": kill, "hits": 1}, {"done": pause, "hits": 1}], "sessions": []}
    >>> new = {"told": [{"done": pause, "hits": 2}], "sessions": []}
    >>> merged(old, new, [kill, pause])["told"] == [{"done": kill, "hits": 1}, {"done": pause, "hits": 2}]
    True
    >>> merged(old, new, [pause]) == new
    True
    """
    if old is None:
        return new
    wanted = {case[:3] for case in planned} - {case_of(record) for record in new["told"]}
    told = [record for record in old["told"] if case_of(record) in wanted] + new["told"]
    pairs = {case_of(record)[1:] for record in told}
    again = {(session["engine"], session["mode"]) for session in new["sessions"]}
    kept = [
        session
        for session in old.get("sessions", [])
        if (session["mode"], session["engine"]) in pairs and (session["engine"], session["mode"]) not in again
    ]
    return {**new, "told": told, "sessions": kept + new["sessions"]}
