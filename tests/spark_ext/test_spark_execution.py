"""How a fit runs on Spark: where a gang cannot start, what crosses the JVM, what is seen of it, what becomes of a lost rank."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("pyspark")

from pyspark.ml import Pipeline
from pyspark.ml.evaluation import BinaryClassificationEvaluator
from pyspark.ml.tuning import CrossValidator, ParamGridBuilder

import spark_ext
from dsgd.errors import ConfigError, DataError, WorkerLost
from dsgd.train.again import RankLost
from dsgd.train.config import FitConfig
from dsgd.train.modes import Sync
from dsgd.train.rank import Failure
from pipelines.java import java_problem
from spark_ext.cluster import allocation, engine, execution, kinds, listening, post, shares, worker
from spark_ext.cluster.engine import SparkEngine
from spark_ext.cluster.feed import Feed
from spark_ext.cluster.listening import Listening
from spark_ext.cluster.messages import translate

from ..conftest import unavailable

SELF = "dsgd.train.selftest:"
COLUMNS = ["a", "b", "city"]
FEATURES = {"featuresCol": COLUMNS, "hashBits": 6, "regParam": 0.01}


@pytest.fixture(scope="module")
def table():
    """Two numbers, a text and a label."""
    rng = np.random.default_rng(0)
    rows = pd.DataFrame(rng.normal(size=(600, 2)), columns=["a", "b"]).assign(city=rng.choice(["Ulm", "Kiel"], 600))
    score = 2 * rows["a"] - rows["b"] + (rows["city"] == "Ulm") + rng.logistic(size=600)
    return rows.assign(label=(score > 0).astype(float), held=np.arange(600) % 5 == 0)


@pytest.fixture(scope="module")
def people(spark, table):
    return spark.createDataFrame(table).cache()


@pytest.fixture(scope="module")
def by_ring(people):
    return spark_ext.SGDClassifier(**FEATURES).fit(people)


def counted(spark, frame):
    """The frame by way of a function that counts its rows, and the counter."""
    counter = spark.sparkContext.accumulator(0)

    def count(batches):
        for batch in batches:
            counter.add(batch.num_rows)
            yield batch

    return frame.mapInArrow(count, frame.schema), counter


def files_left(spark):
    local = spark.sparkContext.getConf().get("spark.local.dir")
    found = subprocess.run(["find", local, "-name", "*.arrow*"], capture_output=True, text=True, check=True, timeout=60)
    return found.stdout


def persisted(spark):
    return spark.sparkContext._jsc.sc().getPersistentRDDs().size()


def titles(spark, name):
    """What Spark's interface says of the jobs of a fit, in their order."""
    jobs = spark.sparkContext._jsc.sc().statusStore().jobsList(None)
    found = ((jobs.apply(i).jobId(), jobs.apply(i).description()) for i in range(jobs.size()))
    return [text.get() for _, text in sorted(found) if text.isDefined() and name in text.get()]


@pytest.mark.parametrize("localSteps", [1, "epoch"])
def test_a_data_frame_is_read_once_whatever_the_rounds(spark, people, by_ring, localSteps):
    frame, counter = counted(spark, people)
    before = persisted(spark)
    estimator = spark_ext.SGDClassifier(topology="engine", localSteps=localSteps, maxIter=8, **FEATURES)
    model = estimator.fit(frame)
    assert counter.value == 600
    assert len({title for title in titles(spark, estimator.uid) if ", round " in title}) > 3
    if localSteps == 1:
        np.testing.assert_allclose(model.coefficients, by_ring.coefficients, rtol=0.01, atol=0.01)
    assert persisted(spark) == before
    assert files_left(spark) == ""


def test_what_spark_keeps_of_a_data_frame_goes_after_an_error_too(spark, table):
    before = persisted(spark)
    frame = spark.createDataFrame(table.assign(a=table["a"].where(table.index != 77)))
    with pytest.raises(DataError, match="'a'"):
        spark_ext.SGDClassifier(topology="engine", **FEATURES).fit(frame)
    assert persisted(spark) == before
    assert files_left(spark) == ""


