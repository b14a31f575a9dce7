"""The lead of a crew: it knows what there is to do, gives it out, and decides after every epoch whether to go on.

It works in the thread of the first parameter shard, from message to message: lots are encoded, then measured with the plan that
follows, then trained on epoch by epoch. Nobody waits for the end of an epoch: the next one's lots are given out when the last
of this one's have been.
"""

import json
import time
from typing import Any

import numpy as np

from ...data.arrays import unpack
from ...errors import WorkerLost
from ...server import wire
from ...server.client import Client
from ...server.host import ShardHost, message_of
from ...server.shard import Leave
from ...server.wire import BadMessage, Message
from ..engine import RankContext
from ..progress import Progress
from ..stores import pack_result
from .keeping import RECIPE, Keeping, kept_of
from .ledger import MEASURE, PREPARE, TRAIN, VALIDATE, Ledger
from .reports import name_of, report_of, times_of
from .start import Agreed, Setup, agree, make_shard, merge_measured, merge_prepared, pack_start, set_up, unpack_start
from .states import Collected, States
from .task import CrewTask

# The lead's own number, among the workers'.
LEAD = 0xFFFFFFFF
# Seconds for workers to be told that the fit has ended; between two looks for shards that have been started again.
_PARTING, _VISIT = 2.0, 0.5
# Part of an epoch's steps that are taken between two epochs that are judged.
_PART = 0.5


