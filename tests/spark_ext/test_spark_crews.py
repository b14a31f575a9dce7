"""Crews on Spark: the rows that they are fed, who is not reached, what is refused and what is seen; on one shared session."""

import json
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

from dsgd.errors import ConfigError, DataError, WorkerLost

pytest.importorskip("pyspark")

import numpy as np
import pandas as pd
from pyspark import InheritableThread

import spark_ext
from spark_ext.cluster import crew, listening, muster
from spark_ext.cluster.engine import SparkEngine
from spark_ext.cluster.feed import FedDataset, Feed

from .test_spark_execution import counted, dynamic, files_left, persisted, titles  # noqa: F401

SELF = "dsgd.train.selftest_crew:"
ENDS = "dsgd.train.selftest:"
ROWS = 20_000


@pytest.fixture(scope="module")
def fed_members(spark):
    spark.sparkContext.addPyFile(str(Path(__file__).with_name("fed_members.py")))
    return "fed_members:"


def wait_until(condition, seconds=60.0):
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "it did not come to that"
        time.sleep(0.05)


def fed(engine, frame, function, servers, deaths):
    """Feed a crew; return what its members have read, and their starts."""
    starts, name = [], f"fed-{time.monotonic_ns()}"
    engine.feed = Feed(name, frame)
    payload = (FedDataset(name, len(deaths), None, None), servers, deaths)
    payloads = [payload] * (servers + len(deaths))
    return json.loads(engine.crew(function, payloads, servers=servers, deadline=60.0, on_report=starts.append)), starts


def test_members_are_fed_their_shares_of_the_rows_once(spark, fed_members):
    frame, counter = counted(spark, spark.range(ROWS))
    before = persisted(spark)
    with SparkEngine(spark) as engine:
        told, _ = fed(engine, frame, fed_members + "add_up", 0, [0, 0])
        assert sum(one["rows"] for one in told) == ROWS
        assert sum(one["sum"] for one in told) == ROWS * (ROWS - 1) // 2
        assert min(one["rows"] for one in told) > ROWS // 4
    assert counter.value == ROWS
    assert persisted(spark) == before
    assert files_left(spark) == ""


