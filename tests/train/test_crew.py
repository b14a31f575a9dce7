"""The roll of a crew, and what is the local engine's own: processes that go with their driver, threads, the board's end."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest

from dsgd.errors import ConfigError, DataError, WorkerLost
from dsgd.train import place
from dsgd.train.crew import MOST_BYTES, Roll
from dsgd.train.local import LocalEngine
from dsgd.train.local.board import LocalBoard
from dsgd.train.rank import LOST, Failure

SELF = "dsgd.train.selftest_crew:"


def crew(function, payloads, processes=None, threads=None, servers=1, **options):
    path = function if ":" in function else SELF + function
    return LocalEngine(processes=processes, threads=threads).crew(path, payloads, servers=servers, **options)


def gone(processes, seconds=30.0):
    limit = time.monotonic() + seconds
    while time.monotonic() < limit and any(psutil.pid_exists(process) for process in processes):
        time.sleep(0.05)
    return not any(psutil.pid_exists(process) for process in processes)


def test_the_end_of_an_earlier_attempt_counts_for_nothing():
    roll = Roll(2, restarts=3)
    assert roll.ended(0, 0, Failure(0, LOST, "rank 0 was killed"))
    assert not roll.ended(0, 0, Failure(0, LOST, "rank 0 was killed, says another"))
    assert not roll.ended(0, 0, b"late")
    assert roll.attempts == [1, 0]
    assert not roll.over
    assert not roll.ended(0, 1, b"done")
    assert roll.result == b"done"


def test_nobody_is_started_again_when_the_crew_is_over():
    roll = Roll(3, restarts=0)
    roll.ended(0, 0, b"done")
    assert not roll.ended(1, 0, Failure(1, LOST, "rank 1 was killed"))
    assert not roll.ended(2, 0, Failure(2, "WorkerLost", "rank 2 lost rank 1"))
    assert roll.out() == []


def test_a_cause_goes_before_the_word_of_a_lost_peer():
    roll = Roll(3, restarts=3)
    roll.ended(1, 0, Failure(1, "WorkerLost", "rank 1 lost rank 2"))
    roll.check()
    with pytest.raises(DataError, match="column 'x'"):
        roll.ended(2, 0, Failure(2, "DataError", "column 'x' is missing"))


def test_the_word_of_a_lost_peer_is_heard_when_the_lead_returns():
    roll = Roll(2, restarts=3)
    roll.ended(1, 0, Failure(1, "WorkerLost", "rank 1 lost rank 0"))
    with pytest.raises(WorkerLost, match="rank 1 lost rank 0"):
        roll.ended(0, 0, b"done")


def test_deaths_are_counted_all_together():
    roll = Roll(3, restarts=2)
    for rank in (1, 2):
        assert roll.ended(rank, 0, Failure(rank, LOST, f"rank {rank} was killed"))
    with pytest.raises(WorkerLost, match=r"rank 0 was killed; that was death number 3 .*restarts=2"):
        roll.ended(0, 0, Failure(0, LOST, "rank 0 was killed"))


def test_the_board_ends_with_the_crew():
    board = LocalBoard()
    board.post("word", b"x" * MOST_BYTES)
    with pytest.raises(ConfigError, match="send large values over the members' own sockets"):
        board.post("word", b"x" * (MOST_BYTES + 1))
    board.close()
    with pytest.raises(WorkerLost, match="the board is gone"):
        board.read("word")


def test_a_single_member_runs_in_the_calling_thread():
    found = crew("dsgd.train.selftest:identify", [None])
    assert json.loads(found)[1:] == [threading.get_ident(), os.getpid()]


def test_threads_are_given_the_payload_itself_and_processes_are_the_default():
    payload = bytearray(b"one")
    found = json.loads(crew("dsgd.train.selftest:identify", [payload, None], processes=False))
    assert (found[0], found[2]) == (id(payload), os.getpid())
    assert json.loads(crew("dsgd.train.selftest:identify", [None] * 2))[2] != os.getpid()


def test_the_cores_are_shared_out_among_those_that_are_no_servers():
    found = json.loads(crew("meet", [(0, 0, 0)] * 3, processes=False, servers=2))
    assert {record["threads"] for record in found} == {place.cores()}
    found = json.loads(crew("meet", [(0, 0)] * 2, processes=False, servers=0, threads=3))
    assert {record["threads"] for record in found} == {3}


def test_processes_of_an_interrupted_crew_are_gone():
    processes = set()

    def interrupt(record):
        processes.add(record["process"])
        if len(processes) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        crew("report_for_ever", [None] * 2, processes=True, on_report=interrupt)
    assert gone(processes)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_members_do_not_outlive_their_driver(tmp_path, number):
    script = tmp_path / "script.py"
    script.write_text(
        "import tempfile\n"
        f"tempfile.tempdir = {str(tmp_path)!r}\n"
        "from dsgd.train.local import LocalEngine\n"
        f"LocalEngine().crew('{SELF}report_for_ever', [None] * 2, servers=1,"
        " on_report=lambda record: print(record['process'], flush=True))\n"
    )
    driver = subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path
    )
    processes = set()
    while len(processes) < 2:
        line = driver.stdout.readline()
        assert line, driver.communicate(timeout=60)[1]
        processes.add(int(line))
    driver.send_signal(number)
    driver.communicate(timeout=60)
    assert gone(processes)
    assert not list(tmp_path.glob("dsgd-*"))


def test_a_process_that_cannot_be_started_again_is_lost(monkeypatch):
    from dsgd.train.local import crew_processes

    class Once(crew_processes.Child):
        started = 0

        def __init__(self, *arguments):
            type(self).started += 1
            if self.started > 2:
                raise OSError("no more processes")
            super().__init__(*arguments)

    monkeypatch.setattr(crew_processes, "Child", Once)
    with pytest.raises(WorkerLost, match="the process of rank 1 cannot be started: no more processes"):
        crew("meet", [(0, 1)] * 2, processes=True)
