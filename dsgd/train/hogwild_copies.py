"""The weights of threads: one vector that they share, and what each has of its own.

Comes in: the weights and the rule's state. Goes out: for each thread its own vectors (see :mod:`dsgd.kernels.hogwild`), and
after a run the shared ones with what all of them have done. There are three kinds. Where mini-batches touch some of many weights,
a thread has a copy of *none*: once a mini-batch is seldom enough. Where weights are few, or a step touches all of them, it has a
copy of *all*. Where each row is a step, it has copies of the *hot* ones: own vectors are then stretches of one long array, that
of thread 2 from ``[2`` to ``2]``::

    [2 own part of 2 [1 own part of 1 [0 weights of the model 0] intercept of 1 1] intercept of 2 2]

so that a weight of the model lies ``block`` numbers further from the beginning for each thread before.
"""

import numpy as np

from ..kernels.claims import CLAIMS
from ..kernels.hogwild_merge import Meeting, State
from .hogwild_lines import apart

# Numbers from one intercept to the next: further apart than cores fetch at once.
_APART = 64


def stretches(values: np.ndarray, threads: int, block: int) -> list[np.ndarray]:
    """Lay out one array for ``threads`` threads; return the model's own stretch, holding ``values``, then those of the threads.

    Examples
    --------
    >>> model, one, two = stretches(np.array([1.0, 2.0, 3.0]), threads=2, block=4)
    >>> model[1] = 7
    >>> model.tolist(), float(one[1 + 4]), float(two[1 + 8])
    ([1.0, 7.0, 3.0], 7.0, 7.0)
    """
    origin, size = threads * block, len(values)
    whole = np.zeros(origin + size + threads * _APART, values.dtype)
    whole[origin : origin + size] = values
    return [whole[origin - t * block : origin + size + t * _APART] for t in range(threads + 1)]


class Copies:
    """The vectors of all threads.

    Parameters
    ----------
    model : State
        The weights to start from, and the rule's state; copied.
    threads : int
    outputs : int
    kind : {"all", "hot", "none"}
    block : int
        Length of a thread's own part, for "hot", which is for one output.
    share : float
        See :class:`dsgd.kernels.hogwild_merge.Meeting`.

    lazy : bool
        Whether there are lazy penalties to keep account of.

    Attributes
    ----------
    last : list of ndarray of the shape of ``own``, int32, or of None
        For each thread, up to which step the penalty of its weights has been taken; shared where the weights are.
    accounts : list of ndarray, int32
        The arrays that ``last`` consists of, each once.
    model : State
        The shared vectors; whole between runs.
    own : list of State
    meetings : list of Meeting
        Those of ``open``.
    """

    def __init__(
        self,
        model: State,
        threads: int,
        outputs: int,
        kind: str,
        block: int = 0,
        share: float = 1.0,
        lazy: bool = False,
    ):
        self.kind, self.outputs, self.block, self._share = kind, outputs, block, share
        if kind == "hot":
            parts = _map(lambda a: stretches(a, threads, block), model)
            self.model, *self.own = (_map(lambda part, t=t: part[t], parts) for t in range(threads + 1))
        else:
            self.model = _map(np.array, model)
            self.own = [_map(apart, self.model) if kind == "all" else self.model for _ in range(threads)]
        self._keep_accounts(threads, lazy)
        self.meetings: list[Meeting] = []
        self._places = np.zeros(0, np.intp)
        self._begun = _map(lambda a: a[:0], self.model)

    def _keep_accounts(self, threads: int, lazy: bool) -> None:
        self.last: list[np.ndarray | None] = [None] * threads
        self.accounts: list[np.ndarray] = []
        if lazy:
            paid = np.zeros(len(self.model.params), np.int32)
            kept = {
                "none": lambda: [paid] * threads,
                "all": lambda: [apart(paid) for _ in range(threads)],
                "hot": lambda: stretches(paid, threads, self.block)[1:],
            }[self.kind]()
            self.last = list(kept)
            # The last thread's stretch covers those of all others.
            self.accounts = kept if self.kind == "all" else kept[-1:]

    def open(self, places: np.ndarray | None = None) -> None:
        """Give every thread its copies.

        For "hot" these are the weights ``places`` of the model, in the order of their slots, the intercept last.
        """
        if places is None:
            places = np.arange(len(self.model.params) if self.kind == "all" else 0)
        count = len(places)
        hot = max(count - self.outputs, 0)
        self._places = places
        self._begun = _map(lambda a: a[self._places], self.model)
        together, claims = _map(apart, self._begun), apart(np.zeros(CLAIMS, np.int64))
        kind = self.model.params.dtype.type
        self.meetings = []
        for own in self.own:
            seen = _map(apart, self._begun)
            if count:
                for copy, values in zip(own, seen, strict=True):
                    if copy is not None:
                        copy[:hot] = values[:hot]
                        copy[len(copy) - self.outputs :] = values[hot:]
            self.meetings.append(Meeting(together, seen, hot, kind(self._share), claims))

    def close(self) -> np.ndarray:
        """Write what the threads have done to their copies, all of it merged, to the model; return the weights written."""
        arrays = [
            (m, t, b)
            for m, t, b in zip(self.model, self.meetings[0].together, self._begun, strict=True)
            if m is not None
        ]
        own = np.ones(len(self._places), bool)
        for model, _, begun in arrays:
            # A weight that was stepped where it is shared has a slot only because another column's begin there.
            own &= model[self._places] == begun
        for model, together, _ in arrays:
            model[self._places[own]] = together[own]
        return self._places[own]

    @property
    def model_last(self) -> np.ndarray | None:
        """The part of ``last`` that lies where the model does."""
        last = self.last[0]
        if last is None or self.kind != "hot":
            return last
        return last[self.block : self.block + len(self.model.params)]


def _map(function, state: State) -> State:
    return State(*(None if array is None else function(array) for array in state))


def head_of(state: State, count: int) -> State:
    """The first ``count`` numbers of each array."""
    return _map(lambda array: array[:count], state)
