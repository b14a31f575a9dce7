"""The pool of a local aggregate: processes that freeze are replaced, and none outlives its driver."""

import logging
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

import dsgd
from dsgd.errors import WorkerLost
from dsgd.train.local import LocalEngine

from ..processes import end
from . import mortal_leaves

LEAVES, BRACKET = mortal_leaves.__name__ + ":", "dsgd.train.selftest:bracket"
DRIVER = """
import sys, tempfile
tempfile.tempdir = sys.argv[1]
from dsgd.train.local import LocalEngine
LocalEngine(processes=True).aggregate(sys.argv[2], sys.argv[3:], "dsgd.train.selftest:bracket")
"""


@pytest.fixture
def others():
    """Child processes that other tests' engines and clusters keep in this process."""
    return set(psutil.Process().children())


def wait_for(condition, seconds):
    limit = time.monotonic() + seconds
    while not condition() and time.monotonic() < limit:
        time.sleep(0.05)
    return condition()


@pytest.mark.timeout(120)
def test_a_frozen_process_is_replaced(tmp_path, caplog, others):
    payloads = [mortal_leaves.Patience((str(tmp_path / str(number)), number)) for number in range(2)]
    with LocalEngine(processes=True) as engine, caplog.at_level(logging.WARNING):
        assert engine.aggregate(LEAVES + "freeze", payloads, BRACKET) == b"(thawed thawed)"
    [message] = caplog.messages
    assert "the process of task 1 was silent for 1 s (frozen, or stuck), and was killed" in message
    assert "does the task again" in message
    assert set(psutil.Process().children()) <= others


@pytest.mark.timeout(120)
def test_a_task_at_which_all_freeze_is_lost(tmp_path, others):
    payload = mortal_leaves.Patience((str(tmp_path / "marks"), 9))
    with LocalEngine(processes=True) as engine:
        with pytest.raises(WorkerLost, match=r"task 0 was silent for 1 s .* the end of 3 processes in a row"):
            engine.aggregate(LEAVES + "freeze", [payload], BRACKET)
        assert set(psutil.Process().children()) <= others
        assert engine.aggregate("dsgd.train.selftest:name", ["next"], BRACKET) == b"next"


@pytest.mark.timeout(120)
def test_a_process_at_work_is_waited_for(caplog):
    with LocalEngine(processes=True) as engine, caplog.at_level(logging.WARNING):
        payload = mortal_leaves.Patience(("", 0))
        assert engine.aggregate(LEAVES + "work", [payload], BRACKET) == b"done"
    assert not caplog.messages


@pytest.mark.timeout(120)
def test_a_task_finds_what_it_left_in_its_process():
    with LocalEngine(processes=True) as engine:
        found = {engine.aggregate("dsgd.train.selftest:identify", [None], BRACKET).split()[-1] for _ in range(4)}
    assert len(found) == 1


@pytest.mark.timeout(120)
def test_processes_and_scratch_go_with_a_killed_driver(tmp_path):
    marks = [tmp_path / f"mark-{number}" for number in range(2)]
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(scratch), LEAVES + "last", *map(str, marks)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    try:
        assert wait_for(lambda: all(mark.exists() and mark.read_text() for mark in marks), 60.0)
        processes = [psutil.Process(int(mark.read_text())) for mark in marks]
        everybody = psutil.Process(driver.pid).children(recursive=True)
        assert {process.pid for process in processes} <= {process.pid for process in everybody}
        driver.send_signal(signal.SIGKILL)
    finally:
        end(driver)
    _, alive = psutil.wait_procs(everybody, timeout=9.0)
    assert not alive
    assert not list(scratch.iterdir())


@pytest.mark.timeout(120)
def test_the_deadline_of_a_fit_counts(monkeypatch):
    seen = []
    run = LocalEngine.aggregate

    def aggregate(engine, function, payloads, combine):
        seen.extend(payload.deadline for payload in payloads)
        return run(engine, function, payloads, combine)

    monkeypatch.setattr(LocalEngine, "aggregate", aggregate)
    model = dsgd.SGDClassifier(mode=dsgd.Sync(topology="engine"), n_workers=2, deadline=7.0)
    model.fit([[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1])
    assert set(seen) == {7.0}
