"""Functions that take turns: each runs until it asks for something, and once all have asked, all are answered together.

A recipe calls for its sums in the middle of its own control flow. Run in a thread of its own, it may stop there while the
others come to the same point. One runs at a time, always in the same order, so that ranks of a gang that run the same
functions meet in the same collective operations.
"""

import threading
from collections.abc import Callable, Sequence
from typing import Any


class Abandoned(BaseException):
    """Ends a function whose answer will never come, because another one failed; not an error of its own."""


class Turn:
    """One function and its thread; ``ask`` is called from inside of the function.

    A semaphore hands over between two threads of this process, of which the other always runs: it needs no deadline of its own.
    """

    def __init__(self, function: Callable[["Turn"], Any]):
        self._function = function
        self._go, self._stopped = threading.Semaphore(0), threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run, name="dsgd-lane", daemon=True)
        self._answer: Any = None
        self._abandoned = False
        self.request: Any = None
        self.result: Any = None
        self.error: BaseException | None = None
        self.done = False

    def ask(self, request: Any) -> Any:
        """Stop until there is an answer, and return it."""
        self.request = request
        self._stopped.release()
        self._go.acquire()
        if self._abandoned:
            raise Abandoned
        self.request = None
        return self._answer

    def resume(self, answer: Any = None) -> None:
        """Let the function run until it asks or ends."""
        if not self._thread.ident:
            self._thread.start()
        self._answer = answer
        self._go.release()
        self._stopped.acquire()

    def abandon(self) -> None:
        """End a function that waits for an answer, and its thread."""
        if self._thread.ident and not self.done:
            self._abandoned = True
            self.resume()
        if self._thread.ident:
            self._thread.join()

    def _run(self) -> None:
        self._go.acquire()
        try:
            self.result = self._function(self)
        except BaseException as error:  # It is raised again, where the turns are given.
            self.error = error
        finally:
            self.done = True
            self._stopped.release()


def take_turns(
    functions: Sequence[Callable[[Turn], Any]], answer: Callable[[list[tuple[int, Any]]], dict[int, Any]]
) -> list[Any]:
    """Run functions to their ends and return their results.

    Parameters
    ----------
    functions : sequence of callable
        Each is given its :class:`Turn`, to ask by.
    answer : callable
        Takes (number of the function, request) of all that wait, and returns the answers of at least one of them, by number.

    Raises
    ------
    Exception
        The first error of a function, or of ``answer``; the other functions are ended before.

    Examples
    --------
    >>> double = lambda asked: {number: 2 * value for number, value in asked}
    >>> take_turns([lambda turn: turn.ask(1) + turn.ask(5), lambda turn: turn.ask(10)], double)
    [12, 20]
    """
    turns = [Turn(function) for function in functions]
    answers: dict[int, Any] = dict.fromkeys(range(len(turns)))
    try:
        while True:
            for number in sorted(answers):
                turns[number].resume(answers[number])
                error = turns[number].error
                if error is not None:
                    raise error
            waiting = [(number, turn.request) for number, turn in enumerate(turns) if not turn.done]
            if not waiting:
                return [turn.result for turn in turns]
            answers = answer(waiting)
    finally:
        for turn in turns:
            turn.abandon()
