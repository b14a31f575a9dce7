"""What a worker of a crew does: ask the lead what there is to do, do it, and say what came of it."""

import contextlib
import json
import threading
import time
from collections.abc import Callable

import numpy as np
import zmq

from ...errors import WorkerLost
from ...server import wire
from ...server.address import address_on
from ...server.client import Client, CrewOver
from ...server.dealer import Dealer
from ...server.exchange import Exchange
from ...server.wire import Message
from ...transport import Security
from .. import place
from ..engine import RankContext
from .ledger import MEASURE, PREPARE, TRAIN, VALIDATE, Item
from .lots import Lots
from .own_steps import OwnSteps
from .reports import item_of, name_of
from .start import Agreed, agree, pack_start, set_up
from .steps import Steps
from .task import CrewTask

_LEAD = 0
# Seconds between two signs of life; and before a worker asks again when there is nothing to do.
BEAT, _PAUSE = 1.0, 0.02


def run_worker(context: RankContext, task: CrewTask) -> bytes:
    """Be a worker until there is nothing left to do."""
    security = Security(task.keys, task.config.encrypt)
    number = context.rank - task.shards
    with contextlib.ExitStack() as stack:
        stack.enter_context(place.limit_threads(task.config.threads_per_worker))
        client = Client(
            security,
            context.board.read,
            number,
            context.attempt,
            range(task.shards),
            task.patience,
            context.fallen,
            context.machine,
        )
        stack.callback(client.close)
        stack.enter_context(beating(context, security, number))
        lots = Lots(context, task, stack)
        # A crew that is over, or a place that another attempt has taken, is no error of this one.
        with contextlib.suppress(CrewOver):
            Worker(task, client, lots).run()
    return b""


class Worker:
    """One worker, after it has been started."""

    def __init__(self, task: CrewTask, client: Client, lots: Lots):
        self._task, self._client, self._lots = task, client, lots
        self._prepared: bytes | None = None
        self._agreed: Agreed | None = None
        self._steps: Steps | OwnSteps | None = None
        self._taking_part = False
        self._stage = 0

    def run(self) -> None:
        """Work until the lead says that the fit has ended."""
        client = self._client
        while True:
            client.request(_LEAD, Message(wire.ASK, client.worker, client.attempt, step=self._stage))
            lease = client.answer(_LEAD)
            self._learn(lease)
            if lease.kind == wire.FINAL:
                return
            item = self._item(lease)
            if item is None:
                self._rest()
                continue
            report = self._do(item)
            data = [np.frombuffer(report, np.uint8), np.frombuffer(name_of(item), np.uint8)]
            client.request(_LEAD, Message(wire.DONE, client.worker, client.attempt, arrays=data))
            client.answer(_LEAD)

    def _item(self, lease: Message) -> Item | None:
        text = lease.arrays[0].tobytes()
        return item_of(text) if text else None

    def _learn(self, lease: Message) -> None:
        """Take up what the lead has found out since: the plan, then the recipe."""
        news = [array.tobytes() for array in lease.arrays[1:]]
        if self._stage == 0 and news:
            self._prepared = news.pop(0)
            self._agreed = agree(self._task, self._prepared)
            self._lots.agree(self._agreed)
            self._stage = 1
        if self._stage == 1 and news:
            assert self._agreed is not None
            setup = set_up(self._task, self._agreed, measures := news.pop(0))
            assert self._prepared is not None
            start = np.frombuffer(pack_start(self._prepared, measures), np.uint8)
            # A shard that nobody holds a snapshot of can be told what it is by who waits for it: the lead may have died, too,
            # and not know it, or itself be that shard.
            greeting = Message(wire.START, self._client.worker, self._client.attempt, arrays=[start])
            self._client.on_new = lambda shard: greeting
            work, config, staleness = self._lots.work, self._task.config, self._task.mode.staleness
            assert work is not None
            exchange = Exchange(self._client, setup.ranges, state=setup.own_steps)
            if setup.own_steps:
                self._steps = OwnSteps(exchange, work, setup, config.threads_per_worker, staleness is not None)
            else:
                self._steps = Steps(exchange, work, setup, staleness == 0)
            self._stage = 2

    def _rest(self) -> None:
        """There is nothing to do: let the others go on without this worker, and ask again in a moment."""
        if self._taking_part:
            self._client.leave()
            self._taking_part = False
        threading.Event().wait(_PAUSE)

    def _do(self, item: Item) -> bytes:
        work: dict[str, Callable[[Item], bytes]] = {
            PREPARE: lambda item: self._lots.prepare(item.lot),
            MEASURE: lambda item: self._lots.measure(item.lot),
            TRAIN: self._train,
            VALIDATE: self._validate,
        }
        return work[item.kind](item)

    def _train(self, item: Item) -> bytes:
        steps, lot = self._steps, self._lots.get(item.lot)
        assert steps is not None
        if not self._taking_part:
            steps.clock = self._client.join()
            self._taking_part = True
        began, before = time.monotonic(), self._client.waited
        loss = steps.train(lot, item.epoch)
        waiting = self._client.waited - before
        times = {"worker": self._client.worker, "busy": time.monotonic() - began - waiting, "waiting": waiting}
        return json.dumps({"loss": loss, "rows": lot.rows, **times}).encode()

    def _validate(self, item: Item) -> bytes:
        assert self._steps is not None
        loss, weight = self._steps.validate(self._lots.get(item.lot))
        return json.dumps({"loss": loss, "weight": weight}).encode()


@contextlib.contextmanager
def beating(context: RankContext, security: Security, worker: int):
    """Give the lead signs of life from a thread of its own, whatever the worker is doing."""
    stop = threading.Event()
    thread = threading.Thread(target=_beat, args=(context, security, worker, stop), daemon=True, name="dsgd-beat")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(timeout=5.0)


def _beat(context: RankContext, security: Security, worker: int, stop: threading.Event) -> None:
    sockets, dealer = zmq.Context(), None
    try:
        while not stop.is_set():
            # A lead that cannot be reached is the worker's own affair, which waits for it with a deadline.
            with contextlib.suppress(WorkerLost):
                if dealer is None or dealer.lost():
                    found = address_on(context.board.read, _LEAD, context.machine)
                    if dealer is not None:
                        dealer.close()
                    dealer = None if found is None else Dealer(sockets, security, found[0])
                if dealer is not None:
                    dealer.send(Message(wire.BEAT, worker, context.attempt))
            stop.wait(BEAT)
    finally:
        if dealer is not None:
            dealer.close()
        sockets.destroy(linger=0)
