"""What a fit makes of a worker, or a scheduler, that goes away; and of a cluster over TLS."""

import contextlib
import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

pytest.importorskip("distributed")

import dask.array as da
import distributed
from distributed import Client, LocalCluster
from distributed.security import Security

import dask_ext
import dsgd
from dask_ext import watching
from dsgd import WorkerLost

from ..conftest import require
from ..processes import end

rng = np.random.default_rng(7)
X = rng.normal(size=(400, 4))
Y = (X @ [2.0, -1.0, 0.5, 0.0] + rng.logistic(size=400) > 0).astype(np.int64)
SLOW = {"max_iter": 10**7, "tol": None, "optimizer": "adagrad"}


def at_first_epoch(action):
    """Do something, once, when the first epoch is reported."""
    done = threading.Event()

    def report(record):
        if not done.is_set():
            done.set()
            action()

    return report


def test_a_fit_begins_again_when_a_worker_is_killed(dask_client, caplog):
    chunked, labels = dask_client.persist([da.from_array(X, chunks=(100, 4)), da.from_array(Y, chunks=100)])
    distributed.wait([chunked, labels])
    first = dask_client.run(os.getpid, workers=[min(dask_client.nthreads())])
    kill = at_first_epoch(lambda: os.kill(next(iter(first.values())), signal.SIGKILL))
    # Epochs enough for the loss to be seen while they run; then as quick as the first.
    model = dask_ext.SGDClassifier(random_state=0, max_iter=1500, tol=None, optimizer="adagrad", verbose=kill)
    with caplog.at_level(logging.WARNING, logger="dask_ext"):
        model.fit(chunked, labels)
    assert "begins again from" in caplog.text
    assert model.n_iter_ == 1500
    local = dsgd.SGDClassifier(random_state=0, tol=1e-6, standardize=True).fit(X, Y)
    np.testing.assert_allclose(model.coef_, local.coef_, atol=0.1)


@contextlib.contextmanager
def scheduler(tmp_path, *options, workers=1):
    """A scheduler and workers, each a process of its own; their address and the scheduler's process."""
    with contextlib.ExitStack() as started:

        def start(kind, *arguments):
            log = open(tmp_path / f"{kind}-{len(list(tmp_path.iterdir()))}.log", "w+")  # noqa: SIM115
            command = [sys.executable, "-m", f"distributed.cli.dask_{kind}", *arguments, *options]
            process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=tmp_path)
            started.callback(log.close)
            started.callback(end, process)
            return process, log

        main, log = start("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")
        address = found_in(log.name, r"Scheduler at:\s+(\S+)")
        for _ in range(workers):
            start("worker", address, "--nthreads", "1", "--no-dashboard", "--local-directory", str(tmp_path / "local"))
        yield address, main


def found_in(path, pattern, seconds=60.0):
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        with open(path) as log:
            found = re.search(pattern, log.read())
        if found:
            return found[1]
        time.sleep(0.05)
    raise AssertionError(f"no {pattern!r} in {path}")


def test_a_scheduler_that_goes_away_ends_the_fit(tmp_path, monkeypatch):
    monkeypatch.setattr(watching, "_SILENT", 3.0)
    with (
        scheduler(tmp_path) as (address, process),
        Client(address, set_as_default=False, timeout=6) as client,
        client.as_current(),
    ):
        client.wait_for_workers(1, timeout=60)
        model = dask_ext.SGDClassifier(**SLOW, verbose=at_first_epoch(process.kill))
        began = time.monotonic()
        with pytest.raises(WorkerLost, match="scheduler"):
            model.fit(X, Y)
        assert time.monotonic() - began < 60.0


def test_a_cluster_over_tls(tmp_path):
    trustme = require("trustme", "dev")
    authority = trustme.CA()
    own = authority.issue_cert("127.0.0.1", "localhost")
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    own.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "own.pem"))
    files = {"tls_ca_file": str(tmp_path / "ca.pem")}
    files |= {
        f"tls_{who}_{what}": str(tmp_path / "own.pem")
        for who in ("scheduler", "worker", "client")
        for what in ("cert", "key")
    }
    security = Security(require_encryption=True, **files)
    with (
        LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=False,
            protocol="tls://",
            host="127.0.0.1",
            security=security,
            dashboard_address=None,
            local_directory=str(tmp_path),
        ) as cluster,
        Client(cluster.scheduler_address, security=security, set_as_default=False) as client,
        client.as_current(),
    ):
        assert client.scheduler.address.startswith("tls://")
        chunked, labels = da.from_array(X, chunks=(100, 4)), da.from_array(Y, chunks=100)
        model = dask_ext.SGDClassifier(random_state=0).fit(chunked, labels)
        assert len(model.history_) > 0
        assert model.score(chunked, labels) > 0.7