def test_a_data_frame_without_rows_says_so(people):
    for topology in ("ring", "engine"):
        with pytest.raises(DataError, match="no rows"):
            spark_ext.SGDClassifier(topology=topology, **FEATURES).fit(people.where("a > 1000"))


def test_validation_rows_come_in_the_same_feed(people):
    estimator = spark_ext.SGDClassifier(
        topology="engine", validationIndicatorCol="held", earlyStopping=True, **FEATURES
    )
    history = estimator.fit(people).history_
    assert history.column("rows")[0] == 480
    assert history.column("validation")[-1] is not None


def test_a_leaf_that_runs_where_its_share_is_not_is_brought_it(spark, tmp_path):
    frame, counter = counted(spark, spark.range(0, 200_000).selectExpr("id", "rand(7) AS x"))
    shared = b"payload" * 300_000  # more than travels inside a function
    with SparkEngine(spark) as other:
        other.feed = Feed("brought", frame)
        payloads = [(1, shared), (1, shared)]
        assert other.aggregate(SELF + "blob", payloads, SELF + "bracket") == b"(\0 \1)"
        files = sorted(files_left(spark).split())
        before = [Path(path).read_bytes() for path in files]
        assert [len(data) > 2 * shares.CELL for data in before] == [True, True]
        subprocess.run(["rm", files[1]], check=True)
        assert other.aggregate(SELF + "blob", payloads, SELF + "bracket") == b"(\0 \1)"
        assert sorted(files_left(spark).split()) == files
        assert [Path(path).read_bytes() for path in files] == before
    assert counter.value == 200_000
    assert files_left(spark) == ""


@pytest.fixture
def dynamic(monkeypatch):
    """An application with dynamic allocation, as far as the settings tell."""
    told = {allocation.SETTING: "true", "spark.master": "yarn"}
    monkeypatch.setattr("spark_ext.cluster.session.Session.setting", lambda self, key, default: told.get(key, default))
    monkeypatch.setattr(execution, "_told", set())


def test_dynamic_allocation_falls_back_to_rounds_and_says_so_once(dynamic, people, by_ring, caplog):
    for _ in range(2):
        estimator = spark_ext.SGDClassifier(**FEATURES)
        model = estimator.fit(people)
        np.testing.assert_allclose(model.coefficients, by_ring.coefficients, rtol=0.01, atol=0.01)
        assert estimator.getTopology() == "ring"
    said = [record.message for record in caplog.records if "starts no gang" in record.message]
    assert len(said) == 1
    assert "topology='engine'" in said[0]


@pytest.mark.parametrize(
    ("given", "steps"),
    [
        ({}, 1),
        ({"optimizer": "sgd"}, "epoch"),
        ({"batch_size": 64}, "epoch"),
        ({"mode": Sync(local_steps=8)}, "epoch"),
        ({"mode": Sync("tree", local_steps="epoch")}, "epoch"),
    ],
)
def test_without_a_gang_there_is_never_a_job_a_mini_batch(given, steps):
    mode = allocation.without_gang(FitConfig(**given)).mode
    assert (mode.topology, mode.local_steps) == ("engine", steps)


@pytest.mark.parametrize("given", [{"optimizer": "svrg"}, {"average": True}, {"mode": Sync(compression="int8")}])
def test_what_needs_a_gang_is_refused_under_dynamic_allocation(given):
    with pytest.raises(ConfigError, match=r"under spark\.dynamicAllocation\.enabled=true.*turn dynamic allocation off"):
        allocation.without_gang(FitConfig(**given))


def test_more_ranks_than_slots_are_refused_before_any_job(spark, people):
    estimator = spark_ext.SGDClassifier(numWorkers=3, **FEATURES)
    before = spark.sparkContext._jsc.sc().statusStore().jobsList(None).size()
    with pytest.raises(ConfigError, match="runs 1 to 2 tasks at the same time, not 3; lower numWorkers"):
        estimator.fit(people)
    assert spark.sparkContext._jsc.sc().statusStore().jobsList(None).size() == before


