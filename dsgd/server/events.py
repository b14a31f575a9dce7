"""What a parameter shard is told, and what it answers: values that know nothing of messages and sockets."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .pushed import Pushed


class Join(NamedTuple):
    """A worker takes part from now on, or again."""

    worker: int
    attempt: int


class Leave(NamedTuple):
    """A worker takes no further part until it joins or pushes again: it has nothing to do, or is lost."""

    worker: int
    attempt: int


class Again(NamedTuple):
    """A worker has lost its connection, and asks again for what it has not been given."""

    worker: int
    attempt: int


class Push(NamedTuple):
    """A worker's push number ``clock``, computed with the weights of ``version``."""

    worker: int
    attempt: int
    clock: int
    version: int
    pushed: Pushed


class Pull(NamedTuple):
    """A worker wants weights (of ``indices``, or all) to compute its push number ``clock`` with.

    It has pushed all before, but for the last one where weights are asked for ahead. ``state`` says whether it steps by itself,
    and wants the rule's state as well.
    """

    worker: int
    attempt: int
    clock: int
    indices: np.ndarray | None
    state: bool = False


Event = Join | Leave | Again | Push | Pull


class Weights(NamedTuple):
    """The answer to a pull.

    Attributes
    ----------
    worker, attempt : int
        To whom.
    clock : int
        The push that the worker is to compute with these: later than the one that it asked for, when that step has been taken
        without it.
    version, step : int
        Of the weights; and optimiser steps taken, by which rates are scheduled.
    values : ndarray
        As :meth:`dsgd.server.weights.RangeWeights.values`.
    state : sequence of ndarray
        Of the rule, shaped alike, if it was asked for.
    lowered : int
        How often an adaptive rate has been divided.
    """

    worker: int
    attempt: int
    clock: int
    version: int
    step: int
    values: np.ndarray
    state: Sequence[np.ndarray] = ()
    lowered: int = 0


class Welcome(NamedTuple):
    """The answer to a worker that joins: the number of its next push here."""

    worker: int
    attempt: int
    clock: int
    version: int


class Refused(NamedTuple):
    """The answer to an attempt that has been overtaken by a later one."""

    worker: int
    attempt: int
    latest: int


Answer = Weights | Welcome | Refused
