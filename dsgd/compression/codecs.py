"""Lossy codes for gradients: a float vector in, a few small arrays out, and back.

A codec has no state; its error is fed back by :mod:`dsgd.compression.collective`. Sources: half precision as used for
gradient exchange; uniform quantisation with stochastic rounding (Alistarh et al., 2017, "QSGD"); sparsification to the
largest coordinates (Lin et al., 2018, "Deep gradient compression"; Stich, Cordonnier and Jaggi, 2018, "Sparsified SGD with
memory"). A vector that is not finite decodes to one that is not finite, so that divergence stays visible.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ..errors import ConfigError
from ..seeding import COMPRESSION, generator

Payload = list[np.ndarray]


class Compressor(Protocol):
    """A code for float vectors."""

    def compress(self, vector: np.ndarray, rank: int, step: int) -> Payload:
        """Encode ``vector`` (1-d, float32 or float64).

        Parameters
        ----------
        vector : ndarray of shape (d,)
        rank, step : int
            Address the random choices: the same place in the seed tree gives the same code.

        Returns
        -------
        list of ndarray
            Arrays whose dtypes and number depend on the codec, and whose lengths depend on ``d``, only.
        """
        ...

    def layout(self, length: int) -> list[tuple[np.dtype, int]]:
        """Dtype and length of each array of a payload for a vector of ``length``."""
        ...

    def add_to(self, total: np.ndarray, payload: Payload) -> None:
        """Decode and add to ``total`` (shape (d,), float32 or float64)."""
        ...


@dataclass(frozen=True)
class Half:
    """16-bit floats under one power of two a vector, which keeps large gradients from overflowing. Half the bytes.

    Examples
    --------
    >>> import numpy as np
    >>> total = np.zeros(2)
    >>> codec = Half()
    >>> codec.add_to(total, codec.compress(np.array([1e6, -2.5]), rank=0, step=0))
    >>> total.tolist()
    [999936.0, -2.5]
    """

    def compress(self, vector: np.ndarray, rank: int, step: int) -> Payload:
        """Encode; see :class:`Compressor`."""
        largest = float(np.max(np.abs(vector), initial=0.0))
        # 2 ** 15 is the largest power of two that 16 bits hold; what is not finite passes as it is.
        exponent = int(np.frexp(largest)[1]) - 15 if np.isfinite(largest) and largest > 0 else 0
        with np.errstate(over="ignore"):
            halves = np.ldexp(vector, -exponent).astype(np.float16)
        return [np.array([exponent], np.int32), halves]

    def layout(self, length: int) -> list[tuple[np.dtype, int]]:
        """Arrays of a payload; see :class:`Compressor`."""
        return [(np.dtype(np.int32), 1), (np.dtype(np.float16), length)]

    def add_to(self, total: np.ndarray, payload: Payload) -> None:
        """Decode and add; see :class:`Compressor`."""
        exponent, halves = payload
        total += np.ldexp(halves.astype(total.dtype), exponent[0])


@dataclass(frozen=True)
class Int8:
    """8-bit integers under one scale a chunk. A quarter of the bytes of float32.

    Parameters
    ----------
    chunk : int
        Coordinates that share a scale, the largest magnitude among them over 127.
    stochastic : bool
        Round up with the probability of the fraction, which makes the code unbiased (QSGD); else to the nearest.
    seed : int
        Root of the random choices.
    """

    chunk: int = 1024
    stochastic: bool = True
    seed: int = 0

    def __post_init__(self):
        if self.chunk < 1:
            raise ConfigError(f"chunk must be at least 1 coordinate, not {self.chunk!r}")

    def compress(self, vector: np.ndarray, rank: int, step: int) -> Payload:
        """Encode; see :class:`Compressor`."""
        chunks = np.zeros((-(-len(vector) // self.chunk), self.chunk), np.float32)
        chunks.reshape(-1)[: len(vector)] = vector
        scales = np.max(np.abs(chunks), axis=1, initial=0.0) / np.float32(127)
        usable = np.isfinite(scales) & (scales > 0)
        with np.errstate(invalid="ignore", over="ignore"):
            levels = chunks / np.where(usable, scales, np.float32(1))[:, None]
        levels[~usable] = 0
        if self.stochastic:
            levels += generator(self.seed, COMPRESSION, rank, step).random(levels.shape, np.float32)
            np.floor(levels, out=levels)
        else:
            np.rint(levels, out=levels)
        codes = np.clip(levels, -127, 127).astype(np.int8)
        return [scales, codes.reshape(-1)[: len(vector)]]

    def layout(self, length: int) -> list[tuple[np.dtype, int]]:
        """Arrays of a payload; see :class:`Compressor`."""
        return [(np.dtype(np.float32), -(-length // self.chunk)), (np.dtype(np.int8), length)]

    def add_to(self, total: np.ndarray, payload: Payload) -> None:
        """Decode and add; see :class:`Compressor`."""
        scales, codes = payload
        with np.errstate(invalid="ignore"):
            total += np.repeat(scales, self.chunk)[: len(codes)] * codes


@dataclass(frozen=True)
class TopK:
    """The coordinates of largest magnitude, as (index, value). Everything else waits in the error that is fed back.

    Parameters
    ----------
    fraction : float
        Share of the coordinates that travels, in (0, 1]; at least one does.
    """

    fraction: float = 0.01

    def __post_init__(self):
        if not 0 < self.fraction <= 1:
            raise ConfigError(f"fraction must be above 0 and at most 1, not {self.fraction!r}")

    def count(self, length: int) -> int:
        """Coordinates that travel of a vector of ``length``.

        Examples
        --------
        >>> [TopK(0.01).count(length) for length in (0, 5, 1000)]
        [0, 1, 10]
        """
        return min(length, max(1, round(self.fraction * length)))

    def compress(self, vector: np.ndarray, rank: int, step: int) -> Payload:
        """Encode; see :class:`Compressor`."""
        count = self.count(len(vector))
        # Numbers that are not finite sort last, so they are among the largest and travel.
        smaller = len(vector) - count
        order = np.argpartition(np.abs(vector), smaller) if smaller else np.arange(count)
        indices = np.sort(order[smaller:]).astype(np.int32)
        with np.errstate(over="ignore"):
            return [indices, vector[indices].astype(np.float32)]

    def layout(self, length: int) -> list[tuple[np.dtype, int]]:
        """Arrays of a payload; see :class:`Compressor`."""
        return [(np.dtype(np.int32), self.count(length)), (np.dtype(np.float32), self.count(length))]

    def add_to(self, total: np.ndarray, payload: Payload) -> None:
        """Decode and add; see :class:`Compressor`."""
        indices, values = payload
        total[indices] += values
