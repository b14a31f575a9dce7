"""How benchmarks measure: sides that take turns, samples, and the few kinds of figure made from them.

Comes in: named sides, each a function that does its work once and says how long it took. Goes out: samples of every side,
taken in turns so that a noisy minute hits all of them, and the median and range of the figure that a line of the table asks
for. The sides of one round are compared with each other, never with another round's.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Literal

import numpy as np


@dataclass
class Sample:
    """One execution of one side.

    Attributes
    ----------
    seconds : float
    loss : float or None
        Hold-out log-loss, where the side trains to an answer.
    detail : dict
        Anything worth keeping in the results (iterations, peak memory, the chosen C ...).
    """

    seconds: float
    loss: float | None = None
    detail: dict = field(default_factory=dict)


class Stopwatch:
    """Seconds spent inside ``with clock.running():`` blocks."""

    def __init__(self) -> None:
        self.seconds = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count the time of the block."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            self.seconds += time.perf_counter() - begin


def timed(work: Callable[[], object]) -> Sample:
    """Time one call."""
    clock = Stopwatch()
    with clock.running():
        work()
    return Sample(clock.seconds)


def take_turns(sides: dict[str, Callable[[], Sample]], rounds: int, budget: float = 300.0) -> dict[str, list[dict]]:
    """Run all sides in turn, ``rounds`` times or until ``budget`` seconds are gone (but once at least).

    Returns
    -------
    dict
        For each side its samples as dictionaries, one a round.
    """
    samples: dict[str, list[dict]] = {name: [] for name in sides}
    deadline = time.monotonic() + budget
    for _ in range(rounds):
        for name, side in sides.items():
            samples[name].append(asdict(side()))
        if time.monotonic() > deadline:
            break
    return samples


def log_loss(score: np.ndarray, labels: np.ndarray) -> float:
    """Mean logistic loss (natural log) of raw scores for 0/1 labels, stable at any score.

    Examples
    --------
    >>> round(log_loss(np.array([0.0, 800.0]), np.array([1, 1])), 4)
    0.3466
    """
    signed = np.where(labels > 0, score, -np.asarray(score, np.float64))
    return float(np.mean(np.logaddexp(0, -signed)))


@dataclass(frozen=True)
class Line:
    """One line of the table: which figure, from which sides, and the number to reach.

    Attributes
    ----------
    name, what : str
    kind : {"speedup", "overhead", "rate", "seconds"}
        "speedup": peer's seconds / ours, to be at least ``target``. "overhead": ours / peer's, at most ``target``.
        "rate": ``work`` / our seconds, at least ``target``. "seconds": ours, at most ``target``.
    ours, peer : str
        Names of sides; ``peer`` is "" for "rate" and "seconds".
    target : float or None
        None for a yardstick: what the machine can do, beside which other lines are read.
    work : float
        Work in each of a sample's units, for "rate" (non-zeros in a row); ``unit`` is what the table shows.
    times : float
        How many times the peer's work ours does, for "speedup".
    loss_margin : float or None
        When set, our hold-out loss must also be at most ``(1 + loss_margin)`` times the peer's.
    """

    name: str
    what: str
    kind: Literal["speedup", "overhead", "rate", "seconds"]
    ours: str
    target: float | None
    peer: str = ""
    work: float = 1.0
    unit: str = "x"
    loss_margin: float | None = None
    times: float = 1.0

    def figures(self, samples: dict[str, list[dict]], units: float = 1.0) -> list[float]:
        """The figure of every round, ``units`` of work having been done in each."""
        ours = [sample["seconds"] for sample in samples[self.ours]]
        if self.kind == "rate":
            return [self.work * units / seconds for seconds in ours]
        if self.kind == "seconds":
            return ours
        peer = [sample["seconds"] for sample in samples[self.peer]]
        pairs = zip(ours, peer, strict=False)
        return [self.times * b / a if self.kind == "speedup" else a / b for a, b in pairs]

    def judge(self, samples: dict[str, list[dict]], units: float = 1.0) -> dict:
        """Median, range and whether the target was reached, ready for JSON."""
        figures = self.figures(samples, units)
        figure = median(figures)
        verdict = {"figure": figure, "low": min(figures), "high": max(figures), "rounds": len(figures)}
        verdict |= {"ours_seconds": _median(samples, self.ours), "peer_seconds": _median(samples, self.peer)}
        if self.loss_margin is not None:
            ours, peer = (_median(samples, side, "loss") for side in (self.ours, self.peer))
            verdict |= {"ours_loss": ours, "peer_loss": peer}
        return {**asdict(self), **verdict, "reached": self._reached(verdict)}

    def _reached(self, verdict: dict) -> bool | None:
        """Whether the target was reached, at no worse a loss; None for a yardstick."""
        if self.target is None:
            return None
        figure = verdict["figure"]
        good = figure >= self.target if self.kind in ("speedup", "rate") else figure <= self.target
        if self.loss_margin is not None:
            good = good and verdict["ours_loss"] <= verdict["peer_loss"] * (1 + self.loss_margin)
        return bool(good)


def _median(samples: dict[str, list[dict]], side: str, key: str = "seconds") -> float | None:
    return median(sample[key] for sample in samples[side]) if side else None
