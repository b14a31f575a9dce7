"""What every rank of a gang does in a test: functions of the rank's collective that return plain values."""

import hashlib
import os
import time

import numpy as np

from dsgd.errors import ConfigError

LENGTHS = (0, 1, 2, 3, 7, 100, 2048, 2049, 4096, 4097, 9001, 300_001)
DTYPES = ("float32", "float64", "int64")


def addend(rank: int, length: int, dtype: str, seed: int = 0) -> np.ndarray:
    """The vector that ``rank`` contributes: magnitudes differ by powers of ten, so that the order of additions shows."""
    generator = np.random.default_rng([seed, rank, length])
    return (generator.normal(size=length) * 10.0 ** generator.integers(0, 6, length)).astype(dtype)


def sums(collective, dtype: str) -> list:
    """The sums of vectors of many lengths."""
    results = []
    for length in LENGTHS:
        buffer = addend(collective.rank, length, dtype)
        collective.allreduce(buffer)
        results.append(buffer.tobytes())
    return results


def mixture(collective, seed: int) -> list:
    """A random sequence of operations, the same on every rank: long after short, one kind after another."""
    generator = np.random.default_rng(seed)
    results = []
    for step in range(40):
        length = int(generator.choice([0, 1, 50, 3000, 5000, 70_000, 150_000]))
        operation = generator.integers(5)
        buffer = addend(collective.rank, length, "float64", step)
        if operation == 0:
            collective.allreduce(buffer)
        elif operation == 1:
            collective.broadcast(buffer, step % collective.size)
        elif operation == 2:
            buffer = np.frombuffer(b"".join(collective.allgather(buffer[: length // (1 + collective.rank)].tobytes())))
        elif operation == 3:
            collective.barrier()
            buffer = buffer[:0]
        else:
            buffer = np.concatenate(collective.allreduce_sparse(*sparse_addend(collective.rank, length, step)))
        results.append(hashlib.sha256(buffer.tobytes()).hexdigest())
    return results


def refusals(collective) -> int:
    """How many unusable arguments are refused, in words, before anything is sent."""
    unusable = [np.zeros(3, np.int32), np.zeros((2, 2)), np.zeros(6)[::2], np.broadcast_to(np.zeros(1), 3), [1.0]]
    attempts = [lambda buffer=buffer: collective.allreduce(buffer) for buffer in unusable]
    attempts.append(lambda: collective.broadcast(np.zeros(1), collective.size))
    refused = 0
    for attempt in attempts:
        try:
            attempt()
        except ConfigError as error:
            refused += "a collective" in str(error) or "root must be a rank" in str(error)
    return refused


def sparse_addend(rank: int, length: int, seed: int = 0, width: int = 0, dtype: str = "float64"):
    """A sparse vector: about ``length / 10`` of ``length`` coordinates, other ones on every rank."""
    generator = np.random.default_rng([seed, rank, length])
    indices = np.flatnonzero(generator.random(length) < 0.1).astype(np.int32)
    shape = (len(indices), width) if width else len(indices)
    return indices, (generator.normal(size=shape) * 100).astype(dtype)


def sparse(collective, length: int, width: int, dtype: str, dense_from: int) -> list:
    """The sum of sparse vectors; ranks from ``dense_from`` on contribute every coordinate."""
    indices, values = sparse_addend(collective.rank, length, 0, width, dtype)
    if collective.rank >= dense_from:
        indices = np.arange(length, dtype=np.int32)
        values = np.ones((length, width) if width else length, dtype)
    union, sums = collective.allreduce_sparse(indices, values)
    return [str(union.dtype), str(sums.dtype), list(sums.shape), union.tobytes(), sums.tobytes()]


def broadcasts(collective, length: int) -> list:
    """What arrives from every root."""
    results = []
    for root in range(collective.size):
        buffer = addend(collective.rank, length, "float32")
        collective.broadcast(buffer, root)
        results.append(buffer.tobytes())
    return results


def payload(rank: int, unit: int) -> bytes:
    """A payload whose length depends on the rank; rank 0's is empty."""
    return bytes([rank + 1]) * (rank * unit)


def gathers(collective, unit: int) -> list:
    """Everybody's payload."""
    return collective.allgather(payload(collective.rank, unit))


def barriers(collective, late: int) -> list:
    """When this rank came to a barrier, and when it left."""
    collective.barrier()
    if collective.rank == late:
        time.sleep(0.1)
    entered = time.monotonic()
    collective.barrier()
    return [entered, time.monotonic()]


def leave(collective, rank: int) -> float:
    """One rank closes, the others go on; how long they wait before they raise."""
    collective.barrier()
    if collective.rank == rank:
        collective.close()
        return 0.0
    return endless(collective)


def endless(collective) -> float:
    """Reduce for ever; only an error ends it."""
    buffer = np.zeros(5000)
    while True:
        collective.allreduce(buffer)


def late(collective, seconds: list) -> float:
    """Every rank works by itself for some time of its own before the ranks meet."""
    with collective.working():
        time.sleep(seconds[collective.rank])
        buffer = np.ones(1)
        collective.allreduce(buffer)
        collective.barrier()
    return float(buffer[0])


def lengths_differ(collective) -> None:
    """Rank 0 reduces another length than the rest."""
    collective.allreduce(np.zeros(10 if collective.rank == 0 else 11))


def operations_differ(collective) -> None:
    """Rank 0 waits at a barrier where the rest reduce."""
    if collective.rank == 0:
        collective.barrier()
    else:
        collective.allreduce(np.zeros(10))


def pid(collective) -> int:
    """The rank's process."""
    return os.getpid()


def reduce_slowly(collective) -> None:
    """Reduce once, some time after the peers."""
    time.sleep(0.2 if collective.rank else 0)
    collective.allreduce(np.zeros(100_000))
