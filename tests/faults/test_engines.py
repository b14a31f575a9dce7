"""Engines on clusters that lose something: a driver, a worker, an executor."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dsgd.errors import WorkerLost
from dsgd.train import selftest
from pipelines.java import java_problem

from ..conftest import require, unavailable
from ..processes import end

SELF = "dsgd.train.selftest:"
SCRIPT = Path(__file__).with_name("spark_cluster.py")


def run_on(master, directory):
    done = subprocess.run(
        [sys.executable, str(SCRIPT), master, str(directory)], capture_output=True, text=True, timeout=480
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1])


def check(told):
    assert told["ranks"] == [0, 1]
    assert len(told["scratch"]) == 1, "ranks of one machine share one directory, whatever their executors"
    assert told["executors"] == 2
    assert told["left"] == []
    assert told["fit"]["apart"] < 0.05, "a fit that begins again ends where it would have ended"
    assert told["fit"]["begun"] == 1, "the driver has the state of the last epoch, from which the ranks go on"
    assert len(told["fit"]["warned"]) == 1
    assert "begins again from the last epoch that the driver has" in told["fit"]["warned"][0]


@pytest.fixture
def java():
    require("pyspark", "spark")
    problem = java_problem()
    if problem:
        unavailable(problem)


@pytest.mark.timeout(500)
@pytest.mark.xdist_group("clusters")
def test_local_cluster(java, tmp_path):
    check(run_on("local-cluster[2,1,1024]", tmp_path))


def spark_class(*arguments, log):
    """Start one of Spark's daemons; the wheel has no start scripts."""
    import pyspark

    home = Path(pyspark.__file__).parent
    return subprocess.Popen(
        [str(home / "bin" / "spark-class"), *arguments],
        stdout=log.open("w"),
        stderr=subprocess.STDOUT,
        env={**os.environ, "SPARK_HOME": str(home), "SPARK_LOCAL_HOSTNAME": "127.0.0.1"},
    )


def await_line(log, pattern, process):
    limit = time.monotonic() + 90.0
    while time.monotonic() < limit and process.poll() is None:
        found = re.search(pattern, log.read_text())
        if found:
            return found[1]
        time.sleep(0.1)
    raise AssertionError(f"no {pattern!r} in {log}: {log.read_text()[-2000:]}")


@pytest.fixture
def standalone(java, tmp_path):
    """A master and two workers of one core, on loopback and on ports of their own; stopped by their process numbers."""
    deploy = "org.apache.spark.deploy."
    with contextlib.ExitStack() as started:
        log = tmp_path / "master.log"
        arguments = ["--host", "127.0.0.1", "--port", "0", "--webui-port", "0"]
        master = spark_class(deploy + "master.Master", *arguments, log=log)
        started.callback(end, master)
        address = await_line(log, r"Starting Spark master at (spark://\S+)", master)
        for number in range(2):
            log = tmp_path / f"worker-{number}.log"
            work = str(tmp_path / f"work-{number}")
            options = ["--cores", "1", "--memory", "1g", "--work-dir", work, "--webui-port", "0", address]
            worker = spark_class(deploy + "worker.Worker", "--host", "127.0.0.1", "--port", "0", *options, log=log)
            started.callback(end, worker)
            await_line(log, r"Successfully registered with master (\S+)", worker)
        yield address


@pytest.mark.timeout(500)
@pytest.mark.xdist_group("clusters")
def test_standalone_cluster(standalone, tmp_path):
    told = run_on(standalone, tmp_path)
    check(told)
    assert told["interrupt"] == "KeyboardInterrupt"
    assert told["after_interrupt"] == 2
    assert told["leaf"] == "leaf"
    assert told["rounds"] == [[n, n] for n in range(1, 5)], "leaves find what they left in the round before"
    assert told["executor"] == "WorkerLost"
    assert told["after_executor"] == 2
    check_crews(told["crews"])
    assert told["fit"]["apart"] == 0.0, "with rows from files, to the last bit"
    assert len(told["dynamic"]["said"]) == 1
    assert told["dynamic"]["coefficients"] == pytest.approx(told["coefficients"], rel=0.01, abs=0.01)


def check_crews(told):
    assert told["met"] == [1, 1]
    assert len(told["scratch"]) == 1, "members of one machine share a directory, whatever their executors"
    # Who is started again elsewhere has its own share of the rows again, and not the other's.
    assert sum(one["rows"] for one in told["fed"]) == 10_000
    assert sum(one["sum"] for one in told["fed"]) == 10_000 * 9_999 // 2
    assert told["starts"] == [[0, 0], [0, 1], [1, 0]], "of two members the one dies whose executor does"
    assert told["interrupt"] == 2, "all jobs have ended: a gang has its slots"


DRIVER = """
import sys
from distributed import Client
from dask_ext.engine import DaskEngine
DaskEngine(Client(sys.argv[1])).launch(
    "dsgd.train.selftest:count_slowly", [600.0, 600.0], on_report=lambda record: print("running", flush=True)
)
"""


@pytest.mark.timeout(200)
def test_dask_ranks_end_when_their_driver_dies(dask_client):
    from dask_ext.engine import DaskEngine

    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVER, dask_client.scheduler.address],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert driver.stdout.readline() == "running\n"
        driver.send_signal(signal.SIGKILL)
    finally:
        end(driver)
    # The ranks see that their tasks are withdrawn, and the leases of the dead driver expire.
    assert len(selftest.check(DaskEngine(dask_client, turn_deadline=120.0), 2, deadline=60.0)) == 2


@pytest.mark.timeout(200)
def test_a_dask_worker_that_leaves_is_lost(tmp_path):
    distributed = require("distributed", "dask")
    from dask_ext.engine import DaskEngine

    options = {"n_workers": 2, "threads_per_worker": 1, "processes": False, "dashboard_address": None}
    with (
        distributed.LocalCluster(**options, local_directory=str(tmp_path / "dask")) as cluster,
        distributed.Client(cluster) as client,
        DaskEngine(client) as engine,
    ):
        leaver = sorted(client.nthreads())[1]

        def leave(record):
            client.retire_workers([leaver], close_workers=True)

        with pytest.raises(WorkerLost, match="has left the cluster"):
            engine.launch(SELF + "count_slowly", [600.0, 600.0], on_report=leave, deadline=60.0)
        assert len(selftest.check(engine, 1, deadline=60.0)) == 1
