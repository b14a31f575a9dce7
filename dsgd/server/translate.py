"""From messages to a shard's events, and from its answers to messages."""

from collections.abc import Iterable, Iterator

import numpy as np

from . import wire
from .events import Again, Answer, Event, Join, Leave, Pull, Push, Refused, Welcome
from .pushed import Pushed, misfit, misfit_of_list
from .weights import RangeWeights
from .wire import BadMessage, Message

_MOST = 2**62
# Flags of STEP: there is a push, of listed features, with changes of the rule's state; there is a pull, of all features,
# and of the rule's state.
PUSH, LISTED, FIRST, SECOND, PULL, ALL, STATE = 1, 2, 4, 8, 16, 32, 64


def check_counts(message: Message) -> None:
    """Raise BadMessage for numbers with which nobody could go on counting: what comes of them must fit into an answer, too.

    Examples
    --------
    >>> check_counts(Message(wire.STEP, 0, clock=2**62 + 1))
    Traceback (most recent call last):
    dsgd.server.wire.BadMessage: it counts from 0 to 4611686018427387905
    """
    counts = (message.clock, message.wanted, message.version, message.step)
    if min(counts) < -1 or max(counts) > _MOST:
        raise BadMessage(f"it counts from {min(counts)} to {max(counts)}")


def events_of(message: Message, weights: RangeWeights) -> Iterable[Event]:
    """The events that a message brings to the shard of these weights.

    Raises
    ------
    BadMessage
        When it cannot be for this shard: kernels do not look whether an index is within bounds.
    """
    who = message.worker, message.attempt
    if message.kind == wire.JOIN:
        return [Join(*who)]
    if message.kind == wire.OFFER:
        return [Again(*who)]
    if message.kind in (wire.LEAVE, wire.REST):
        return [Leave(*who)]
    if message.kind != wire.STEP:
        raise BadMessage(f"a message of the kind {wire.KINDS[message.kind]!r} is not for a shard")
    arrays = iter(message.arrays)
    events: list[Event] = []
    if message.flags & PUSH:
        events.append(Push(*who, message.clock, message.version, _pushed(message, arrays, weights)))
    if message.flags & PULL:
        indices = None if message.flags & ALL else _list(arrays, weights)
        events.append(Pull(*who, message.wanted, indices, bool(message.flags & STATE)))
    return events


def _next(arrays: Iterator[np.ndarray]) -> np.ndarray:
    array = next(arrays, None)
    if array is None:
        raise BadMessage("it has fewer arrays than its flags say")
    return array


def _pushed(message: Message, arrays: Iterator[np.ndarray], weights: RangeWeights) -> Pushed:
    flags = message.flags
    parts = [_next(arrays) if flags & flag else None for flag in (LISTED, PUSH, FIRST, SECOND)]
    values = parts[1]
    assert values is not None
    pushed = Pushed(parts[0], values, message.rows, message.step, parts[2], parts[3])
    if bool(flags & LISTED) != weights.sparse:
        wanted = "a list of features" if weights.sparse else "all features"
        raise BadMessage(f"this shard expects {wanted} in a push, and found {'a list' if flags & LISTED else 'all'}")
    if message.rows < 0 or message.step < 0:
        raise BadMessage(f"it counts {message.rows} rows and {message.step} steps")
    why = misfit(pushed, weights.outputs, len(weights.params), weights.params.dtype) or weights.misfit_of_steps(pushed)
    if why:
        raise BadMessage(why)
    return pushed


def _list(arrays: Iterator[np.ndarray], weights: RangeWeights) -> np.ndarray:
    indices = _next(arrays)
    why = misfit_of_list(indices, len(weights.params) // weights.outputs)
    if why:
        raise BadMessage(why)
    return indices


def message_of(answer: Answer) -> Message:
    """An answer as a message."""
    if isinstance(answer, Welcome):
        return Message(wire.WELCOME, answer.worker, answer.attempt, clock=answer.clock, version=answer.version)
    if isinstance(answer, Refused):
        return Message(wire.REFUSED, answer.worker, answer.attempt, clock=answer.latest)
    return Message(
        wire.WEIGHTS, answer.worker, answer.attempt, clock=answer.clock, version=answer.version, step=answer.step,
        rows=answer.lowered, arrays=[answer.values, *answer.state],
    )  # fmt: skip
