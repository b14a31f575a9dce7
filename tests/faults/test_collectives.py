"""Ranks that die, freeze, or never come: the others raise WorkerLost and say who, and nothing is left behind."""

import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dsgd.collectives import SharedMemory, connect
from dsgd.collectives.heartbeat import Heartbeat
from dsgd.collectives.region import open_shared
from dsgd.collectives.shared import region_bytes
from dsgd.errors import ConfigError, WorkerLost
from dsgd.transport import FitKeys

from ..collectives import checks
from ..collectives.gangs import Context, Processes, Setting

SETTINGS = {
    "shared memory": Setting(deadline=60.0, processes=True),
    "ring": Setting("ring", deadline=60.0, machines=0, processes=True),
    "tree": Setting("tree", deadline=60.0, machines=0, processes=True),
    "two levels": Setting("ring", deadline=60.0, machines=2, processes=True),
}


@pytest.fixture
def gang(request):
    gang = Processes(request.param, 3)
    assert gang.connected == ["connected"] * 3
    yield gang
    gang.close()


def stop_rank(gang: Processes, rank: int, number: signal.Signals, doing: str) -> list:
    """Let all ranks reduce for ever, or wait for one at work; send that one a signal, and return what the others say."""
    pids = gang.run(checks.pid)
    work = [300.0 if other == rank else 0.0 for other in range(gang.size)]
    for other in range(gang.size):
        gang.tell(other, {"check": doing, "arguments": [work] if doing == "late" else []})
    time.sleep(0.3)
    os.kill(pids[rank], number)
    try:
        return [gang.answer(other) for other in range(gang.size) if other != rank]
    finally:
        os.kill(pids[rank], signal.SIGKILL)


@pytest.mark.parametrize("doing", ["endless", "late"])
@pytest.mark.parametrize("gang", SETTINGS.values(), ids=SETTINGS.keys(), indirect=True)
def test_a_killed_rank_is_noticed_before_the_deadline(gang, doing):
    answers = stop_rank(gang, 1, signal.SIGKILL, doing)
    assert [name for name, _ in answers] == ["WorkerLost"] * 2
    assert not any("silent" in message for _, message in answers)
    assert any("rank 1 died" in message or "rank 1 closed its connection" in message for _, message in answers)


@pytest.mark.parametrize(
    "gang",
    [Setting(deadline=3.0, processes=True), Setting("ring", deadline=3.0, machines=0, processes=True)],
    ids=["shared memory", "ring"],
    indirect=True,
)
@pytest.mark.parametrize("doing", ["endless", "late"])
def test_a_frozen_rank_is_given_up_at_the_deadline(gang, doing):
    answers = stop_rank(gang, 2, signal.SIGSTOP, doing)
    assert [name for name, _ in answers] == ["WorkerLost"] * 2
    assert any("rank 2 was silent for 3 seconds" in message for _, message in answers)


@pytest.mark.parametrize(
    "gang",
    [replace(setting, deadline=1.0) for setting in SETTINGS.values()],
    ids=SETTINGS.keys(),
    indirect=True,
)
def test_ranks_at_work_are_waited_for_longer_than_the_deadline(gang):
    """Whoever waits for them, and whoever waits for those who wait."""
    assert gang.run(checks.late, [0.0, 1.5, 3.0]) == [3.0] * 3


def test_work_that_does_not_get_on_is_not_vouched_for():
    given = []
    heart = Heartbeat(lambda: given.append(1), lambda: 0, deadline=0.1, stalled=0.2)

    def ended():
        before = len(given)
        time.sleep(0.5)
        return bool(before) and len(given) == before

    with heart.working() as moved:
        assert wait_until(ended), "signs were given though nothing moved"
        before = len(given)
        moved()
        assert wait_until(lambda: len(given) > before), "no sign after a piece of work"
    assert ended(), "signs were given outside of the work"


def wait_until(condition, seconds=60.0):
    """Wait until a condition holds; return whether it came to that."""
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        if condition():
            return True
        time.sleep(0.01)
    return False


@pytest.fixture(scope="module")
def compiled():
    """The kernels are loaded: an interrupt in the middle of that would leave numba itself in pieces."""
    SharedMemory(np.zeros(region_bytes(1, 1024), np.uint8), 0, 1, 1024, deadline=60.0).barrier()


@pytest.mark.usefixtures("compiled")
def test_an_interrupt_ends_the_wait_and_releases_the_peers():
    region = np.zeros(region_bytes(2, 1024), np.uint8)
    waiting, peer = (SharedMemory(region, rank, 2, 1024, deadline=60.0) for rank in range(2))

    def interrupt(number, frame):
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        with pytest.raises(KeyboardInterrupt):
            waiting.barrier()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    with pytest.raises(WorkerLost, match="interrupted"):
        waiting.barrier()
    peer.barrier()  # at which the other one had arrived
    with pytest.raises(WorkerLost, match="rank 0 has closed the collective or failed"):
        peer.barrier()


def test_a_rank_that_never_comes_is_named(tmp_path):
    with pytest.raises(WorkerLost, match=r"rank 1 was silent for 0\.3 seconds"):
        open_shared("early", 0, 2, 1 << 20, scratch=str(tmp_path), deadline=0.3)
    with pytest.raises(WorkerLost, match=r"did not create the shared file"):
        open_shared("late", 1, 2, 1 << 20, scratch=str(tmp_path), deadline=0.3)
    leftovers = [*tmp_path.iterdir(), *Path("/dev/shm").glob("dsgd-early*")]
    assert leftovers == []


def test_memory_that_has_no_room_falls_back_to_the_scratch_directory(tmp_path, monkeypatch):
    monkeypatch.setattr("dsgd.collectives.region.MEMORY", tmp_path / "absent")
    collective = open_shared("alone", 0, 1, 1 << 20, scratch=str(tmp_path), deadline=5.0)
    buffer = np.arange(200_000.0)
    collective.allreduce(buffer)
    assert buffer.tolist() == list(range(200_000))
    assert list(tmp_path.iterdir()) == []
    collective.close()


def lonely(rank=0, size=2, allgather=lambda payload: [payload, payload], scratch="/tmp"):
    return Context(rank, size, "machine", scratch, allgather)


def test_ranks_without_keys_are_a_mistake_of_the_caller():
    with pytest.raises(ConfigError, match=r"FitKeys.generate\(\)"):
        connect(lonely())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"topology": "star"}, "topology must be"),
        ({"deadline": 0.0}, "deadline must be"),
        ({"port_range": (70000, 70001)}, "port_range must be"),
        ({"interface": "192.0.2.1"}, "must be an address of this machine"),
        ({"interface": "no-such-host.invalid"}, "does not resolve"),
    ],
)
def test_unusable_settings_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        connect(lonely(), keys=FitKeys.generate(), **options)


def test_ranks_with_different_settings_are_refused():
    def allgather(payload):
        return [payload, payload.replace(b"ring", b"tree")]

    with pytest.raises(ConfigError, match="rank 1 has"):
        connect(lonely(allgather=allgather), keys=FitKeys.generate())


def test_a_range_without_a_free_port_says_what_to_widen():
    keys = FitKeys.generate()

    def allgather(payload):
        with pytest.raises(ConfigError, match="widen port_range"):
            connect(lonely(), keys=keys, port_range=used(payload))
        raise ConnectionAbortedError

    def used(payload):
        port = int(payload.partition(b"tcp://127.0.0.1:")[2].partition(b'"')[0])
        return port, port

    with pytest.raises(ConnectionAbortedError):
        connect(lonely(allgather=allgather), keys=keys)