class Lead:
    """Gives out work.

    Parameters
    ----------
    context : RankContext
    task : CrewTask
    client : Client
        Of the other shards.
    """

    def __init__(self, context: RankContext, task: CrewTask, client: Client):
        self._context, self._task, self._client = context, task, client
        self._ledger = Ledger(task.owners, task.bound)
        self._ledger.open(PREPARE)
        self._news: list[bytes] = []
        self._keeping = Keeping(task)
        self._outbox: list[Message] = []
        self._agreed: Agreed | None = None
        self._setup: Setup | None = None
        self._heard: dict[int, tuple[int, float]] = {}
        self._began = self._visited = time.monotonic()
        self._epoch, self._lowered, self._judged, self._mean_loss = 0, 0, 0, 0.0
        self._held_out: float | None = None
        self._states = States(client, context.attempt)
        self._told: set[int] = set()
        self._ended = 0.0
        self._retaken = False
        self._times: dict[str, Any] = {}
        self.result: bytes | None = None
        client.on_new = self._greeting
        self.host = ShardHost(
            0, context.attempt, self._make, task.workers, task.mode.snapshot_seconds, extra=self._snapshot
        )

    # ---- messages

    def handle(self, message: Message) -> list[Message]:
        """Take a message; return those to send."""
        answers = self._answers(message)
        return answers + self._posted()

    def _posted(self) -> list[Message]:
        """What else is to be sent."""
        outbox, self._outbox = self._outbox, []
        return outbox

    def _answers(self, message: Message) -> list[Message]:
        if message.worker < self._task.workers:
            latest = self._hear(message)
            if message.attempt < latest:
                return [Message(wire.REFUSED, message.worker, message.attempt, clock=latest)]
        if message.kind == wire.BEAT:
            return []
        if message.kind in (wire.ASK, wire.DONE) and message.worker >= self._task.workers:
            raise BadMessage(f"it is of worker {message.worker}, and there are {self._task.workers}")
        if message.kind == wire.ASK:
            return [self._lease(message)]
        if message.kind == wire.DONE:
            return [self._note(message)]
        answers = self.host.handle(message)
        if not self.host.recovering:
            self._retake()
        return answers

    def tick(self) -> list[Message] | None:
        """What is to be sent because time has passed; None when all is said."""
        if self.result is not None:
            gone = len(self._told) >= len(self._heard) or time.monotonic() - self._ended > _PARTING
            return None if gone and not self._keeping.writing else []
        messages = self.host.tick()
        if self.host.recovering:
            return messages
        self._retake()
        self._watch()
        self._go_on()
        self._keep()
        return messages + self._posted()

    def _lease(self, message: Message) -> Message:
        if self.result is not None:
            self._told.add(message.worker)
            return Message(wire.FINAL, message.worker, message.attempt)
        item = None if self.host.recovering else self._ledger.ask(message.worker, time.monotonic())
        if item is None and not self.host.recovering and self._begin_next():
            # Others do what is left of this epoch, which is not waited for.
            item = self._ledger.ask(message.worker, time.monotonic())
        name = b"" if item is None else name_of(item)
        arrays = [np.frombuffer(data, np.uint8) for data in (name, *self._news[max(0, message.step) :])]
        return Message(wire.LEASE, message.worker, message.attempt, arrays=arrays)

    def _note(self, message: Message) -> Message:
        item, report = report_of(message.arrays, self._task.dataset.spec.layout)
        if not self.host.recovering:
            self._ledger.done(message.worker, item, report, time.monotonic())
            self._go_on()
        return Message(wire.NOTED, message.worker, message.attempt)

    # ---- who is there

    def _hear(self, message: Message) -> int:
        """Note a sign of life; return the latest attempt of the worker."""
        attempt, _ = self._heard.get(message.worker, (message.attempt, 0.0))
        if message.attempt > attempt:
            self._lose(message.worker, attempt)
        if message.attempt >= attempt:
            self._heard[message.worker] = message.attempt, time.monotonic()
        return max(attempt, message.attempt)

    def _lose(self, worker: int, attempt: int) -> None:
        """A worker is gone: others do what it was given, and nobody waits for its pushes."""
        self._ledger.lose(worker)
        if self.host.shard is not None:
            self._outbox += map(message_of, self.host.shard.handle(Leave(worker, attempt)))
        for shard in self._client.shards:
            self._client.tell(shard, Message(wire.LEAVE, worker, attempt))

    def _watch(self) -> None:
        """Give up workers that have been silent for too long, and greet shards that have come back."""
        now, deadline = time.monotonic(), self._task.config.deadline
        for worker, (attempt, heard) in list(self._heard.items()):
            if now - heard > deadline:
                del self._heard[worker]
                self._lose(worker, attempt)
        if not self._heard and now - self._began > 3 * deadline:
            raise WorkerLost(
                f"no worker has been heard of for {3 * deadline:g} s; do they reach this machine's address, and its ports?"
            )
        if self._heard:
            self._began = now
        if now - self._visited > _VISIT:
            self._visited = now
            self._client.visit()

    def _greeting(self, shard: int) -> Message | None:
        """What a shard that has been started is told: what it is."""
        if self.host.start is None:
            return None
        return Message(wire.START, LEAD, self._context.attempt, arrays=[np.frombuffer(self.host.start, np.uint8)])

    # ---- from round to round

    def _go_on(self) -> None:
        """Open the next round where one is complete."""
        ledger = self._ledger
        if self.result is not None:
            return
        if ledger.complete(PREPARE):
            self._news = [merge_prepared(self._task, ledger.close(PREPARE), self._keeping.places())]
            self._agreed = agree(self._task, self._news[0])
            ledger.open(MEASURE)
        elif ledger.complete(MEASURE):
            self._news.append(merge_measured(ledger.close(MEASURE)))
            assert self._agreed is not None
            prepared, measures = self._news
            self.host.begin(pack_start(prepared, measures, self._keeping.found(self._agreed)))
            for shard in self._client.shards:
                greeting = self._greeting(shard)
                assert greeting is not None
                self._client.tell(shard, greeting)
        elif ledger.complete(TRAIN, self._epoch):
            self._end_training(ledger.close(TRAIN, self._epoch))
        elif ledger.complete(VALIDATE, self._epoch):
            self._held_out = _mean(ledger.close(VALIDATE, self._epoch), "weight")
            self._end_epoch()
        elif ledger.given_out(TRAIN, self._epoch):
            self._begin_next()

    def _begin_next(self) -> bool:
        """Let the epoch after the present one begin, if this one is being trained and is not the last."""
        if self._setup is None or self.result is not None or self._epoch + 1 >= self._task.config.max_iter:
            return False
        self._ledger.open(TRAIN, self._epoch + 1)
        return True

    def _end_training(self, reports: list[bytes]) -> None:
        self._mean_loss = _mean(reports, "rows") or 0.0
        self._times = times_of(reports, self._task.workers)
        assert self._agreed is not None
        if self._agreed.fraction or self._task.validated:
            self._ledger.open(VALIDATE, self._epoch)
        else:
            self._end_epoch()

    def _end_epoch(self) -> None:
        """Judge the epoch; end the fit, or go on."""
        found = self._collect()
        self.progress.more = self._states.staleness() | self._times
        stop = self._judge(self._mean_loss + found.penalty, found)
        self._epoch += 1
        if stop and not self._lower():
            self._finish(found)
            return
        if self._epoch < self._task.config.max_iter:
            self._ledger.open(TRAIN, self._epoch)
        self._keep()

    def _keep(self) -> None:
        """Make a checkpoint if one is due, wherever the epoch is."""
        if self._setup is None or self.result is not None or self.host.shard is None:
            return
        self.progress.keep(RECIPE, self.host.shard.weights.step, lambda: kept_of(self._collect(), self._snapshot()))

    def _judge(self, objective: float, found: Collected) -> bool:
        """Note the epoch; whether to stop. One whose steps nearly all came before the last was judged says nothing of tol."""
        assert self._setup is not None
        pushes = self._setup.measured.rows / self._setup.recipe.batch_rows
        steps = pushes / self._task.workers if self._task.mode.staleness == 0 else pushes
        if found.step - self._judged < _PART * steps and self._epoch + 1 < self._task.config.max_iter:
            self.progress.note(objective, found.params)
            return False
        self._judged = found.step
        return self.progress.round(objective, found.params)

    def _lower(self) -> bool:
        """Divide an adaptive rate and go on, unless that is over."""
        assert self._setup is not None
        if self._lowered == self._setup.recipe.lowerings or not self.progress.converged or not self.progress.resume():
            return False
        self._lowered += 1
        self._collect()
        return True

    def _collect(self) -> Collected:
        assert self._setup is not None
        assert self.host.shard is not None
        return self._states.collect(self.host.shard, self._setup, self._lowered)

    def _finish(self, found: Collected) -> None:
        assert self._setup is not None
        agreed, best = self._setup.agreed, self.progress.best
        state = {"step": found.step, "first": found.first, "second": found.second, "rule": self._setup.recipe.rule_name}
        positions = None if agreed.numbering is None else agreed.numbering.positions
        self.result = pack_result(
            agreed.plan, found.params if best is None else best, state, self.progress, agreed.initial, positions
        )
        self._ended = time.monotonic()

    # ---- beginning, and beginning again

    def _make(self, start: bytes) -> Any:
        """The first shard, and what the lead itself needs to know.

        A lead that has died, and of which nobody holds a snapshot, may hear from a worker what the shards are before it has found
        that out again.
        """
        *news, kept = unpack_start(start)
        self._news = list(news)
        self._agreed = agree(self._task, self._news[0])
        self._setup = set_up(self._task, self._agreed, self._news[1])
        for kind in (PREPARE, MEASURE):
            self._ledger.drop(kind)
        self._ledger.cheap = self._setup.measured.left
        self.progress = Progress(
            self._task.config, self._setup.measured.rows, lambda params: self._held_out, self._context.report,
            self._agreed.watch, self._keeping.behind(self._agreed),
        )  # fmt: skip
        if kept:
            self._go_on_from(*unpack(kept, "the checkpoint"))
        else:
            self._ledger.open(TRAIN, 0)
        return make_shard(self._task, self._setup, 0, kept)

    def _go_on_from(self, arrays: dict[str, np.ndarray], meta: dict[str, Any]) -> None:
        """Take up a checkpoint. With other lots than it was made with, its epoch begins anew."""
        best = arrays.get("best")
        self.progress.restore(meta["progress"], None if best is None else np.array(best))
        self._epoch, self._lowered, self._judged = (int(meta[name]) for name in ("epoch", "lowered", "judged"))
        self._mean_loss = float(meta["mean_loss"])
        if meta["owners"] == list(self._task.owners) and meta["ledger"]:
            self._ledger.restore(meta["ledger"])
        else:
            self._ledger.open(TRAIN, self._epoch)

    def _snapshot(self) -> dict[str, Any]:
        return {
            "ledger": self._ledger.snapshot(), "epoch": self._epoch, "lowered": self._lowered, "judged": self._judged,
            "mean_loss": self._mean_loss, "history": self.progress.history, "owners": list(self._task.owners),
        }  # fmt: skip

    def _retake(self) -> None:
        """After the lead's own death: go on from what was kept with the first shard's snapshot."""
        if self._retaken:
            return
        self._retaken = True
        kept = self.host.recovered
        if kept:
            self._ledger.restore(kept["ledger"])
            self._epoch, self._lowered, self._judged = (int(kept[name]) for name in ("epoch", "lowered", "judged"))
            self._mean_loss = float(kept["mean_loss"])
            self.progress.history[:] = kept["history"]


def _mean(reports: list[bytes], of: str) -> float | None:
    """Mean loss over lots, by their rows or their weight; None where there are none."""
    parts = [json.loads(report) for report in reports]
    total = sum(part[of] for part in parts)
    return float(sum(part["loss"] for part in parts) / total) if total > 0 else None
