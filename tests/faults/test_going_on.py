"""Fits that lose a rank, a worker or the disk of their checkpoints go on from a checkpoint: their epochs are not begun anew."""

import functools
import os
import re
import resource
import signal
import threading
import time

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import dsgd
from dsgd import Async, Checkpoint, Columns, Sync, WorkerLost
from dsgd.train.checkpoints.folder import Folder

from ..conftest import require

EPOCHS, KILLED_AT = 60, 8
COMMON = {
    "optimizer": "adagrad",
    "batch_size": 32,
    "alpha": 1e-3,
    "standardize": True,
    "max_iter": EPOCHS,
    "tol": None,
    "random_state": 3,
    "n_workers": 2,
}


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    random = np.random.default_rng(2)
    x, city = random.normal(size=(3, 20_000)).astype(np.float32), random.integers(0, 50, 20_000)
    y = (x.sum(axis=0) + 0.2 * (city % 5) + random.logistic(size=20_000) > 0).astype(np.int8)
    columns = {f"x{j}": values for j, values in enumerate(x)} | {"city": [f"c{value}" for value in city], "y": y}
    path = tmp_path_factory.mktemp("rows") / "rows.parquet"
    pq.write_table(pa.table(columns), path, row_group_size=1000)
    return dsgd.read_parquet(path, label="y")


class At:
    """Hears a fit's epochs, and does something at one of them, once."""

    def __init__(self, action, epoch=KILLED_AT):
        self.action, self.epoch, self.epochs = action, epoch, []

    def __call__(self, record):
        self.epochs.append(record["epoch"])
        if self.action is not None and record["epoch"] >= self.epoch:
            action, self.action = self.action, None
            action()


def ranks():
    children = psutil.Process().children()
    return [child for child in children if any("dsgd.train.local.child" in word for word in child.cmdline())]


def weights(model):
    return np.append(model.coef_.ravel(), model.intercept_)


def local(mode, path, heard=0, **more):
    # Steps, not seconds, so that there is one before the rank is killed however fast the machine is.
    checkpoint = Checkpoint(str(path), seconds=None, steps=300)
    return dsgd.SGDClassifier(**COMMON | more, mode=mode, verbose=heard, checkpoint=checkpoint)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    ("mode", "after"),
    [
        pytest.param(Sync(topology="ring"), 2, id="ring"),
        pytest.param(Columns(), 2, id="columns"),
        pytest.param(Columns(), 1, id="columns, one rank afterwards"),
        pytest.param(Columns(), 3, id="columns, three ranks afterwards"),
    ],
)
def test_a_fit_that_has_lost_its_last_attempt_goes_on_in_the_next_call(rows, tmp_path, mode, after, monkeypatch):
    heard = At(lambda: ranks()[-1].kill())
    with monkeypatch.context() as patch:
        patch.setattr("dsgd.train.again.AGAIN", 0)
        with pytest.raises(WorkerLost, match=r"(?s)signal 9.*that was the last of 1 attempts"):
            local(mode, tmp_path / "fit", heard).fit(rows)
    assert not ranks()
    again = At(None)
    model = local(mode, tmp_path / "fit", again, n_workers=after).fit(rows)
    assert 1 < again.epochs[0] <= heard.epochs[-1] + 1
    assert model.n_iter_ == EPOCHS
    whole = local(mode, tmp_path / "whole").fit(rows)
    if after == 2:
        np.testing.assert_array_equal(weights(model), weights(whole))
    else:
        objectives = [fitted.model_.history[-1]["objective"] for fitted in (model, whole)]
        np.testing.assert_allclose(*objectives, rtol=0.01)
    assert not (tmp_path / "fit").exists()


def freeze():
    ranks()[-1].suspend()


def kill():
    ranks()[-1].kill()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("mode", [Sync(topology="ring"), Columns()], ids=["ring", "columns"])
