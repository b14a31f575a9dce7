"""What every test directory shares: one Spark session and one Dask client a process, and the rule for a missing engine.

Tests that use a session are kept in one xdist worker (``--dist loadgroup``), so that the session is started once.
An engine that is missing skips its tests with the reason; under continuous integration (CI is set) it fails them, so
that they are never left out unseen.
"""

import importlib
import os
import sys

import pytest

from pipelines.java import java_problem

# Fixtures that start something slow, and the name of the xdist group that their tests form.
GROUPS = {"spark": "spark", "dask_client": "dask"}

# A test's JVM does not live long enough for what the optimising compiler and the parallel collector cost: half of its time.
os.environ.setdefault("JDK_JAVA_OPTIONS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")


@pytest.hookimpl(tryfirst=True)  # Before xdist, which reads the groups in the same hook.
def pytest_collection_modifyitems(items):
    """Group the tests of one engine, and put the groups first: they are the longest units of work."""
    for item in items:
        groups = [GROUPS[name] for name in GROUPS if name in getattr(item, "fixturenames", ())]
        if groups and not item.get_closest_marker("xdist_group"):
            # A test of both engines goes to Spark's process: a Dask client costs a second there, a session four.
            item.add_marker(pytest.mark.xdist_group(groups[0]))
    items.sort(key=lambda item: item.get_closest_marker("xdist_group") is None)


def unavailable(reason: str):
    """Skip the test, or the module that is being collected, for ``reason``; under continuous integration fail it."""
    if os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason, allow_module_level=True)


def require(package: str, extra: str):
    """Import an optional package, or say with which extra it comes and skip."""
    try:
        return importlib.import_module(package)
    except ImportError:
        unavailable(f"{package} is not installed: pip install 'dsgd[{extra}]'")


@pytest.fixture(scope="session")
def spark(tmp_path_factory):
    """A classic ``local[2]`` SparkSession, shared by all tests of this process."""
    problem = java_problem()
    if problem:
        unavailable(problem)
    # Spark's workers would otherwise be whichever python3 comes first on the path.
    os.environ["PYSPARK_PYTHON"] = os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
    SparkSession = require("pyspark.sql", "spark").SparkSession
    scratch = tmp_path_factory.mktemp("spark")
    session = (
        SparkSession.builder.master("local[2]")
        .appName("dsgd-tests")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.memory", "2g")
        .config("spark.local.dir", str(scratch / "local"))
        .config("spark.sql.warehouse.dir", str(scratch / "warehouse"))
        .config("spark.sql.shuffle.partitions", "2")
        .getOrCreate()
    )
    session.sparkContext.setLogLevel("ERROR")
    yield session
    session.stop()


@pytest.fixture(scope="session")
def dask_client(tmp_path_factory):
    """A client of a LocalCluster of two single-threaded worker processes, shared by all tests of this process."""
    distributed = require("distributed", "dask")
    import dask

    with (
        dask.config.set(
            {
                # The leases of a driver that died expire after so long, half a minute by default.
                "distributed.scheduler.locks": {"lease-timeout": "8s", "lease-validation-interval": "2s"},
                # So long after a death the cluster looks whether the worker is back, and gives up its place if not: which it may
                # not be when another test has killed it meanwhile. 15 seconds by default.
                "distributed.deploy.lost-worker-timeout": "10m",
            }
        ),
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address=":0",
            local_directory=str(tmp_path_factory.mktemp("dask")),
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client