def test_a_member_that_dies_is_brought_the_same_rows(spark, fed_members):
    frame, counter = counted(spark, spark.range(ROWS))
    with SparkEngine(spark) as engine:
        told, starts = fed(engine, frame, fed_members + "add_up", 1, [2])
    assert told == [{"rows": ROWS, "sum": ROWS * (ROWS - 1) // 2}]
    assert [start["attempt"] for start in starts] == [0, 1, 2]
    assert len({start["process"] for start in starts}) == 3
    assert counter.value == ROWS, "what Spark keeps is not computed again"
    assert files_left(spark) == ""


def test_a_feed_without_rows_is_refused(spark, fed_members):
    with SparkEngine(spark) as engine, pytest.raises(DataError, match="no rows"):
        fed(engine, spark.range(10).where("1 = 0"), fed_members + "add_up", 1, [0])


def test_large_payloads_are_broadcast_and_let_go(spark):
    kept = Path(spark.sparkContext._temp_dir)
    before = set(kept.iterdir())
    payload = bytes(3 << 20)
    with SparkEngine(spark) as engine:
        assert engine.crew(ENDS + "measure", [payload] * 2, servers=1) == b"3145728:0"
    wait_until(lambda: not {path.name for path in set(kept.iterdir()) - before if path.stat().st_size > 1 << 20})


def test_more_members_than_slots_are_refused_before_any_job(spark):
    jobs = spark.sparkContext._jsc.sc().statusStore().jobsList
    before = jobs(None).size()
    frame = spark.createDataFrame(pd.DataFrame({"a": [0.0, 1.0], "label": [0.0, 1.0]}))
    for parameters in ({"numWorkers": 2}, {"shards": 2}):
        estimator = spark_ext.SGDClassifier(featuresCol=["a"], mode="async", **parameters)
        with pytest.raises(ConfigError, match=r"need 3 slots.*2 tasks.*workers = slots - shards.*lower numWorkers"):
            estimator.fit(frame)
    assert jobs(None).size() == before


def test_spark_connect_is_refused_before_anything_starts(spark, monkeypatch):
    engine = SparkEngine(spark)
    monkeypatch.setattr(engine, "_session", engine.session.__class__.__mro__[1])  # Neither kind.
    with pytest.raises(ConfigError, match=r"Spark Connect client; use mode=Sync\(\)"):
        engine.crew(SELF + "meet", [(0, 0)] * 2, servers=1)


def test_members_that_cannot_reach_the_driver_end_the_crew_and_say_where_they_looked(spark, monkeypatch):
    monkeypatch.setattr(muster, "PATIENCE", 1.0)
    monkeypatch.setattr(listening, "listen", lambda listener, host, ports: "tcp://127.0.0.1:1")
    with SparkEngine(spark) as engine, pytest.raises(WorkerLost, match=r"127\.0\.0\.1:1 .*spark\.driver\.host"):
        engine.crew(SELF + "meet", [(0, 0)] * 2, servers=1)


def test_the_jobs_of_a_crew_are_named(spark):
    with SparkEngine(spark, title="nightly-crew") as engine:
        engine.crew(SELF + "meet", [(0, 1)] * 2, servers=1)
        engine.crew(SELF + "meet", [(0, 0)] * 2, servers=2)
    assert sorted(titles(spark, "nightly-crew")) == [
        "nightly-crew, shard 1 of 1",
        "nightly-crew, shard 1 of 2",
        "nightly-crew, shard 2 of 2",
        "nightly-crew, worker 1 of 1",
        "nightly-crew, worker 1 of 1, job 2",
    ]


def test_who_cancels_the_users_job_group_ends_the_crew(spark):
    context = spark.sparkContext

    def cancel(record):
        cancelling = threading.Thread(target=context.cancelJobGroup, args=("mine",))
        cancelling.start()
        cancelling.join(60.0)

    context.setJobGroup("mine", "the user's own", False)
    try:
        with SparkEngine(spark) as engine, pytest.raises(WorkerLost, match="cancelled"):
            engine.crew(SELF + "report_for_ever", [None] * 2, servers=1, on_report=cancel)
    finally:
        context.setLocalProperty("spark.jobGroup.id", None)
        context.setLocalProperty("spark.job.description", None)


@pytest.fixture
def hold(spark, tmp_path):
    """Submit somebody else's job, which holds one of the two slots once it has it; return a function that tells whether."""
    mark, context, holders = tmp_path / "held", spark.sparkContext, []
    frame = spark.range(0, 1, 1, 1)

    def sleep(batches):
        mark.touch()
        for batch in batches:
            time.sleep(150.0)
            yield batch

    def occupy():
        context.setJobGroup("dsgd-test-crews", "holds a slot", interruptOnCancel=False)
        with pytest.raises(Exception, match="cancelled"):
            frame.mapInArrow(sleep, "id long").collect()

    def submit():
        holders.append(InheritableThread(target=occupy))
        holders[0].start()
        wait_until(lambda: context.statusTracker().getJobIdsForGroup("dsgd-test-crews"))
        return mark.exists

    yield submit
    context.cancelJobGroup("dsgd-test-crews")
    for holder in holders:
        holder.join(60.0)


def test_nobody_begins_where_others_hold_the_slots(spark, hold, tmp_path):
    wait_until(hold())
    with SparkEngine(spark) as engine:
        with pytest.raises(WorkerLost, match=r"[01] of the crew's 2 members had a slot after 2 s: other jobs hold"):
            engine.crew(SELF + "wait_for_the_end", [str(tmp_path / "nowhere")] * 2, servers=1, deadline=2.0)
        marks = [str(tmp_path / name) for name in "ab"]
        with pytest.raises(WorkerLost, match=r"[01] of the crew's 2 members"):
            engine.crew(ENDS + "crash_once", marks, servers=1, deadline=2.0)
    assert [path.name for path in tmp_path.iterdir()] == ["held"]


def test_a_member_whose_slot_does_not_come_back_is_given_up(spark, hold, monkeypatch):
    look = crew.Crew._look
    monkeypatch.setattr(crew, "COME_BACK", 0.0)
    monkeypatch.setattr(
        crew.Crew, "_look", lambda self, began, deadline: look(self, began, 1.0 if self._begun else 60.0)
    )

    def kill(record):
        if record["rank"] == 1:
            hold()
            os.kill(record["process"], signal.SIGKILL)

    with SparkEngine(spark) as engine, pytest.raises(WorkerLost, match=r"rank 1 .* cannot be started again: no task"):
        engine.crew(SELF + "report_for_ever", [None] * 2, servers=1, on_report=kill)


def test_executors_that_never_come_are_too_few(dynamic, spark, tmp_path):  # noqa: F811
    marks = [str(tmp_path / name) for name in "abc"]
    with (
        SparkEngine(spark) as engine,
        pytest.raises(ConfigError, match=r"[012] of the crew's 3 members .*runs 2 tasks"),
    ):
        engine.crew(ENDS + "crash_once", marks, servers=1, deadline=3.0)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def people(spark):
    rng = np.random.default_rng(0)
    rows = pd.DataFrame(rng.normal(size=(2000, 2)), columns=["a", "b"])
    score = 2 * rows["a"] - rows["b"] + rng.logistic(size=2000)
    frame = spark.createDataFrame(rows.assign(label=(score > 0).astype(float))).cache()
    assert frame.count() == 2000  # From here on Spark keeps it, and no fit begins to.
    return frame


def learner(**parameters):
    return spark_ext.SGDClassifier(featuresCol=["a", "b"], regParam=0.01, **parameters)


def test_a_fit_by_parameter_shards_leaves_slots_for_them(spark, people):
    frame, counter = counted(spark, people)
    before = persisted(spark)
    estimator = learner(mode="async", maxIter=30)
    model = estimator.fit(frame)
    assert model.coefficients[0] / -model.coefficients[1] == pytest.approx(2.0, rel=0.2)
    name = f"{estimator.uid}: mode async, staleness None, "
    assert set(titles(spark, estimator.uid)) == {
        name + text for text in ("keeping the rows", "shard 1 of 1", "worker 1 of 1", "tidying up")
    }
    assert counter.value == 2000
    assert persisted(spark) == before
    assert files_left(spark) == ""


def test_parameter_shards_need_no_gang(dynamic, people, caplog):  # noqa: F811
    model = learner(mode="async", maxIter=30).fit(people)
    assert len(model.history_) > 1
    assert "starts no gang" not in caplog.text


def test_a_crew_waits_for_its_turn(spark):
    engine = SparkEngine(spark, turn_deadline=0.2)
    with engine.session.turn(), pytest.raises(ConfigError, match="turn_deadline"):
        engine.crew(SELF + "meet", [(0, 0)] * 2, servers=1)


def directories(spark):
    local = spark.sparkContext.getConf().get("spark.local.dir")
    found = subprocess.run(["find", local, "-name", "dsgd-*"], capture_output=True, text=True, check=True, timeout=60)
    return found.stdout


def test_what_a_stopped_task_makes_too_late_goes_with_the_next_fit(spark):
    engine = SparkEngine(spark)
    with pytest.raises(DataError):
        engine.launch("dsgd.train.selftest:fail", ["data"] * 2)
    name = engine._litter._left[-1]
    engine.close()
    for place in Path(spark.sparkContext.getConf().get("spark.local.dir")).glob("blockmgr-*"):
        (place / f"dsgd-{name}").mkdir()
    assert name in directories(spark)
    SparkEngine(spark).close()
    assert name not in directories(spark)


def test_no_directory_is_left(spark):
    SparkEngine(spark).close()  # with what stopped tasks of other tests have made too late
    assert directories(spark) == ""
