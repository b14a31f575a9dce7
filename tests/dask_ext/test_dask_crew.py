"""What is Dask's own in a crew: actors beside the tasks, workers that come back, and what the scheduler still knows."""

import json
import os
import socket
import threading
import time

import pytest

from dsgd.errors import ConfigError, DataError, WorkerLost

pytest.importorskip("distributed")

import distributed
from distributed import Client, LocalCluster

from dask_ext.engine import DaskEngine
from dask_ext.placement import place_crew

SELF = "dsgd.train.selftest_crew:"
MEASURE = "dsgd.train.selftest:measure"


class Enough(Exception):
    """Ends a crew from the driver's side."""


def left(dask_scheduler):
    """What the scheduler remembers of crews."""
    names = [*dask_scheduler.tasks, *dask_scheduler.task_metadata]
    return [name for name in names if str(name).startswith(("dsgd-board", "dsgd-member", "dsgd-host", "dsgd-probe"))]


def directories(dask_worker):
    """Directories of crews on this worker's disk."""
    return [name for name in os.listdir(os.path.dirname(dask_worker.local_directory)) if name.startswith("dsgd-")]


def nothing_is_left(client):
    """Wait until neither the scheduler nor a worker's disk has anything of a crew; return what there is."""
    limit = time.monotonic() + 30.0
    while True:
        found = client.run_on_scheduler(left)
        for names in client.run(directories).values():
            found += names
        if not found or time.monotonic() > limit:
            return found
        time.sleep(0.05)


def meet(engine, deaths, **options):
    """Let the members meet after so many deaths of each; return what they said of themselves."""
    return json.loads(engine.crew(SELF + "meet", [tuple(deaths)] * len(deaths), **options))


def test_servers_are_spread_over_workers_without_a_task_first():
    threads = {"a": 2, "b": 2, "c": 1}
    assert place_crew(3, 1, threads) == (["c", "a", "b"], {"a": 2, "b": 2, "c": 1})
    assert place_crew(6, 4, threads) == (["c", "a", "b", "c", "a", "b"], {"a": 2, "b": 2, "c": 1})
    assert place_crew(5, 1, threads) == (["b", "a", "a", "b", "c"], {"a": 1, "b": 2, "c": 1})
    assert place_crew(1, 1, threads) == (["a"], {"a": 2})


def test_a_crew_that_does_not_fit_is_refused():
    with pytest.raises(ConfigError, match=r"1 to 3 ranks .2 workers with 3 threads., not 4"):
        place_crew(6, 2, {"a": 2, "b": 1})
    with pytest.raises(ConfigError, match="the cluster has no workers"):
        place_crew(1, 1, {})


def test_servers_leave_the_workers_threads_to_others(dask_client):
    class Counter:
        def add(self, number):
            return number + 1

    # An actor of the user's own on each worker, which has one thread for the methods of all its actors.
    addresses = sorted(dask_client.nthreads())
    pinned = {"actor": True, "allow_other_workers": False, "pure": False}
    counters = [dask_client.submit(Counter, workers=[address], **pinned).result(timeout=30) for address in addresses]

    def look(record):
        for address in addresses:
            assert dask_client.submit(len, "x", workers=[address], pure=False).result(timeout=30) == 1
        assert [counter.add(1).result(timeout=30) for counter in counters] == [2, 2]
        raise Enough

    with DaskEngine(dask_client) as engine, pytest.raises(Enough):
        engine.crew(SELF + "report_for_ever", [None] * 2, servers=2, on_report=look)
    assert nothing_is_left(dask_client) == []


@pytest.mark.parametrize("servers", [0, 1])
def test_payloads_may_hold_futures_and_be_large(dask_client, servers):
    with DaskEngine(dask_client) as engine:
        (future,) = dask_client.scatter([b"x" * 1000], hash=False)
        assert engine.crew(MEASURE, [future], servers=servers) == b"1000:120"
        assert engine.crew(MEASURE, [b"y" * (3 << 20)], servers=servers) == f"{3 << 20}:121".encode()


def test_data_that_is_still_computed_is_waited_for(threaded_client):
    def slow():
        time.sleep(4.0)
        return b"slow"

    busy = sorted(threaded_client.nthreads())[1]
    future = threaded_client.submit(slow, workers=[busy], pure=False)
    with DaskEngine(threaded_client) as engine:
        assert engine.crew(MEASURE, [future], servers=1, deadline=3.0) == f"4:{ord('w')}".encode()


def test_data_that_cannot_be_computed_is_told(threaded_client):
    def fail():
        raise ValueError("no such file")

    future = threaded_client.submit(fail, pure=False)
    with DaskEngine(threaded_client) as engine, pytest.raises(WorkerLost, match=r"the data of rank 1 .*no such file"):
        engine.crew(MEASURE, [b"x", future], servers=1)