@pytest.mark.parametrize("injury", [kill, freeze])
def test_a_fit_in_processes_goes_on_after_the_last_epoch(rows, mode, injury, caplog, monkeypatch):
    monkeypatch.setattr("dsgd.train.checkpoints.beginning._CARRIED", 0.0)
    heard = At(injury)
    model = dsgd.SGDClassifier(**COMMON, mode=mode, verbose=heard, deadline=3.0).fit(rows)
    [told] = [message for message in caplog.messages if "begins again" in message]
    assert told.startswith(
        "SGDClassifier begins again from the last epoch that the driver has, for the first time: rank "
    )
    assert ("signal 9" if injury is kill else "silent") in told
    assert heard.epochs.count(1) == 1
    assert model.n_iter_ == EPOCHS
    assert not ranks()
    whole = dsgd.SGDClassifier(**COMMON, mode=mode).fit(rows)
    np.testing.assert_array_equal(weights(model), weights(whole))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_fit_in_processes_goes_on_from_its_checkpoint(rows, tmp_path, caplog):
    heard = At(kill)
    model = local(Sync(topology="ring"), tmp_path / "fit", heard).fit(rows)
    assert len(told_of_checkpoint(caplog)) == 1
    assert heard.epochs.count(1) == 1
    assert model.n_iter_ == EPOCHS
    assert not (tmp_path / "fit").exists()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("mode", [Sync(topology="ring"), Columns(), Async()], ids=["ring", "columns", "async"])
def test_a_disk_that_fills_up_is_told_and_the_earlier_checkpoint_is_whole(rows, tmp_path, mode, capsys):
    """A limit on the files of the ranks stands for the disk: writing fails in the same way."""
    path = tmp_path / "fit"

    def fill():
        for rank in ranks():
            rank.rlimit(resource.RLIMIT_FSIZE, (16, 16))

    def leave():
        raise KeyboardInterrupt

    heard, interrupt = At(fill), At(leave, epoch=EPOCHS - 5)

    def report(record):
        heard(record)
        interrupt(record)

    with pytest.raises(KeyboardInterrupt):
        local(mode, path, report).fit(rows)
    # Training is none the worse for it.
    assert re.search(r"no checkpoint in .* could be made .*File too large", capsys.readouterr().err)
    folder = Folder(str(path))
    number = folder.numbers()[0]
    assert any(folder.part(number, records) for records in folder.header(number)["parts"])
    again = At(None)
    assert local(mode, path, again).fit(rows).n_iter_ == EPOCHS
    assert again.epochs[0] > 1


