"""What workers say to the lead in words of their own, checked when it comes: what cannot be read is refused, and the fit goes on.

A worker has the keys of the fit, and still may be broken, or of a machine that is. What it reports is read again when a round
is complete, long after its sender could have been told; so it is looked at here first.
"""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...data.layout import Layout
from ...errors import DataError
from ...foreign import is_count, is_number, read_json, read_object
from ...server.wire import BadMessage
from ..stragglers import columns
from .findings import Measured, unpack_prepared
from .ledger import MEASURE, PREPARE, TRAIN, VALIDATE, Item

_TIMES = ("busy", "waiting")
# What a report is divided by.
_COUNTS = {TRAIN: "rows", VALIDATE: "weight"}


def item_of(text: bytes) -> Item:
    """A thing to do by its name; BadMessage for what is none.

    Examples
    --------
    >>> item_of(name_of(Item(TRAIN, 2, 7)))
    Item(kind='train', epoch=2, lot=7)
    """
    found = read_json(text, "the name of a thing to do", BadMessage)
    whole = isinstance(found, list) and len(found) == 3 and isinstance(found[0], str)
    if not whole or found[0] not in (PREPARE, MEASURE, *_COUNTS) or not all(map(is_count, found[1:])):
        raise BadMessage(f"{str(found)[:80]} is no thing to do")
    return Item(*found)


def name_of(item: Item) -> bytes:
    """The inverse."""
    return json.dumps(list(item)).encode()


def report_of(arrays: Sequence[np.ndarray], layout: Layout) -> tuple[Item, bytes]:
    """What has been done, and what came of it.

    Parameters
    ----------
    arrays : sequence of ndarray
        Of a message: the report, and the name of what was done.
    layout : Layout
        Of the fit's weights.

    Raises
    ------
    BadMessage
        When it is not as a worker says it.
    """
    if len(arrays) != 2:
        raise BadMessage(f"a report and what it is of are two arrays, not {len(arrays)}")
    report, item = arrays[0].tobytes(), item_of(arrays[1].tobytes())
    try:
        if item.kind == PREPARE:
            unpack_prepared(report, layout)
        elif item.kind == MEASURE:
            Measured.from_bytes(report)
        else:
            _check_mean(read_object(report, "a report", BadMessage), _COUNTS[item.kind])
    except DataError as error:
        raise BadMessage(str(error)) from error
    return item, report


def times_of(reports: Sequence[bytes], workers: int) -> dict[str, Any]:
    """Seconds that each worker was busy training, and waited for shards, out of its reports; nothing of one worker alone.

    Examples
    --------
    >>> report = b'{"loss": 1.0, "rows": 9, "worker": 1, "busy": 0.5, "waiting": 0.25}'
    >>> times_of([report, report], workers=2)
    {'busy': [0.0, 1.0], 'waiting': [0.0, 0.5]}
    """
    times = np.zeros((workers, 2))
    for found in map(json.loads, reports):
        worker = found.get("worker")
        if is_count(worker, workers - 1):
            times[worker] += [max(0.0, float(found[name])) if is_number(found.get(name)) else 0.0 for name in _TIMES]
    return columns(times) if workers > 1 else {}


def _check_mean(found: dict[str, Any], count: str) -> None:
    if not is_number(found.get("loss")) or not is_number(found.get(count)) or found[count] < 0:
        raise BadMessage(f"a report is of a loss and of {count}, not {str(found)[:80]}")