def test_nothing_is_left_by_a_crew_that_failed(dask_client):
    with DaskEngine(dask_client) as engine:
        with pytest.raises(DataError, match="rank 2 was told to refuse"):
            engine.crew("dsgd.train.selftest:fail", ["wait", "wait", "data"], servers=1)
        assert nothing_is_left(dask_client) == []
        assert [record["attempt"] for record in meet(engine, [0, 0, 0], servers=1)] == [0, 0, 0]
    assert nothing_is_left(dask_client) == []


def test_nothing_is_left_by_a_driver_that_left(dask_client):
    running, ended = threading.Event(), []

    def body(client):
        try:
            DaskEngine(client).crew(
                SELF + "report_for_ever", [None] * 3, servers=1, on_report=lambda record: running.set()
            )
        except Exception as error:  # Which one is the client's affair: its connection was closed under it.
            ended.append(error)

    with Client(dask_client.scheduler.address, set_as_default=False) as leaving:
        thread = threading.Thread(target=body, args=(leaving,))
        thread.start()
        assert running.wait(60.0)
        assert dask_client.run_on_scheduler(left)
    thread.join(60.0)
    assert len(ended) == 1
    assert nothing_is_left(dask_client) == []


@pytest.fixture
def threaded_client(tmp_path):
    """A cluster inside this process: two workers with one thread."""
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": False, "dashboard_address": None}
    with LocalCluster(**options, local_directory=str(tmp_path)) as cluster, Client(cluster) as client:
        yield client


def test_a_member_whose_worker_leaves_goes_to_another_with_room(threaded_client):
    seen = set()

    def leave(record):
        seen.add((record["rank"], record["attempt"]))
        if len(seen) == 1:
            (address,) = (address for address, running in threaded_client.processing().items() if running)
            threaded_client.retire_workers([address], close_workers=True)
        elif (0, 1) in seen:
            raise Enough

    with DaskEngine(threaded_client) as engine, pytest.raises(Enough):
        engine.crew(SELF + "report_for_ever", [None], servers=0, on_report=leave)
    assert seen == {(0, 0), (0, 1)}


@pytest.mark.parametrize("kind", ["dsgd-member", "dsgd-host"])
def test_members_that_dask_has_lost_are_started_again_on_the_same_worker(threaded_client, kind):
    """As when a worker has come back at its address: the worker is there, but it knows the task or the actor no more."""
    seen = set()

    def lose(record):
        if not seen:
            keys = [key for key in threaded_client.run_on_scheduler(left) if key.startswith(kind)]
            lost = [distributed.Future(key, client=threaded_client) for key in keys]
            threaded_client.cancel(lost, force=True)
        seen.add((record["rank"], record["attempt"]))
        if {(0, 1), (1, 1)} <= seen:
            raise Enough

    options = {"servers": 1, "on_report": lose, "deadline": 30.0}
    with DaskEngine(threaded_client, workers=sorted(threaded_client.nthreads())[:1]) as engine:
        with pytest.raises(Enough):
            engine.crew(SELF + "report_for_ever", [None] * 2, **options)
        seen.clear()
        with pytest.raises(WorkerLost, match="restarts=0"):
            engine.crew(SELF + "report_for_ever", [None] * 2, restarts=0, **options)
        assert len(meet(engine, [0, 0], servers=1)) == 2


def test_a_member_for_which_there_is_no_room_any_more_is_lost(threaded_client):
    leavers = sorted(threaded_client.nthreads())[1:]

    def leave(record):
        if leavers:
            threaded_client.retire_workers([leavers.pop()], close_workers=True)

    with (
        DaskEngine(threaded_client) as engine,
        pytest.raises(WorkerLost, match=r"rank 1 had not started after 3 s: no worker had room for it"),
    ):
        engine.crew(SELF + "report_for_ever", [None] * 2, servers=0, on_report=leave, deadline=3.0)


def test_a_worker_that_comes_back_at_its_address_is_another(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = {"n_workers": 1, "threads_per_worker": 1, "host": "127.0.0.1", "dashboard_address": None}
    with (
        LocalCluster(**options, worker_port=port, local_directory=str(tmp_path)) as cluster,
        Client(cluster, set_as_default=False) as client,
        DaskEngine(client) as engine,
    ):
        before = set(client.nthreads())
        found = meet(engine, [0, 1], servers=1, deadline=60.0)
        assert [record["attempt"] for record in found] == [1, 1]
        assert not {record["process"] for record in found} & {record["first"] for record in found}
        assert set(client.nthreads()) == before
        assert nothing_is_left(client) == []