def test_the_depth_of_the_tree_changes_the_jobs_and_not_the_model(spark, people):
    models, stages = [], []
    store = spark.sparkContext._jsc.sc().statusStore()
    for depth in (1, 2):
        estimator = spark_ext.SGDClassifier(topology="engine", numWorkers=5, aggregationDepth=depth, **FEATURES)
        models.append(estimator.fit(people))
        jobs = store.jobsList(None)
        mine = [jobs.apply(i) for i in range(jobs.size()) if jobs.apply(i).description().isDefined()]
        mine = [
            job for job in mine if estimator.uid in job.description().get() and "gradient" in job.description().get()
        ]
        stages.append(max(job.stageIds().size() for job in mine))
    assert stages[1] > stages[0]
    np.testing.assert_allclose(models[0].coefficients, models[1].coefficients, rtol=1e-5, atol=1e-6)
    with pytest.raises(ConfigError, match="depth"):
        spark_ext.SGDClassifier(topology="engine", aggregationDepth=0, **FEATURES).fit(people)


def test_jobs_are_named_and_the_users_own_names_stay(spark, people):
    context = spark.sparkContext
    context.setJobGroup("mine", "nightly", False)
    estimator = spark_ext.SGDClassifier(**FEATURES)
    try:
        estimator.fit(people)
        assert context.getLocalProperty("spark.jobGroup.id") == "mine"
        assert context.getLocalProperty("spark.job.description") == "nightly"
        assert context.getLocalProperty("spark.job.tags") is None
    finally:
        context.setLocalProperty("spark.jobGroup.id", None)
        context.setLocalProperty("spark.job.description", None)
    assert f"nightly: {estimator.uid}: mode sync, topology ring, 2 ranks" in titles(spark, estimator.uid)
    jobs = context._jsc.sc().statusStore().jobsList(None)
    assert jobs.apply(0).jobGroup().get() == "mine", "who cancels the group cancels the fit"


def test_epochs_are_told_in_the_log(people, caplog):
    caplog.set_level(logging.INFO, "spark_ext.cluster.progress")
    for topology in ("ring", "engine"):
        caplog.clear()
        estimator = spark_ext.SGDClassifier(topology=topology, **FEATURES)
        history = estimator.fit(people).history_
        told = [record.message for record in caplog.records if record.name == "spark_ext.cluster.progress"]
        assert len(told) == len(history)
        assert told[0].startswith(f"{estimator.uid}: epoch 1, objective 0.4")


def test_a_bar_is_shown_when_asked_for_and_only_where_it_can_move(people, monkeypatch, capsys):
    spark_ext.SGDClassifier(verbose=1, **FEATURES).fit(people)
    assert "SGDClassifier" not in capsys.readouterr().err
    monkeypatch.setenv("FORCE_COLOR", "1")
    spark_ext.SGDClassifier(verbose=0, **FEATURES).fit(people)
    assert "SGDClassifier" not in capsys.readouterr().err
    spark_ext.SGDClassifier(verbose=1, **FEATURES).fit(people)
    assert "SGDClassifier" in capsys.readouterr().err


def test_a_driver_that_cannot_be_reached_is_told_of_once(spark, people, by_ring, monkeypatch, caplog):
    monkeypatch.setattr(post, "_told", set())
    monkeypatch.setattr(listening, "listen", lambda listener, host, ports: "tcp://127.0.0.1:1")
    records = []
    for _ in range(2):
        with SparkEngine(spark) as other:
            assert other.launch(SELF + "count", [3, 3], on_report=records.append) == [b"3", b"3"]
    assert records == []
    assert len([record for record in caplog.records if "cannot reach the driver" in record.message]) == 1


