"""A collective whose all-reduce sends codes instead of floats, and feeds what a code loses back into the next step.

With ``e`` the rank's memory and ``C`` the codec, a step sends ``C(g + e)`` and keeps ``e = g + e - C(g + e)``, so that nothing is
lost, only late (Seide et al., 2014, "1-bit stochastic gradient descent"; Stich, Cordonnier and Jaggi, 2018, "Sparsified SGD with
memory"; Karimireddy et al., 2019, "Error feedback fixes SignSGD"). Codes are gathered, and every rank decodes and adds
all of them in rank order, which gives every rank the same bits.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager

import numpy as np

from ..collectives.base import Collective
from ..collectives.checks import check_buffer
from ..errors import ConfigError, WorkerLost
from .codecs import Compressor, Half, Int8, Payload, TopK

KINDS: dict[str, type[Half] | type[Int8] | type[TopK]] = {"fp16": Half, "int8": Int8, "topk": TopK}


class CompressedCollective:
    """A collective with a lossy all-reduce of floats; everything else passes through exactly.

    Integers, sparse vectors, broadcasts, gathered payloads, and the last ``exact_tail`` elements of a buffer are not
    compressed.

    Parameters
    ----------
    exact : Collective
        Carries the codes, and whatever must stay exact. Closed with this one.
    codec : Compressor
    exact_tail : int
        Elements at the end of every buffer that travel as they are: sums of losses and weights that share the
        gradient's buffer.

    Attributes
    ----------
    residuals : dict of (int, dtype) to ndarray
        The memory ``e`` for each length and dtype of buffer, part of a checkpoint's state; buffers of one length and dtype
        share theirs, so reduce different quantities of the same length through different wrappers.
    steps : int
        All-reduces so far; addresses the random choices, so a resumed run sets it too.
    """

    def __init__(self, exact: Collective, codec: Compressor, exact_tail: int = 0):
        if exact_tail < 0:
            raise ConfigError(f"exact_tail must be >= 0 elements, not {exact_tail!r}")
        self.exact, self.rank, self.size = exact, exact.rank, exact.size
        self.residuals: dict[tuple[int, np.dtype], np.ndarray] = {}
        self.steps = 0
        self._codec, self._exact_tail = codec, exact_tail

    @property
    def waited(self) -> float:
        """Seconds so far in which this rank has waited for others."""
        return self.exact.waited

    def allreduce(self, buffer: np.ndarray) -> None:
        """Sum the decoded codes of everybody's ``buffer`` plus memory, in place; exact for integers."""
        check_buffer(buffer)
        body = buffer[: max(0, len(buffer) - self._exact_tail)]
        if buffer.dtype == np.int64 or len(body) == 0:
            self.exact.allreduce(buffer)
            return
        tail = buffer[len(body) :]
        payload = self._encode(body)
        gathered = self.exact.allgather(b"".join(array.tobytes() for array in [*payload, tail]))
        buffer[:] = 0
        for rank, data in enumerate(gathered):
            *parts, other_tail = self._split(data, rank, len(body), tail)
            self._codec.add_to(body, parts)
            tail += other_tail
        self.steps += 1

    def _encode(self, body: np.ndarray) -> Payload:
        memory = self.residuals.setdefault((len(body), body.dtype), np.zeros_like(body))
        memory += body
        payload = self._codec.compress(memory, self.rank, self.steps)
        sent = np.zeros_like(body)
        self._codec.add_to(sent, payload)
        with np.errstate(invalid="ignore"):
            memory -= sent
        return payload

    def _split(self, data: bytes, rank: int, length: int, tail: np.ndarray) -> Payload:
        layout = [*self._codec.layout(length), (tail.dtype, len(tail))]
        expected = sum(dtype.itemsize * count for dtype, count in layout)
        if len(data) != expected:
            raise WorkerLost(
                f"the ranks are out of step: rank {rank} sent a code of {len(data)} bytes, rank {self.rank} expected "
                f"{expected}; every rank must reduce buffers of the same length with the same compression"
            )
        arrays, start = [], 0
        for dtype, count in layout:
            arrays.append(np.frombuffer(data[start : start + dtype.itemsize * count], dtype))
            start += dtype.itemsize * count
        return arrays

    def allreduce_sparse(self, indices: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Sum sparse vectors, exactly."""
        return self.exact.allreduce_sparse(indices, values)

    def broadcast(self, buffer: np.ndarray, root: int = 0) -> None:
        """Copy the root's ``buffer`` into every rank's, exactly."""
        self.exact.broadcast(buffer, root)

    def allgather(self, payload: bytes) -> list[bytes]:
        """Everybody's payload, in rank order."""
        return self.exact.allgather(payload)

    def barrier(self) -> None:
        """Wait for all ranks."""
        self.exact.barrier()

    def working(self) -> AbstractContextManager[Callable[[], None]]:
        """Give signs of life between operations."""
        return self.exact.working()

    def close(self) -> None:
        """Close the collective underneath."""
        self.exact.close()


def compressed(collective: Collective, kind: str, *, exact_tail: int = 0, **knobs: float) -> Collective:
    """Return a collective that compresses the floats it reduces.

    Parameters
    ----------
    collective : Collective
    kind : {"none", "fp16", "int8", "topk"}
        "none" returns ``collective`` itself.
    exact_tail : int
        Elements at the end of every buffer that are not compressed.
    **knobs
        Of the codec: ``chunk``, ``stochastic`` and ``seed`` for "int8", ``fraction`` for "topk".

    Raises
    ------
    ConfigError
        For an unknown kind or knob, or a knob out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from dsgd.collectives import SingleProcess
    >>> lossy = compressed(SingleProcess(), "topk", fraction=0.5)
    >>> buffer = np.array([1.0, -3.0])
    >>> lossy.allreduce(buffer)
    >>> buffer.tolist()
    [0.0, -3.0]
    >>> lossy.allreduce(buffer)
    >>> lossy.residuals[2, buffer.dtype].tolist()
    [1.0, 0.0]
    """
    if kind == "none":
        return collective
    if kind not in KINDS:
        raise ConfigError(f"compression must be 'none', {', '.join(map(repr, KINDS))}, not {kind!r}")
    codec = KINDS[kind]
    unknown = set(knobs) - set(codec.__dataclass_fields__)
    if unknown:
        known = ", ".join(codec.__dataclass_fields__) or "none"
        raise ConfigError(f"{kind!r} compression does not know {', '.join(sorted(unknown))}; its knobs: {known}")
    return CompressedCollective(collective, codec(**knobs), exact_tail)  # type: ignore[arg-type]
