"""One suite that every engine's crews pass; an engine declares what it cannot do, with the reason.

The functions that the members run are those of ``dsgd.train.selftest_crew``: a worker can import them.
"""

import json
import logging
import os
import random
import threading
import time
from abc import ABC, abstractmethod

import psutil
import pytest

from dsgd.errors import ConfigError, DataError, WorkerLost
from dsgd.train.local import LocalEngine

SELF = "dsgd.train.selftest_crew:"
ENDS = "dsgd.train.selftest:fail"
MEGABYTE = 1 << 20
KILOBYTE = 1 << 10


class CrewSuite(ABC):
    """The contract, with one server, which leads, and the others beside it."""

    # How many members there are, the server included: an engine of two slots that gives servers a slot has room for two.
    members = 3
    # What an engine cannot do, and why.
    no_kill: str | None = None
    no_reports: str | None = None
    # Whether a member that does not listen can be stopped; if not, it is left behind, and the log says so.
    stops = True
    too_many = 1000

    @pytest.fixture
    @abstractmethod
    def engine(self):
        """The engine under test."""

    def crew(self, engine, function, payload, on_report=lambda record: None, **options):
        """Run a crew whose members all have the same payload."""
        path = function if ":" in function else SELF + function
        payloads = payload if isinstance(payload, list) else [payload] * self.members
        options = {"servers": 1, "deadline": 120.0, "on_report": on_report} | options
        return engine.crew(path, payloads, **options)

    def meet(self, engine, deaths=(), **options):
        """Let the members meet after so many deaths of each; return what they said of themselves."""
        told = tuple(deaths) or (0,) * self.members
        return json.loads(self.crew(engine, "meet", [told] * self.members, **options))

    def ends(self, *last):
        """Payloads of ``dsgd.train.selftest:fail``: the last members end as told, the others wait."""
        return ["wait"] * (self.members - len(last)) + list(last)

    def recover(self, engine):
        """Wait until what was killed is back, where that takes time."""
        assert engine.slots() >= 1

    def test_members_know_their_places_and_meet_on_the_board(self, engine):
        found = self.meet(engine)
        assert [record["rank"] for record in found] == list(range(self.members))
        for record in found:
            assert record["size"] == self.members
            assert record["attempt"] == 0
            assert record["threads"] >= 1
            assert record["host"]
        assert len({record["machine"] for record in found}) == 1

    def test_all_members_may_be_servers(self, engine):
        found = json.loads(self.crew(engine, "meet", [(0, 0)] * 2, servers=2))
        assert [record["rank"] for record in found] == [0, 1]

    def test_a_crew_of_one_without_a_server(self, engine):
        (found,) = json.loads(self.crew(engine, "meet", [(0,)], servers=0))
        assert found["size"] == 1

    def test_the_first_members_bytes_come_back_of_any_length(self, engine):
        pattern = random.Random(3).randbytes(3 * MEGABYTE + 1)
        payloads = [(40 * MEGABYTE, pattern)] + [(0, b"")] * (self.members - 1)
        found = self.crew(engine, "dsgd.train.selftest:blob", payloads)
        assert found == (b"\0" + pattern * 14)[: 40 * MEGABYTE]

    def test_the_board_shows_the_latest_value(self, engine):
        found = json.loads(self.crew(engine, "write", [64 * KILOBYTE]))
        assert found == [True, "late", 64 * KILOBYTE]

    def test_what_is_too_large_for_the_board_is_refused(self, engine):
        with pytest.raises(ConfigError, match=f"{64 * KILOBYTE + 1}"):
            self.crew(engine, "write", [64 * KILOBYTE + 1])

    def test_members_of_one_machine_share_a_directory_which_is_removed(self, engine):
        found = json.loads(self.crew(engine, "share", None))
        assert found["here"] == found["found"] == self.members
        assert not os.path.exists(found["scratch"])

    def test_the_directory_is_removed_after_a_failure(self, engine, tmp_path):
        note = tmp_path / "note"
        with pytest.raises(WorkerLost, match="ZeroDivisionError"):
            self.crew(engine, "litter", str(note))
        assert note.read_text()
        assert gone(lambda: not os.path.exists(note.read_text()))

    @pytest.mark.timeout(180)
    @pytest.mark.parametrize("which", [0, -1])
    def test_a_killed_member_is_started_again_while_the_others_go_on(self, engine, which):
        if self.no_kill:
            pytest.skip(self.no_kill)
        deaths = [0] * self.members
        deaths[which] = 1
        found = self.meet(engine, deaths)
        killed = found[which]
        assert killed["attempt"] >= 1
        assert killed["process"] != killed["first"]
        for record in found:
            # Those that shared its process went with it; the others have not noticed.
            if record["first"] != killed["first"]:
                assert record["process"] == record["first"]
                assert record["attempt"] == 0
        assert not os.path.exists(killed["scratch"])
        self.recover(engine)

    @pytest.mark.timeout(180)
    def test_a_death_too_many_ends_the_crew(self, engine):
        if self.no_kill:
            pytest.skip(self.no_kill)
        with pytest.raises(WorkerLost, match=r"rank \d.*restarts=0"):
            self.crew(engine, ENDS, self.ends("kill"), restarts=0)
        self.recover(engine)

    def test_our_own_error_ends_the_crew_as_itself(self, engine):
        with pytest.raises(DataError, match=f"rank {self.members - 1} was told to refuse") as caught:
            self.crew(engine, ENDS, self.ends("data"))
        assert type(caught.value) is DataError

    def test_any_other_error_arrives_with_its_traceback(self, engine):
        with pytest.raises(WorkerLost, match="ZeroDivisionError") as caught:
            self.crew(engine, ENDS, self.ends("error"))
        assert f"rank {self.members - 1} failed" in str(caught.value)
        assert "Traceback" in str(caught.value)
        assert "selftest.py" in str(caught.value)

    def test_the_leads_own_error_arrives(self, engine):
        with pytest.raises(ConfigError, match="rank 0 was told to refuse"):
            self.crew(engine, ENDS, ["config"] + ["wait"] * (self.members - 1))

    def test_members_that_have_done_their_part_are_not_missed(self, engine):
        """The others return at once; the lead reports for a while, and is not disturbed."""
        assert self.crew(engine, "dsgd.train.selftest:count_slowly", [1.0] + [0.0] * (self.members - 1)) == b""

    def test_members_hear_that_the_crew_is_over(self, engine, tmp_path):
        self.crew(engine, "wait_for_the_end", str(tmp_path))
        assert sorted(path.name for path in tmp_path.iterdir()) == [f"over-{rank}" for rank in range(1, self.members)]

    def test_a_member_that_does_not_listen_is_stopped_or_left_behind(self, engine, tmp_path, caplog):
        release = tmp_path / "release"
        try:
            with caplog.at_level(logging.WARNING):
                found = json.loads(self.crew(engine, "hear_nothing", str(release)))
            assert len(found) == self.members
            left = [record["process"] for record in found[1:]]
            if self.stops:
                assert gone(lambda: not any(psutil.pid_exists(process) for process in left))
            else:
                assert "left behind" in caplog.text
        finally:
            release.touch()
        assert len(self.meet(engine)) == self.members, "what was left behind leaves room when it ends"

    def test_reports_arrive_in_order_in_the_calling_thread(self, engine):
        if self.no_reports:
            pytest.skip(self.no_reports)
        records, threads = [], set()

        def on_report(record):
            records.append(record)
            threads.add(threading.get_ident())

        self.crew(engine, "count", 20, on_report=on_report)
        for rank in range(self.members):
            assert [record["step"] for record in records if record["rank"] == rank] == list(range(20))
        assert threads == {threading.get_ident()}

    def test_an_interrupt_ends_the_crew(self, engine):
        if self.no_reports:
            pytest.skip(self.no_reports)

        def interrupt(record):
            if record["rank"] == self.members - 1:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            self.crew(engine, "report_for_ever", None, on_report=interrupt)
        assert len(self.meet(engine)) == self.members

    def test_too_many_members_are_refused_before_any_work(self, engine, tmp_path):
        marks = [str(tmp_path / f"mark-{rank}") for rank in range(self.too_many)]
        with pytest.raises(ConfigError, match=f"{self.too_many}|{self.too_many - 1}"):
            self.crew(engine, "dsgd.train.selftest:crash_once", marks)
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize(
        ("payloads", "options", "said"),
        [
            ([], {"servers": 0}, "not 0"),
            ([(0,)], {"servers": 2}, "servers"),
            ([(0,)], {"servers": -1}, "servers"),
            ([(0,)], {"restarts": -1}, "restarts"),
        ],
    )
    def test_an_impossible_crew_is_refused(self, engine, payloads, options, said):
        with pytest.raises(ConfigError, match=said):
            self.crew(engine, "meet", payloads, **options)

    def test_a_function_that_does_not_exist_is_refused(self, engine):
        with pytest.raises(ConfigError, match="nothing"):
            self.crew(engine, "nothing", None)

    def test_the_members_of_a_crew_cannot_gather(self, engine):
        with pytest.raises(ConfigError, match="needs a gang"):
            self.crew(engine, "dsgd.train.selftest:gather", [b"a"])

    @pytest.mark.timeout(180)
    def test_two_crews_at_once(self, engine):
        found, errors = {}, []

        def body(which):
            try:
                found[which] = self.meet(engine)
            except Exception as error:  # Shown by the assertion below.
                errors.append(error)

        threads = [threading.Thread(target=body, args=(which,)) for which in (0, 1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=150.0)
        assert not errors
        assert sorted(found) == [0, 1]
        assert not {record["scratch"] for record in found[0]} & {record["scratch"] for record in found[1]}


def gone(condition, seconds=20.0):
    """Wait until a condition holds; return whether it came to that."""
    limit = time.monotonic() + seconds
    while not condition() and time.monotonic() < limit:
        time.sleep(0.05)
    return condition()


class TestThreads(CrewSuite):
    no_kill = "a thread cannot be killed without its process"
    stops = False

    @pytest.fixture
    def engine(self):
        with LocalEngine(processes=False) as engine:
            yield engine


class TestProcesses(CrewSuite):
    members = 2  # Each costs the time of an interpreter's start.

    @pytest.fixture
    def engine(self):
        with LocalEngine(processes=True) as engine:
            yield engine


class TestDask(CrewSuite):
    stops = False  # A task of Dask's is told to end, and ends when it listens.

    @pytest.fixture
    def engine(self, dask_client):
        from dask_ext.engine import DaskEngine

        self.client = dask_client
        with DaskEngine(dask_client) as engine:
            yield engine

    def recover(self, engine):
        self.client.wait_for_workers(2, timeout=60)


class TestSpark(CrewSuite):
    members = 2  # Servers take slots too, of which there are two.

    @pytest.fixture
    def engine(self, spark):
        from spark_ext.cluster.engine import SparkEngine

        with SparkEngine(spark) as engine:
            yield engine