def test_a_driver_that_cannot_listen_is_told_of(spark, monkeypatch, caplog):
    monkeypatch.setattr(post, "_told", set())
    with SparkEngine(spark, listening=Listening(port_range=(1, 1), interface="192.0.2.77")) as other:
        monkeypatch.setattr("spark_ext.cluster.kinds.Classic.setting", lambda self, key, default: "192.0.2.77")
        monkeypatch.setattr(engine.slots, "require", lambda *_: None)
        monkeypatch.setattr(allocation, "forbids_gangs", lambda session: False)
        assert other.launch(SELF + "count", [3], on_report=lambda record: None) == [b"3"]
    assert [record for record in caplog.records if "no reports of running ranks" in record.message]


def test_reports_of_strangers_are_not_delivered(spark):
    from spark_ext.cluster.reports import Mailbox, Reporter

    found, session = [], kinds.wrap(spark)
    opened = post.Post(session, Listening(), found.append)
    stranger = post.Post(session, Listening(), found.append)
    try:
        mine = Reporter(opened.mailbox, 0)
        other = Reporter(Mailbox(opened.mailbox.address, stranger.mailbox.security), 1)
        for reporter, who in ((mine, "mine"), (other, "other")):
            reporter.report({"who": who})
            reporter.report({"who": who, "text": "x" * 10_000})
        assert other.close() is None
        assert mine.close() == 1
        opened.last({(1, 0): b"1"})
    finally:
        opened.close()
        stranger.close()
    assert found == [{"who": "mine"}]


LOST = "ExecutorLostFailure (executor 1 exited caused by one of the running tasks) Reason: worker lost"


@pytest.mark.parametrize(
    ("text", "chance"),
    [
        (f"Could not recover from a failed barrier ResultStage. barrier task ResultTask(4, 1) {LOST}", True),
        ("SparkException: Python worker exited unexpectedly (crashed)", True),
        (f"RankFailed: {worker.mark(Failure(0, 'WorkerLost', 'rank 1 closed its connection'))}", True),
        (f"RankFailed: {worker.mark(Failure(0, 'other', 'ZeroDivisionError'))}", False),
        ("FetchFailed(null, shuffleId=0)", True),
        ("org.apache.spark.SparkArithmeticException: [DIVIDE_BY_ZERO] Division by zero", False),
        ("PythonException: Traceback ... KeyError: 'x'", False),
    ],
)
def test_only_what_was_lost_is_tried_again(text, chance):
    error = translate(text)
    assert isinstance(error, WorkerLost)
    assert isinstance(error, RankLost) == chance


def test_cross_validation_in_parallel_takes_turns(people):
    estimator = spark_ext.SGDClassifier(maxIter=3, **FEATURES)
    grid = ParamGridBuilder().addGrid(estimator.getParam("regParam"), [0.0, 0.1]).build()
    evaluator = BinaryClassificationEvaluator()
    folds = CrossValidator(
        estimator=Pipeline(stages=[estimator]), estimatorParamMaps=grid, evaluator=evaluator, numFolds=2, parallelism=2
    )
    assert min(folds.fit(people).avgMetrics) > 0.8


@pytest.mark.timeout(200)
@pytest.mark.xdist_group("clusters")
def test_cores_of_a_task_are_threads_and_sparks_interface_names_the_rounds(tmp_path):
    if java_problem():
        unavailable(java_problem())
    script = Path(__file__).with_name("settings_client.py")
    here = os.environ | {"PYTHONPATH": str(Path(spark_ext.__file__).parents[1])}
    words = [sys.executable, str(script), str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=180, env=here)
    assert done.returncode == 0, done.stderr[-4000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["slots"] == 2
    assert told["gang"] == [2, 2]
    assert told["leaf"][0] == 2
    assert told["leaf"][1] <= 2
    assert told["configs"] == [2, 1], "the threads of the fit, unless threadsPerWorker is set"
    rounds = [
        job for job in told["jobs"] if f"{told['uid']}: mode sync, topology engine, 2 shares, epoch 1, round 1" in job
    ]
    assert rounds
