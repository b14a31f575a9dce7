"""What is Dask's own in the Dask engine: placement, turns, clients of all kinds, workers that differ."""

import json
import threading
import time

import pytest

from dsgd.errors import ConfigError, WorkerLost
from dsgd.train import selftest, versions

pytest.importorskip("distributed")

from distributed import Client

from dask_ext import directories
from dask_ext.engine import DaskEngine
from dask_ext.gang import turn
from dask_ext.placement import place
from dask_ext.watching import wait

SELF = "dsgd.train.selftest:"


@pytest.fixture
def threaded_client(tmp_path):
    """A cluster inside this process: one worker with three threads."""
    with Client(
        processes=False, n_workers=1, threads_per_worker=3, dashboard_address=None, local_directory=str(tmp_path)
    ) as client:
        yield client


def test_ranks_are_spread_before_they_are_stacked():
    threads = {"a": 4, "b": 4, "c": 1}
    assert place(2, threads) == (["a", "b"], {"a": 4, "b": 4})
    assert place(3, threads) == (["a", "b", "c"], {"a": 4, "b": 4, "c": 1})
    assert place(6, threads) == (["a", "a", "a", "b", "b", "c"], {"a": 1, "b": 2, "c": 1})


@pytest.mark.parametrize("size", [0, 10])
def test_more_ranks_than_threads_are_refused(size):
    with pytest.raises(ConfigError, match=f"1 to 9 ranks .3 workers with 9 threads., not {size}"):
        place(size, {"a": 4, "b": 4, "c": 1})


def test_a_worker_takes_several_ranks_when_it_has_threads(threaded_client):
    with DaskEngine(threaded_client) as engine:
        assert engine.slots() == 1
        assert [record["threads"] for record in selftest.check(engine, 1)] == [3]
        found = selftest.check(engine, 3)
    assert [record["threads"] for record in found] == [1, 1, 1]
    assert [record["met"] for record in found] == [[0, 1, 2]] * 3


def test_a_worker_inside_the_process_has_a_host(threaded_client):
    with DaskEngine(threaded_client) as engine:
        assert {record["host"] for record in selftest.check(engine, 2)} == {"127.0.0.1"}


def test_the_current_client_is_taken(threaded_client):
    with threaded_client.as_current(), DaskEngine() as engine:
        assert selftest.check(engine, 1)[0]["met"] == [0]
    assert threaded_client.status == "running"


def test_an_asynchronous_client_is_refused(dask_client):
    async def build():
        async with Client(dask_client.scheduler.address, asynchronous=True, set_as_default=False) as client:
            DaskEngine(client)

    with pytest.raises(ConfigError, match="synchronous client"):
        dask_client.sync(build)


def test_only_the_named_workers_are_used(dask_client):
    address = sorted(dask_client.nthreads())[1]
    with DaskEngine(dask_client, workers=[address]) as engine:
        assert engine.slots() == 1
        here = dask_client.submit(lambda: __import__("os").getpid(), workers=[address], pure=False).result()
        assert [record["process"] for record in selftest.check(engine, 1)] == [here]
        with pytest.raises(ConfigError, match="1 to 1 ranks"):
            selftest.check(engine, 2)


def test_a_worker_that_does_not_exist_is_refused(dask_client):
    with pytest.raises(ConfigError, match="has no workers"):
        DaskEngine(dask_client, workers=["tcp://127.0.0.1:1"]).slots()


def test_a_fit_that_never_gets_its_turn_says_so(dask_client):
    engine = DaskEngine(dask_client, turn_deadline=0.5)
    held, done = threading.Event(), threading.Event()

    def hold():
        with turn(dask_client, sorted(dask_client.nthreads()), 30.0):
            held.set()
            done.wait(60.0)

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        assert held.wait(30.0)
        with pytest.raises(ConfigError, match="turn_deadline"):
            selftest.check(engine, 2)
    finally:
        done.set()
        thread.join(30.0)
    assert len(selftest.check(engine, 2)) == 2


def test_a_busy_worker_is_not_waited_for_in_vain(dask_client):
    release = "dsgd-test-release"
    from distributed import Event

    busy = [
        dask_client.submit(lambda: Event(release).wait(60), workers=[address], pure=False)
        for address in dask_client.nthreads()
    ]
    try:
        with pytest.raises(WorkerLost, match="had no free thread after"):
            selftest.check(DaskEngine(dask_client), 2, deadline=1.0)
    finally:
        Event(release, client=dask_client).set()
        dask_client.gather(busy)


