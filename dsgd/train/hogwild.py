"""Threads that step on one vector of weights without locks (Hogwild: Niu, Recht, Re & Wright, NIPS 2011).

In come blocks of rows with the runs to visit, as :meth:`dsgd.objective.share.Share.training` yields them; out goes one model that
all threads have trained. One thread does exactly what the kernels do, bit for bit. Of several, each claims chunks of a
block until none is left, so that a slow one holds nobody up; where its weights lie is told in :mod:`.hogwild_copies`, and how
they meet those of the others in :mod:`dsgd.kernels.hogwild`.

What is exact with several threads: every row is used once; steps are numbered as one thread would number them, so schedules
and corrections for bias go on as they should; and of each weight the penalty of every step is taken, once, but for that of some
steps of a chunk. What is not: a step sees what the others have done up to a chunk or two ago; it may lose what it adds to a
weight that another thread writes at the same instant; where threads have moved their copies the same way, as each would have
done alone, the mean of it counts instead of the sum (which is what keeps large steps stable); and moving averages that a rule
keeps (momentum, Adam) are averaged over the threads.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..errors import ConfigError
from ..kernels import registry
from ..kernels.claims import NEXT, STOP
from ..kernels.coordinates import settle_all
from ..kernels.hogwild import hogwild_online, hogwild_steps
from ..kernels.hogwild_merge import State, merge
from ..kernels.hogwild_multi import hogwild_steps_multi
from ..kernels.hogwild_settle import extend_clock, settle_features, settle_stretch
from ..kernels.online import online_pass
from ..kernels.rows import Rows, read_only
from ..objective.passes import Pass
from .hogwild_copies import Copies
from .hogwild_hot import SAMPLE, SLOTS, Hot, bare, choose_hot, unmoved
from .hogwild_thread import Chunks, Worker, divide
from .hogwild_threads import Threads


class Hogwild:
    """Lock-free threads over one model's weights.

    Parameters
    ----------
    rule, schedule : named tuples
        As the kernels take them, their numbers in the problem's dtype (:func:`dsgd.train.recipe.in_dtype`).
    passes : sequence of Pass
        One for each thread, all of one problem and of one length of runs.
    params : ndarray of shape ((d + 1) k,)
        The weights to start from; copied.
    first, second : ndarray of the same shape, or None
        The rule's state, as :meth:`dsgd.train.recipe.Recipe.initial_state` makes it; copied.
    step : int
        Steps taken before.
    online : bool
        Row by row, for one output; otherwise in mini-batches.
    sparse : bool
        Whether a step touches only the weights that its rows use.
    batch_runs : int
        Runs of a mini-batch.
    constant_rate : bool
        Whether the schedule is constant, so that lazy penalties need no table of rates.

    Attributes
    ----------
    params, first, second : ndarray or None
        The model and the rule's state, whole between runs but for lazy penalties, which :meth:`settle` brings up to date. They
        may be written to between runs, when penalties are settled.
    step : int
        Steps taken.
    schedule : named tuple
        May be replaced by another of its type between runs.

    Raises
    ------
    ConfigError
        Without a thread, or for a pass row by row of several outputs.

    Examples
    --------
    Two threads, a thousand rows of two numbers each, whose sum decides the class:

    >>> from dsgd.data import as_dataset, make_block
    >>> from dsgd.losses import make_loss
    >>> from dsgd.objective.problem import Problem, run_starts
    >>> from dsgd.objective.scaling import no_scaling
    >>> from dsgd.optim.rules import AdaGrad
    >>> from dsgd.optim.schedules import Constant
    >>> from dsgd.train.recipe import in_dtype
    >>> X = np.random.default_rng(0).standard_normal((1000, 2))
    >>> y, single = np.sign(X.sum(axis=1)), np.dtype("float32")
    >>> layout, scaling = as_dataset(X, y).spec.layout, no_scaling(single)
    >>> problem = Problem(
    ...     make_loss("log_loss"), 1, layout, scaling.frame(layout.crosses), scaling, single, l1=0.0, l2=0.0, intercept=True,
    ...     weight_scale=1.0, rows=1000, class_weight=np.zeros(0),
    ... )
    >>> parts = [(problem.rows_of(make_block(y, dtype=single, dense=X)), run_starts(1000, 64, None))]
    >>> passes, start = [Pass(problem, 64) for _ in range(2)], np.zeros(3, single)
    >>> rule, rate = in_dtype(AdaGrad(), single), in_dtype(Constant(0.5), single)
    >>> threads = Hogwild(rule, rate, passes, start, start, online=True, sparse=False)
    >>> losses = [threads.run(parts)[0] / 1000 for _ in range(5)]
    >>> threads.step, losses[-1] < 0.2, bool((threads.params[:2] > 2).all())
    (5000, True, True)
    """

    def __init__(
        self,
        rule: Any,
        schedule: Any,
        passes: Sequence[Pass],
        params: np.ndarray,
        first: np.ndarray | None = None,
        second: np.ndarray | None = None,
        step: int = 0,
        *,
        online: bool,
        sparse: bool,
        batch_runs: int = 1,
        constant_rate: bool = False,
    ):
        if not passes:
            raise ConfigError("Hogwild needs a Pass for each of its threads, at least one; found none")
        self.problem = problem = passes[0].problem
        if online and problem.outputs > 1:
            raise ConfigError(f"row by row there is one output, not {problem.outputs}; use mini-batches")
        self.rule, self.schedule, self.step = rule, schedule, step
        self._online, self._sparse, self._batch_runs = online, sparse, batch_runs
        lazy = bool(sparse and rule.lazy and (problem.l1 > 0 or problem.l2 > 0))
        self._rows = 0
        # State that catches up with steps it has missed is a sum, and adds up over threads; moving averages are averaged.
        share = 1.0 if rule.lazy else 1.0 / len(passes)
        # Threads' own parts are further apart than cores fetch at once.
        self._block_size = problem.layout.dense + SLOTS + 64
        self._copies = Copies(
            State(params, first, second),
            len(passes),
            problem.outputs,
            self._kind(len(passes)),
            self._block_size,
            share,
            lazy,
        )
        self._workers = [Worker(work) for work in passes]
        self._hot = Hot(np.zeros(0, np.intp), unmoved(), 0, 0)
        self._base = step
        self._clock = np.zeros(1 << 10) if lazy and not constant_rate else None

    def _kind(self, threads: int) -> str:
        """Of which weights threads have copies."""
        if threads == 1 or (self._sparse and not self._online):
            return "none"
        return "hot" if self._sparse and self.problem.size > SLOTS else "all"

    @property
    def params(self) -> np.ndarray:
        """The weights of the model, (d + 1) k numbers."""
        return self._copies.model.params

    @property
    def first(self) -> np.ndarray | None:
        """The rule's first state."""
        return self._copies.model.first

    @property
    def second(self) -> np.ndarray | None:
        """The rule's second state."""
        return self._copies.model.second

    def run(self, parts: Iterable[tuple[Rows, np.ndarray]]) -> tuple[float, int]:
        """Let the threads work through the runs of some blocks.

        Parameters
        ----------
        parts : iterable of (Rows, starts)
            A block's arrays need to be valid only until the next one is asked for.

        Returns
        -------
        loss_sum : float
            Sum of weight x loss of each row at the weights of its step.
        rows : int

        Raises
        ------
        WorkerLost
            When a thread does not end.
        Exception
            What a thread has raised, or ``parts``: no thread is left then, and the weights are good for nothing.
        """
        total, before, opened = 0.0, self._rows, False
        with Threads(len(self._workers) - 1) as threads:
            for arrays, starts in parts:
                chunks = self._divide(read_only(arrays), starts)
                if not opened:
                    self._open(chunks.rows)
                    opened = True
                total += self._block(threads, chunks)
        if opened:
            self._close()
        return total, self._rows - before

    def settle(self) -> None:
        """Bring all lazy penalties up to the present step."""
        p, last = self.problem, self._copies.model_last
        if last is None:
            return
        about = (self.rule, self.schedule, p.penalty())
        if len(self._workers) == 1:
            settle_all(*about, p.outputs, *self._copies.model, last, self._clock, p.layout.dense, self.step, self._base)
        else:
            begin, end = p.layout.dense * p.outputs, p.weights
            settle_stretch(*about, *self._copies.model, last, self._rates, begin, end, self.step, self._base, 1)
            for account in self._copies.accounts:
                # What a thread has taken for steps to come remains to its credit.
                account -= self.step - self._base
                np.maximum(account, 0, out=account)
        self._base = self.step

    def settle_only(self, features: np.ndarray) -> None:
        """Bring the lazy penalties of some features, ascending, up to the present step."""
        p, last = self.problem, self._copies.model_last
        if last is not None:
            # Dense weights are penalised with every step.
            sparse = features[np.searchsorted(features, p.layout.dense) :]
            settle_features(
                self.rule, self.schedule, p.penalty(), p.outputs, *self._copies.model, last, self._rates, sparse, self.step,
                self._base,
            )  # fmt: skip

    def restart(self, step: int) -> None:
        """Go on from what has been written to the model since the last run, whose penalties are those of ``step`` steps."""
        self.step = self._base = step
        if self._copies.model_last is not None:
            self._copies.model_last[:] = 0
        for account in self._copies.accounts:
            account[:] = 0

    # ---- copies

    def _open(self, rows: Rows) -> None:
        """Give the threads their copies; which weights are hot is chosen by the first rows, and again while those were few."""
        dense = self.problem.layout.dense
        if self._copies.kind == "hot":
            if self._hot.rows < min(SAMPLE, len(rows.label)) and self._all_settled():
                self._hot = choose_hot(rows, self.problem.frame, self.problem.layout.size, SLOTS, self._block_size)
            self._copies.open(np.concatenate([np.arange(dense), self._hot.weights, [self.problem.layout.size]]))
        else:
            self._copies.open()

    def _all_settled(self) -> bool:
        """Whether no weight's penalty is behind."""
        return self._copies.model_last is None or self._base == self.step

    def _close(self) -> None:
        """Settle and merge the copies, and write them to the model."""
        p, copies = self.problem, self._copies
        for own, last, meeting in zip(copies.own, copies.last, copies.meetings, strict=True):
            if last is not None and meeting.hot:
                settle_stretch(
                    self.rule, self.schedule, p.penalty(), *own, last, self._rates, p.layout.dense, meeting.hot, self.step,
                    self._base, len(self._workers),
                )  # fmt: skip
            if len(meeting.together.params):
                merge(self.rule, p.penalty(), own, meeting, self.step)
        written = copies.close()
        if copies.model_last is not None:
            copies.model_last[written] = self.step - self._base

    # ---- a block

    def _divide(self, rows: Rows, starts: np.ndarray) -> Chunks:
        run, batch_runs = self._workers[0].work.run, None if self._online else self._batch_runs
        return divide(rows, starts, run, batch_runs, len(self._workers), self.step, self._rows)

    def _block(self, threads: Threads, chunks: Chunks) -> float:
        """Step once through the runs of a block; return the sum of the loss."""
        columns = chunks.rows.codes.shape[1] + len(self.problem.frame.cross_start)
        for worker in self._workers:
            worker.prepare(chunks, columns)
        self._tick(int(chunks.steps[-1]) - self.step)
        if len(self._workers) == 1:
            loss = self._alone(chunks)
        else:
            claims = self._copies.meetings[0].claims
            claims[NEXT] = 0
            loss = sum(threads.call(lambda number: self._work(number, chunks), lambda: claims.__setitem__(STOP, 1)))
        self.step = int(chunks.steps[-1])
        self._rows += chunks.size
        return loss

    def _tick(self, steps: int) -> None:
        """Enter the rates of the next steps in the clock."""
        if self._clock is not None:
            taken = self.step - self._base
            if taken + steps >= len(self._clock):
                self._clock = np.concatenate([self._clock, np.zeros(len(self._clock) + steps)])
            extend_clock(self.schedule, self._clock, taken, self.step, steps)

    @property
    def _rates(self) -> np.ndarray:
        """The clock, empty where there is none."""
        return np.zeros(0) if self._clock is None else self._clock

    def _alone(self, chunks: Chunks) -> float:
        """One thread: the kernels as they are."""
        p, work, model, last = self.problem, self._workers[0].work, self._copies.model, self._copies.model_last
        scale = p.dtype.type(p.weight_scale)
        about = (p.loss, self.rule, self.schedule, p.penalty(), chunks.rows, p.frame, chunks.starts)
        if self._online:
            shared = (*model, last, self._clock, self.step, self._base, scale, work.scratch)
            return online_pass(*about, work.run, *shared)[0]
        kernel = registry.get("local_steps" if p.outputs == 1 else "local_steps_multi")
        return kernel(
            *about, chunks.bounds, work.run, *model, last, self._clock, self.step, self._base, self._sparse, scale,
            work.gradient, None, 0, work.scratch,
        )[0]  # fmt: skip

    def _work(self, number: int, chunks: Chunks) -> float:
        """What one of several threads does."""
        p, copies, worker = self.problem, self._copies, self._workers[number]
        work, scale = worker.work, p.dtype.type(p.weight_scale)
        about = (p.loss, self.rule, self.schedule, p.penalty(), chunks.rows, p.frame)
        own, last, meeting = copies.own[number], copies.last[number], copies.meetings[number]
        share = (work.run, chunks.edges, chunks.steps)
        if self._online:
            last = np.zeros(0, np.int32) if last is None else last
            return hogwild_online(
                *about, bare(p.frame), chunks.starts, *share, own, last, self._rates, self._base, len(self._workers), meeting,
                self._hot.moves_of(number), scale, worker.scratch, worker.room,
            )  # fmt: skip
        kernel = hogwild_steps if p.outputs == 1 else hogwild_steps_multi
        return kernel(
            *about, chunks.starts, chunks.bounds, *share, own, last, self._clock, self._base, meeting, self._sparse, scale,
            worker.gradient, worker.scratch,
        )  # fmt: skip