@pytest.fixture(scope="module")
def nannies(tmp_path_factory):
    distributed = require("distributed", "dask")
    options = {"n_workers": 2, "threads_per_worker": 1, "host": "127.0.0.1", "dashboard_address": None}
    import dask

    with (
        # After which the cluster would give the place of a worker that stays away to another.
        dask.config.set({"distributed.deploy.lost-worker-timeout": "10m"}),
        distributed.LocalCluster(**options, local_directory=str(tmp_path_factory.mktemp("dask"))) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield cluster, client


def on_dask(path, heard, **more):
    import dask_ext

    checkpoint = Checkpoint(str(path), seconds=None, steps=300)
    return dask_ext.SGDClassifier(**COMMON | more, verbose=heard, checkpoint=checkpoint)


def told_of_checkpoint(caplog):
    return [message for message in caplog.messages if "or its newest checkpoint" in message]


@pytest.mark.timeout(400)
@pytest.mark.xdist_group("nannies")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("mode", [Sync(topology="ring"), Columns()], ids=["ring", "columns"])
def test_a_dask_fit_goes_on_from_its_checkpoint(rows, nannies, tmp_path, caplog, mode):
    _, client = nannies
    client.wait_for_workers(2, timeout=60)
    victim = max(client.run(os.getpid).values())
    heard = At(lambda: os.kill(victim, signal.SIGKILL))
    model = on_dask(tmp_path / "fit", heard, mode=mode).fit(rows)
    assert len(told_of_checkpoint(caplog)) == 1
    assert heard.epochs.count(1) == 1, "the second attempt did not begin with the first epoch"
    assert model.n_iter_ == EPOCHS
    whole = on_dask(tmp_path / "whole", 0, mode=mode).fit(rows)
    np.testing.assert_array_equal(weights(model), weights(whole))
    assert not (tmp_path / "fit").exists()


def kill_and_wait(client, victim):
    """Kill a worker's process; it is gone when the scheduler knows of it."""
    address = {process: address for address, process in client.run(os.getpid).items()}[victim]
    os.kill(victim, signal.SIGKILL)
    limit = time.monotonic() + 60.0
    while address in client.nthreads() and time.monotonic() < limit:
        time.sleep(0.05)
    assert address not in client.nthreads()


@pytest.mark.timeout(200)
@pytest.mark.xdist_group("nannies")
def test_a_dask_worker_that_is_killed_before_its_rank_begins(rows, nannies, tmp_path, caplog, monkeypatch):
    from dask_ext import engine

    _, client = nannies
    client.wait_for_workers(2, timeout=60)
    probe, killed = engine.probe, []

    def probe_later(*arguments):
        if not killed:
            killed.append(max(client.run(os.getpid).values()))
            kill_and_wait(client, *killed)
        return probe(*arguments)

    monkeypatch.setattr(engine, "probe", probe_later)
    model = on_dask(tmp_path / "fit", 0, max_iter=3, tol=None).fit(rows)
    [told] = told_of_checkpoint(caplog)
    assert "before its rank began" in told
    assert model.n_iter_ == 3


@pytest.mark.timeout(200)
@pytest.mark.xdist_group("nannies")
def test_a_dask_worker_that_is_killed_before_its_result_has_travelled(rows, nannies, tmp_path, caplog, monkeypatch):
    _, client = nannies
    client.wait_for_workers(2, timeout=60)
    result, killed = type(client.submit(os.getpid)).result, []

    def result_later(future, *arguments, **keywords):
        if not killed and future.key.startswith("dsgd-rank-"):
            [address] = [address for address, keys in client.has_what().items() if future.key in keys]
            killed.append(client.run(os.getpid)[address])
            kill_and_wait(client, *killed)
        return result(future, *arguments, **keywords)

    monkeypatch.setattr("distributed.Future.result", result_later)
    model = on_dask(tmp_path / "fit", 0, max_iter=3, tol=None).fit(rows)
    [told] = told_of_checkpoint(caplog)
    assert "was lost on its way" in told
    assert model.n_iter_ == 3


@pytest.mark.timeout(200)
@pytest.mark.xdist_group("nannies")
def test_a_dask_worker_that_is_killed_while_it_is_sent_data(nannies):
    """Frozen first, so that it dies in the middle; data that are large go to workers apart from the tasks."""
    from dask_ext.engine import DaskEngine

    _, client = nannies
    client.wait_for_workers(2, timeout=60)
    victim = max(client.run(os.getpid).values())
    shared = bytes(range(256)) * (3 << 12)
    os.kill(victim, signal.SIGSTOP)
    later = threading.Timer(2.0, os.kill, [victim, signal.SIGKILL])
    later.start()
    try:
        with DaskEngine(client) as engine:
            found = engine.aggregate(
                "dsgd.train.selftest:blob", [(4, shared)] * 4, "dsgd.train.selftest:bracket", depth=1
            )
    finally:
        later.join()
    assert len(found) == 4 * 4 + 3 * 3
    client.wait_for_workers(2, timeout=60)


async def stay_away():
    """Stands in the place of a Nanny's start of a worker."""


@pytest.mark.timeout(400)
@pytest.mark.xdist_group("nannies")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_dask_fit_goes_on_with_one_worker_if_the_other_stays_away(rows, nannies, tmp_path, caplog, monkeypatch):
    """The last test of the module's cluster: it has one worker afterwards."""
    from dask_ext import calling

    cluster, client = nannies
    client.wait_for_workers(2, timeout=60)
    monkeypatch.setattr(calling, "room_for", functools.partial(calling.room_for, patience=1.0))
    victim, process = max(client.run(os.getpid).items())
    [nanny] = [nanny for nanny in cluster.workers.values() if nanny.worker_address == victim]
    monkeypatch.setattr(nanny, "instantiate", stay_away)
    heard = At(lambda: os.kill(process, signal.SIGKILL))
    model = on_dask(tmp_path / "fit", heard, min_workers=1).fit(rows)
    assert len(told_of_checkpoint(caplog)) == 1
    assert len(client.nthreads()) == 1
    assert heard.epochs.count(1) == 1, "the second attempt did not begin with the first epoch"
    assert model.n_iter_ == EPOCHS
    assert not (tmp_path / "fit").exists()
