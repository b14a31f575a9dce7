"""Fits through Spark Connect: a server of its own, and a client in a process without Java."""

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import dsgd
from pipelines.java import java_problem

from ..conftest import unavailable
from ..processes import end

pyspark = pytest.importorskip("pyspark")
HOME = Path(pyspark.__file__).parent
# The workers' Python and packages are this process's own.
HERE = {"PYTHONPATH": str(Path(dsgd.__file__).parents[1]), "PYSPARK_PYTHON": sys.executable}
CLIENT = Path(__file__).with_name("connect_client.py")


@pytest.fixture(scope="module")
def remote(tmp_path_factory):
    """Address of a Connect server with two slots, stopped by its process number."""
    if not list(HOME.glob("jars/spark-connect_*.jar")):
        pytest.skip(f"the wheel of pyspark {pyspark.__version__} holds no Connect server; 4.0 and later do")
    if java_problem():
        unavailable(java_problem())
    try:
        import grpc  # noqa: F401
    except ImportError:
        unavailable("Spark Connect's client needs grpcio: pip install 'pyspark[connect]'")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    scratch = tmp_path_factory.mktemp("connect")
    settings = {
        "spark.connect.grpc.binding.address": "127.0.0.1",
        "spark.connect.grpc.binding.port": port,
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.local.dir": scratch / "local",
        "spark.sql.warehouse.dir": scratch / "warehouse",
    }
    arguments = ["--master", "local[2]", "--class", "org.apache.spark.sql.connect.service.SparkConnectServer"]
    arguments += [word for key, value in settings.items() for word in ("--conf", f"{key}={value}")]
    with contextlib.ExitStack() as stack:
        log = stack.enter_context((scratch / "server.log").open("w+"))
        server = subprocess.Popen(
            [str(HOME / "bin" / "spark-class"), "org.apache.spark.deploy.SparkSubmit", *arguments, "spark-internal"],
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=scratch,
            env={**os.environ, **HERE, "SPARK_HOME": str(HOME)},
        )
        stack.callback(end, server)
        _await(scratch / "server.log", "Spark Connect server started", server)
        yield f"sc://127.0.0.1:{port}"


def _await(log, text, process):
    limit = time.monotonic() + 120.0
    while time.monotonic() < limit and process.poll() is None:
        if text in log.read_text():
            return
        time.sleep(0.1)
    raise AssertionError(f"no {text!r} in the server's log: {log.read_text()[-2000:]}")


@pytest.mark.timeout(300)
@pytest.mark.xdist_group("clusters")
def test_a_client_without_java_trains_the_same_models(remote, tmp_path):
    rng = np.random.default_rng(0)
    rows = pd.DataFrame(rng.normal(size=(400, 2)), columns=["a", "b"]).assign(city=rng.choice(["Ulm", "Kiel"], 400))
    rows["label"] = (2 * rows["a"] - rows["b"] + (rows["city"] == "Ulm") + rng.logistic(size=400) > 0).astype(float)
    rows.to_parquet(tmp_path / "rows.parquet", row_group_size=100)
    done = subprocess.run(
        [sys.executable, str(CLIENT), remote, str(tmp_path / "rows.parquet"), str(tmp_path / "model")],
        capture_output=True,
        text=True,
        timeout=280,
        env={**os.environ, **HERE},
    )
    assert done.returncode == 0, done.stderr[-4000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["client"].startswith("pyspark.sql.connect")
    assert told["same"] == {"ring": True, "engine": True}
    assert told["slots"] == 2
    assert re.search(r"1 to 2 tasks at the same time, not 3", told["refused"])
    assert "cannot reach a Spark Connect client; use mode=Sync()" in told["shards"]
    assert told["accuracy"] == pytest.approx(told["measured"], abs=0.01)
    assert told["accuracy"] > 0.75
    assert told["rounds"] == pytest.approx(told["measured"], abs=0.01)
    assert told["reports"] is False
    assert told["summary"] == pytest.approx([told["measured"], told["summary"][2], told["summary"][2]], abs=1e-3)
    assert told["explained"].startswith("python")
    assert "needs a classic SparkSession" in told["twin"]
    loaded = dsgd.load(tmp_path / "model")
    assert (loaded.predict(rows[["a", "b", "city"]]) == rows["label"]).mean() == pytest.approx(told["measured"])
