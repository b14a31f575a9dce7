"""Meeting places for a job: a Dask client or a Spark session, found where the user says or started on this machine.

In: an address and a number of workers; out: a context manager that closes what it opened, and nothing else. Spark's
Java process writes its log to a file, not to the terminal; if it does not start, the last lines are in the error.
"""

import contextlib
import logging
import os
import socket
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dsgd import ConfigError

from .java import java_problem

CONNECT_SECONDS = 10


@contextlib.contextmanager
def dask_client(address: str | None = None, workers: int | None = None) -> Iterator[Any]:
    """Connect to the scheduler at ``address``, or start ``workers`` single-threaded processes here.

    Raises
    ------
    ConfigError
        When Dask is not installed, or nothing answers at the address within 10 seconds.
    """
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise ConfigError("--engine dask needs Dask, which is not installed: pip install 'dsgd[dask]'") from error
    with contextlib.ExitStack() as stack:
        if address is None:
            cluster = LocalCluster(
                n_workers=workers or os.cpu_count(),
                threads_per_worker=1,
                dashboard_address=":0",
                host="127.0.0.1",
                silence_logs=logging.ERROR,  # that a worker took its time to leave is nobody's concern
                local_directory=stack.enter_context(tempfile.TemporaryDirectory(prefix="dsgd-dask-")),
            )
            stack.enter_context(cluster)
            address = cluster.scheduler_address
        try:
            client = Client(address, timeout=CONNECT_SECONDS)
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"no Dask scheduler answers at {address!r} ({error}): start one with 'dask scheduler' and give its "
                "address, like tcp://host:8786"
            ) from error
        yield stack.enter_context(client)


@contextlib.contextmanager
def spark_session(master: str | None = None, workers: int | None = None, log: Path | None = None) -> Iterator[Any]:
    """Open a session on ``master``, or on this machine.

    A session that is already active in this process is used as it is and left open.

    Parameters
    ----------
    master : str, optional
        ``spark://host:7077``, ``local[2]``, ``yarn`` ...; ``sc://host`` for Spark Connect.
    workers : int, optional
        Task slots of a session on this machine; its processors if not given.
    log : Path, optional
        File that takes what Java and Spark print; a temporary one if not given.

    Raises
    ------
    ConfigError
        When pyspark or Java is missing, nothing listens at the address, or the session does not start.
    """
    try:
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise ConfigError("--engine spark needs pyspark, which is not installed: pip install 'dsgd[spark]'") from error
    active = SparkSession.getActiveSession()
    if active is not None:
        yield active
        return
    check_can_start(master)
    # Said at the first use of pandas by pyspark 4; a job has nothing to do about it.
    warnings.filterwarnings("ignore", message="PySpark does not yet fully support pandas", category=FutureWarning)
    # Spark's workers would otherwise be whichever python3 comes first on the path.
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    os.environ.setdefault("PYSPARK_DRIVER_PYTHON", sys.executable)
    with tempfile.TemporaryDirectory(prefix="dsgd-spark-", ignore_cleanup_errors=True) as scratch:
        log = log or Path(scratch, "spark.log")
        builder = SparkSession.builder.appName("dsgd")
        try:
            with stderr_to(log):
                session = _configure(builder, master, workers, scratch).getOrCreate()
        except Exception as error:
            raise ConfigError(
                f"Spark does not start on {master or 'this machine'} ({_reason(error)}): {last_lines(log)}"
            ) from error
        try:
            yield session
        finally:
            session.stop()


def _configure(builder: Any, master: str | None, workers: int | None, scratch: str) -> Any:
    if master is not None and master.startswith("sc://"):
        return builder.remote(master)
    settings = {
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.warehouse.dir": os.path.join(scratch, "warehouse"),
    }
    if master is None or master.startswith("local"):
        settings |= {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
    return builder.master(master or f"local[{workers or os.cpu_count()}]").config(map=settings)


def check_can_start(master: str | None) -> None:
    """Find out in seconds what Spark itself would find out in minutes, or say with a Java stack."""
    scheme, _, rest = (master or "").partition("://")
    if scheme != "sc":
        problem = java_problem()
        if problem:
            raise ConfigError(problem)
    if scheme not in ("sc", "spark"):
        return
    places = rest.partition("/")[0].split(",")
    if not any(_listens(place, default_port=15002 if scheme == "sc" else 7077) for place in places):
        raise ConfigError(f"nothing listens at {master}: start the master, or give another --spark-master")


def _listens(place: str, default_port: int) -> bool:
    host, _, port = place.partition(":")
    if port and not port.isdigit():
        raise ConfigError(f"expected an address like host:{default_port}, not {place!r}")
    try:
        with socket.create_connection((host, int(port or default_port)), timeout=CONNECT_SECONDS):
            return True
    except OSError:
        return False


@contextlib.contextmanager
def stderr_to(path: Path) -> Iterator[None]:
    """Let processes that start meanwhile inherit a file as their standard error, for all their life."""
    sys.stderr.flush()
    with open(path, "ab") as file:
        kept = os.dup(2)
        try:
            os.dup2(file.fileno(), 2)
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def _reason(error: BaseException) -> str:
    """The line that tells: Java's own exception if there is one, else the first."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return next((line.strip(": ") for line in lines if "Exception: " in line), lines[0])


def last_lines(path: Path, count: int = 2) -> str:
    """The end of Spark's log, without the frames of Java's stack."""
    lines = path.read_text(errors="replace").splitlines() if path.exists() else []
    telling = [line.strip() for line in lines if line.strip() and not line.startswith("\tat ")]
    return " / ".join(telling[-count:]) or "it printed nothing"
