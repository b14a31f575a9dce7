"""What is Spark's own in the Spark engine: cells, messages, settings that forbid a gang, turns."""

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from dsgd.errors import ConfigError, DataError, WorkerLost
from dsgd.train import selftest, versions
from dsgd.train.rank import Failure

pytest.importorskip("pyspark")

from pyspark import BarrierTaskInfo

import spark_ext
from spark_ext.cluster import cells, session, worker
from spark_ext.cluster.engine import SparkEngine
from spark_ext.cluster.meeting import Meeting, _host
from spark_ext.cluster.messages import translate

VERSIONS = versions.installed()


def test_bytes_survive_their_cells_in_any_order(monkeypatch):
    monkeypatch.setattr(cells, "cut", lambda data, size=3: [data[i : i + 3] for i in range(0, max(1, len(data)), 3)])
    outcomes = {(0, 0): b"", (0, 1): b"abcdefgh", (1, 2): Failure(2, "DataError", "column 'x'"), (1, 3): b"abc"}
    batches = [batch for (group, rank), out in outcomes.items() for batch in cells.encode(group, rank, out)]
    random.Random(1).shuffle(batches)
    assert cells.decode(cells.rows_of(batches)) == outcomes
    assert list(cells.decode(cells.rows_of(batches))) == sorted(outcomes)


def test_a_failure_is_found_in_a_java_stack():
    failure = Failure(3, "DataError", "column 'x' of part-0.parquet has a NaN in row 7 [sic]")
    text = f"Job aborted.\n\tat org.apache.spark.Foo\nspark_ext.worker.RankFailed: {worker.mark(failure)}\n\tat more"
    error = translate(text)
    assert type(error) is DataError
    assert str(error) == failure.message


@pytest.mark.parametrize(
    ("text", "kind", "what"),
    [
        ("ModuleNotFoundError: No module named 'spark_ext'", ConfigError, "no module 'spark_ext'"),
        ("[PYTHON_VERSION_MISMATCH] Python in worker has different version: 3.9", ConfigError, "another Python"),
        (
            "An error occurred while calling o9.collectToPython.\n: barrier task ResultTask(4, 1) finished"
            " unsuccessfully.\nExecutorLostFailure (executor 0 exited)\n\tat org.Foo.bar(Foo.scala:1)",
            WorkerLost,
            "Spark lost rank 1: barrier task .* ExecutorLostFailure .executor 0 exited.$",
        ),
    ],
)
def test_a_job_that_failed_is_explained_without_its_stack(text, kind, what):
    error = translate(text)
    assert isinstance(error, kind)
    with pytest.raises(kind, match=what):
        raise error


@pytest.mark.parametrize(("address", "host"), [("10.1.2.3:4", "10.1.2.3"), ("[fe80::1]:4", "fe80::1"), ("n", "n")])
def test_an_address_has_a_host(address, host):
    assert _host(address) == host


class Task:
    """A barrier task beside others, whose all-gather comes late."""

    def __init__(self, rank, addresses, late=0.5):
        self.rank, self.addresses, self.late = rank, addresses, late

    def partitionId(self):  # noqa: N802
        return self.rank

    def getTaskInfos(self):  # noqa: N802
        return [BarrierTaskInfo(address) for address in self.addresses]

    def allGather(self, text):  # noqa: N802
        time.sleep(self.late)
        return [text] * len(self.addresses)


def test_ranks_that_are_fed_longer_than_the_deadline_are_waited_for(tmp_path):
    one = Task(0, ["n:1"])
    assert Meeting(one, 0.1, str(tmp_path), 60.0).here == [0]


def test_ranks_of_several_executors_do_not_wait_for_ever(tmp_path):
    with pytest.raises(WorkerLost, match=r"rank 0 waited 0\.1 s for the others"):
        Meeting(Task(0, ["n:1", "n:2"]), 0.1, str(tmp_path))


def test_ranks_of_one_executor_meet_without_sparks_all_gather(tmp_path):
    meetings = [Meeting(Task(rank, ["n:1", "n:1"], late=60.0), 30.0, str(tmp_path)) for rank in (0, 1)]
    assert [(m.here, m.host, m.directory) for m in meetings] == [([0, 1], "127.0.0.1", str(tmp_path))] * 2
    with ThreadPoolExecutor(2) as pool:
        met = list(pool.map(lambda pair: pair[0].allgather(pair[1]), zip(meetings, [b"a", b"b"], strict=True)))
    assert met == [[b"a", b"b"]] * 2


