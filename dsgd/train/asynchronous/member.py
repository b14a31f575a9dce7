"""A member of a crew, as an engine starts it: the lead with the first shard, another shard, or a worker."""

import contextlib
from collections.abc import Iterable

from ...server.address import announcement, place_of
from ...server.client import Client
from ...server.host import ShardHost
from ...server.service import Service
from ...server.shard import ParameterShard
from ...server.wire import Message
from ...transport import Security
from .. import place
from ..engine import RankContext
from .lead import LEAD, Lead
from .start import agree, make_shard, set_up, unpack_start
from .task import CrewTask
from .worker import run_worker


def run_member(context: RankContext, task: CrewTask) -> bytes:
    """Be what this member's number says; the lead returns the result of the fit."""
    if context.rank >= task.shards:
        return run_worker(context, task)
    with contextlib.ExitStack() as stack:
        stack.enter_context(place.limit_threads(1))
        config, security = task.config, Security(task.keys, task.config.encrypt)
        service = Service(security, config.interface or context.host, config.port_range, context.scratch)
        stack.callback(service.close)
        address = announcement(service.address, service.near, context.machine, context.attempt)
        if context.rank == 0:
            return _lead(context, task, service, security, address, stack)
        host = ShardHost(
            context.rank, context.attempt, lambda start: _make(task, context.rank, start), task.workers,
            task.mode.snapshot_seconds,
        )  # fmt: skip
        context.board.post(place_of(context.rank), address)
        service.serve(host.handle, lambda: None if context.fallen() else host.tick())
        return b""


def _lead(
    context: RankContext,
    task: CrewTask,
    service: Service,
    security: Security,
    address: bytes,
    stack: contextlib.ExitStack,
) -> bytes:
    client = Client(
        security, context.board.read, LEAD, context.attempt, range(1, task.shards), task.patience, context.fallen,
        context.machine,
    )  # fmt: skip
    stack.callback(client.close)
    lead = Lead(context, task, client)
    context.board.post(place_of(0), address)

    def tick() -> Iterable[Message] | None:
        return None if context.fallen() else lead.tick()

    service.serve(lead.handle, tick)
    return lead.result or b""


def _make(task: CrewTask, number: int, start: bytes) -> ParameterShard:
    prepared, measures, kept = unpack_start(start)
    return make_shard(task, set_up(task, agree(task, prepared), measures), number, kept)