def test_tasks_whose_workers_have_all_left_are_not_waited_for_in_vain(dask_client, monkeypatch):
    gone = "tcp://127.0.0.1:1"
    engine = DaskEngine(dask_client, workers=[gone], deserted=1.0)
    monkeypatch.setattr(engine, "_threads", lambda: {gone: 1})  # It was there a moment ago.
    with pytest.raises(WorkerLost, match=r"has had none of the workers .*127\.0\.0\.1:1.* for 1 s"):
        engine.aggregate(SELF + "identify", [None, None], SELF + "bracket")


def test_a_cluster_without_workers_is_not_waited_for_in_vain(tmp_path):
    options = {"processes": False, "n_workers": 0, "dashboard_address": None, "local_directory": str(tmp_path)}
    with Client(**options, set_as_default=False) as client:
        with pytest.raises(WorkerLost, match="has had no worker for 1 s"):
            wait(client, [client.submit(len, "x")], deserted=1.0)
        late = client.submit(len, "xy")
        client.cluster.scale(1)
        wait(client, [late], deserted=60.0)
        assert late.result(timeout=30) == 2


def test_a_directory_that_is_swept_under_its_rank_goes_with_it_and_is_forgotten(tmp_path):
    path = tmp_path / "scratch"
    path.mkdir()
    with directories.removed_if_swept(str(path)):
        directories.sweep(str(path))
        assert not path.exists()
        path.mkdir()
    assert not path.exists()
    directories.sweep(str(path))
    assert not directories._swept
    assert not directories._in_use


def test_a_worker_with_another_version_is_refused(dask_client, monkeypatch):
    monkeypatch.setattr(versions, "installed", lambda: {**versions_here, "dsgd": "99.0"})
    with pytest.raises(ConfigError, match=r"dsgd is .*, expected 99\.0\. Every worker needs"):
        selftest.check(DaskEngine(dask_client), 2)


versions_here = versions.installed()


def meetings(dask_scheduler):
    """Names of the meetings that the scheduler remembers."""
    extensions = dask_scheduler.extensions
    names = [*extensions["variables"].variables, *extensions["queues"].queues]
    return [name for name in names if name.startswith("dsgd-meeting")]


def wait_until(condition, seconds=30.0):
    """Wait until a condition holds; return whether it came to that."""
    limit = time.monotonic() + seconds
    while not condition() and time.monotonic() < limit:
        time.sleep(0.05)
    return condition()


def test_nothing_is_left_in_the_scheduler(dask_client):
    with DaskEngine(dask_client) as engine:
        selftest.check(engine, 2)
    # Names are forgotten by messages of another connection than the one that asks here.
    assert wait_until(lambda: dask_client.run_on_scheduler(meetings) == [])


def test_nothing_is_left_in_the_scheduler_by_a_driver_that_left(dask_client, tmp_path):
    marks = [tmp_path / "0", tmp_path / "1"]
    ended = []

    def body(client):
        try:
            DaskEngine(client).launch(SELF + "stand", [(str(mark), 60.0) for mark in marks], deadline=30.0)
        except Exception as error:  # Which one is the client's affair: its connection was closed under it.
            ended.append(error)

    with Client(dask_client.scheduler.address, set_as_default=False) as leaving:
        thread = threading.Thread(target=body, args=(leaving,))
        thread.start()
        assert wait_until(lambda: all(mark.exists() for mark in marks))
        assert dask_client.run_on_scheduler(meetings)
    thread.join(60.0)
    assert len(ended) == 1
    assert wait_until(lambda: dask_client.run_on_scheduler(meetings) == [])


def test_an_engine_without_a_client_brings_and_closes_a_cluster(tmp_path):
    # A process of its own: the cluster's workers start from the main module, and this one has other clients.
    script = tmp_path / "script.py"
    script.write_text(
        "import json\n"
        "from dask_ext.engine import DaskEngine\n"
        "from dsgd.train import selftest\n"
        "if __name__ == '__main__':\n"
        "    with DaskEngine() as engine:\n"
        "        print(json.dumps(selftest.check(engine)))\n"
        "    assert engine._client.status == 'closed'\n"
    )
    import subprocess
    import sys

    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=180, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert [record["rank"] for record in found] == list(range(len(found)))
    assert len(found) >= 1