def test_ranks_of_one_executor_do_not_wait_for_ever(tmp_path):
    meeting = Meeting(Task(0, ["n:1", "n:1"]), 0.1, str(tmp_path))
    with pytest.raises(WorkerLost, match=r"rank 0 waited 0\.1 s for rank 1"):
        meeting.allgather(b"")


def test_dynamic_allocation_is_refused_with_what_works(spark, monkeypatch):
    engine = SparkEngine(spark)
    settings = {"spark.dynamicAllocation.enabled": "true", "spark.master": "yarn"}
    monkeypatch.setattr(engine._session, "setting", lambda key, default: settings.get(key, default))
    with pytest.raises(ConfigError, match="topology='engine'"):
        selftest.check(engine, 2)


def test_workers_with_another_version_are_refused(spark, monkeypatch):
    monkeypatch.setattr(versions, "installed", lambda: {**VERSIONS, "dsgd": "99.0"})
    with pytest.raises(ConfigError, match=r"Python worker of rank \d differs .*expected 99\.0\. Every executor needs"):
        selftest.check(SparkEngine(spark), 2)


def test_a_fit_that_never_gets_its_turn_says_so(spark):
    engine = SparkEngine(spark, turn_deadline=0.2)
    with engine._session.turn(), pytest.raises(ConfigError, match="turn_deadline"):
        selftest.check(engine, 2)


def test_slots_that_others_hold_are_not_waited_for_for_ever(spark, monkeypatch):
    def hold(batches):
        for batch in batches:
            time.sleep(150.0)
            yield batch

    other = spark.range(0, 2, 1, 2).mapInArrow(hold, "id long")
    context = spark.sparkContext

    ends = []

    def occupy():
        context.setJobGroup("dsgd-test-holder", "holds the slots", interruptOnCancel=False)
        try:
            ends.append(f"{len(other.collect())} rows")
        except Exception as error:  # Looked at below.
            ends.append(str(error))

    from pyspark import InheritableThread

    holder = InheritableThread(target=occupy)
    holder.start()
    try:
        tracker = context.statusTracker()
        limit = time.monotonic() + 60.0
        while time.monotonic() < limit and not tracker.getActiveStageIds():
            time.sleep(0.05)
        with pytest.raises(WorkerLost, match="had not started together after 1 s"):
            selftest.check(SparkEngine(spark), 2, deadline=1.0)
        # Rows from a DataFrame come after stages of the user's own, which may take any time, but not wait for ever.
        with monkeypatch.context() as impatient:
            impatient.setattr(session, "_HELD_UP", 3.0)
            with pytest.raises(WorkerLost, match="no task of the job has run for 3 s: other jobs hold the slots"):
                spark_ext.SGDClassifier(featuresCol=["id"], labelCol="y").fit(
                    spark.range(4).selectExpr("id", "id % 2 AS y")
                )
    finally:
        context.cancelJobGroup("dsgd-test-holder")
        holder.join(60.0)
    assert "cancelled" in ends[0], "the slots were held to the end, and the engine gave up before"
    assert len(selftest.check(SparkEngine(spark), 2)) == 2


def test_an_engine_closes_when_its_application_is_gone(spark, monkeypatch):
    """An error of closing would hide the one that says what happened."""

    def gone(*_):
        raise RuntimeError("the application is gone")

    engine = SparkEngine(spark)
    leaves = engine._leaves_of(1)
    with monkeypatch.context() as patch:
        patch.setattr(leaves, "unpersist", gone)
        patch.setattr(engine, "slots", gone)
        engine.close()
    leaves.unpersist()
    engine.close()


def test_the_callers_job_group_is_left_alone(spark):
    spark.sparkContext.setJobGroup("mine", "the user's own", False)
    try:
        selftest.check(SparkEngine(spark), 1)
        assert spark.sparkContext.getLocalProperty("spark.jobGroup.id") == "mine"
    finally:
        spark.sparkContext.setLocalProperty("spark.jobGroup.id", None)


def test_no_session_is_an_error_that_says_what_to_do(monkeypatch):
    from pyspark.sql import SparkSession

    monkeypatch.setattr(SparkSession, "getActiveSession", classmethod(lambda cls: None))
    with pytest.raises(ConfigError, match=r"SparkEngine\(session\)"):
        SparkEngine()


def test_a_gang_runs_from_a_thread_of_the_user(spark):
    found = []
    thread = threading.Thread(target=lambda: found.extend(selftest.check(SparkEngine(spark), 2)))
    thread.start()
    thread.join(120.0)
    assert [record["met"] for record in found] == [[0, 1]] * 2
