"""One suite that every engine passes; an engine declares what it cannot do, with the reason.

The functions that the ranks run are those of ``dsgd.train.selftest``: a worker can import them.
"""

import json
import os
import random
import struct
import threading
from abc import ABC, abstractmethod
from contextlib import contextmanager

import pytest

from dsgd.errors import ConfigError, DataError, WorkerLost
from dsgd.train import selftest, tree
from dsgd.train.local import LocalEngine

SELF = "dsgd.train.selftest:"
MEGABYTE = 1 << 20


class Suite(ABC):
    """The contract, with two ranks."""

    # What an engine cannot do, and why.
    no_kill: str | None = None
    no_reports: str | None = None
    no_leaf_retry: str | None = None
    too_many = 1000
    # Whether two gangs of all slots run one after the other.
    takes_turns = False

    @pytest.fixture
    @abstractmethod
    def engine(self):
        """The engine under test."""

    def launch(self, engine, function, payloads, on_report=lambda record: None):
        return engine.launch(SELF + function, payloads, deadline=120.0, on_report=on_report)

    def test_a_rank_knows_its_place(self, engine):
        found = selftest.check(engine, 2, deadline=120.0)
        assert [record["rank"] for record in found] == [0, 1]
        for record in found:
            assert record["size"] == 2
            assert record["met"] == [0, 1]
            assert record["threads"] >= 1
            assert record["blas"] <= max(1, record["threads"])
            assert record["host"]
        assert found[0]["machine"] == found[1]["machine"]
        assert engine.slots() >= 1

    def test_payloads_of_any_length_are_gathered_in_rank_order(self, engine):
        parts = [b"", bytes(range(256)) * 300]
        assert self.launch(engine, "gather", parts) == [b"".join(parts)] * 2

    def test_ranks_may_meet_twice(self, engine):
        found = [json.loads(result) for result in self.launch(engine, "share", [None] * 2)]
        assert all(record["found"] for record in found)

    def test_large_results_and_payloads_pass(self, engine):
        pattern = random.Random(3).randbytes(3 * MEGABYTE + 1)
        found = self.launch(engine, "blob", [(40 * MEGABYTE, pattern), (0, b"")])
        filled = (b"\0" + pattern * 14)[: 40 * MEGABYTE]
        assert found[0] == filled
        assert found[1] == b""

    @pytest.mark.parametrize(("end", "error"), [("config", ConfigError), ("data", DataError)])
    def test_our_own_error_arrives_as_itself(self, engine, end, error):
        with pytest.raises(error, match="rank 1 was told to refuse") as caught:
            self.launch(engine, "fail", ["wait", end])
        assert type(caught.value) is error

    @pytest.mark.parametrize(("end", "what"), [("error", "ZeroDivisionError"), ("exit", "SystemExit: 3")])
    def test_any_other_error_arrives_with_its_traceback(self, engine, end, what):
        with pytest.raises(WorkerLost, match=what) as caught:
            self.launch(engine, "fail", ["wait", end])
        assert "rank 1 failed" in str(caught.value)
        assert "Traceback" in str(caught.value)
        assert "selftest.py" in str(caught.value)

    @pytest.mark.timeout(180)
    def test_a_killed_rank_is_lost_and_the_engine_lives(self, engine):
        if self.no_kill:
            pytest.skip(self.no_kill)
        with pytest.raises(WorkerLost, match="rank 1") as caught:
            self.launch(engine, "fail", ["wait", "kill"])
        assert "rank 0" not in str(caught.value)
        self.recover(engine)
        assert self.launch(engine, "gather", [b"a", b"b"]) == [b"ab"] * 2

    def recover(self, engine):
        """Wait until what was killed is back, where that takes time."""
        assert engine.slots() >= 1

    def test_too_many_ranks_are_refused_before_any_work(self, engine, tmp_path):
        marks = [str(tmp_path / f"mark-{rank}") for rank in range(self.too_many)]
        with pytest.raises(ConfigError, match=str(self.too_many)):
            self.launch(engine, "crash_once", marks)
        assert not list(tmp_path.iterdir())

    def test_no_ranks_are_refused(self, engine):
        with pytest.raises(ConfigError, match="not 0"):
            self.launch(engine, "gather", [])

    @pytest.mark.parametrize("function", ["dsgd.train.selftest:nothing", "dsgd.nowhere:name", "gather"])
    def test_a_function_that_does_not_exist_is_refused(self, engine, function):
        with pytest.raises(ConfigError, match=function.split(":")[-1].split(".")[-1]):
            engine.launch(function, [b""], deadline=120.0, on_report=lambda record: None)

    def test_scratch_is_shared_and_removed(self, engine):
        found = [json.loads(result) for result in self.launch(engine, "share", [None] * 2)]
        assert found[0]["scratch"] == found[1]["scratch"]
        assert found[0]["here"] == 2
        assert not os.path.exists(found[0]["scratch"])

    def test_scratch_is_removed_after_a_failure(self, engine, tmp_path):
        note = tmp_path / "note"
        with pytest.raises(DataError, match="was told to fail"):
            self.launch(engine, "litter", [str(note)] * 2)
        assert note.read_text()
        assert not os.path.exists(note.read_text())

    def test_reports_arrive_in_order(self, engine):
        if self.no_reports:
            pytest.skip(self.no_reports)
        records = []
        self.launch(engine, "count", [20, 30], on_report=records.append)
        for rank, count in enumerate([20, 30]):
            assert [record["step"] for record in records if record["rank"] == rank] == list(range(count))

    def test_reports_are_handled_in_the_calling_thread(self, engine):
        if self.no_reports:
            pytest.skip(self.no_reports)
        threads = set()
        self.launch(engine, "count", [1, 1], on_report=lambda record: threads.add(threading.get_ident()))
        assert threads == {threading.get_ident()}

    def test_an_interrupt_ends_the_gang(self, engine, tmp_path):
        if self.no_reports:
            pytest.skip(f"{self.no_reports}; its interrupt is tested among the faults")

        def interrupt(record):
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            self.launch(engine, "count", [1, 1], on_report=interrupt)
        assert self.launch(engine, "gather", [b"a", b"b"]) == [b"ab"] * 2

    def test_two_gangs_at_once(self, engine):
        found, errors = {}, []

        def body(which):
            try:
                found[which] = [struct.unpack("<dd", r) for r in self.launch(engine, "linger", [0.3, 0.3])]
            except Exception as error:  # Shown by the assertion below.
                errors.append(error)

        threads = [threading.Thread(target=body, args=(which,)) for which in (0, 1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=150.0)
        assert not errors
        assert sorted(found) == [0, 1]
        if self.takes_turns:
            first, second = sorted(found.values())
            assert max(end for _, end in first) <= min(start for start, _ in second)

    @pytest.mark.parametrize(("count", "depth"), [(1, 2), (2, 1), (7, 2), (10, 3)])
    def test_an_aggregate_has_the_shape_of_the_tree(self, engine, count, depth):
        names = [chr(ord("a") + index) for index in range(count)]
        expected = tree.reduce([name.encode() for name in names], selftest.bracket, depth)
        assert engine.aggregate(SELF + "name", names, SELF + "bracket", depth=depth) == expected

    def test_an_aggregate_adds_floats_in_the_order_of_the_tree(self, engine):
        source = random.Random(5)
        numbers = [source.gauss(0.0, 1.0) * 10.0 ** source.randint(-8, 8) for _ in range(12)]
        packed = [struct.pack("<d", number) for number in numbers]
        expected = tree.reduce(packed, selftest.add, 2)
        payloads = [(numbers, index) for index in range(len(numbers))]
        assert engine.aggregate(SELF + "number", payloads, SELF + "add", depth=2) == expected

    def test_what_payloads_share_may_be_large(self, engine):
        shared = random.Random(7).randbytes(8 * MEGABYTE)
        found = engine.aggregate(SELF + "blob", [(8, shared), (9 * MEGABYTE, shared), (8, shared)], SELF + "bracket")
        leaves = [b"\0" + shared[:7], (b"\1" + shared * 2)[: 9 * MEGABYTE], b"\2" + shared[:7]]
        assert found == tree.reduce(leaves, selftest.bracket, 2)

    def test_an_error_in_an_aggregate_arrives_as_itself(self, engine):
        with pytest.raises(DataError, match="rank 3 was told to refuse"):
            engine.aggregate(SELF + "fail", ["fine", "fine", "fine", "data", "fine"], SELF + "bracket")

    def test_an_error_in_a_fold_arrives_with_its_traceback(self, engine):
        with pytest.raises(WorkerLost, match="a fold failed with error: unpack"):
            engine.aggregate(SELF + "name", ["abc", "d", "e"], SELF + "add")

    @pytest.mark.parametrize(("payloads", "depth"), [([], 2), (["a"], 0)])
    def test_an_impossible_aggregate_is_refused(self, engine, payloads, depth):
        with pytest.raises(ConfigError, match="at least"):
            engine.aggregate(SELF + "name", payloads, SELF + "bracket", depth=depth)

    def test_the_tasks_of_an_aggregate_cannot_meet(self, engine):
        with pytest.raises(ConfigError, match="needs a gang"):
            engine.aggregate(SELF + "gather", [b"a"], SELF + "bracket")

    def test_an_aggregate_keeps_its_scratch_until_the_engine_is_closed(self, engine):
        with self.another() as other:
            seen = [other.aggregate(SELF + "remember", ["mark"], SELF + "bracket").decode() for _ in range(8)]
            paths = {text.split()[1] for text in seen}
            # Eight rounds on at most two workers: one of them sees its own file again.
            assert max(int(text.split()[0]) for text in seen) >= 4
            assert all(os.path.exists(path) for path in paths)
        assert not any(os.path.exists(path) for path in paths)

    @contextmanager
    def another(self):
        """An engine of its own on the same cluster, closed at the end."""
        with self.make() as engine:
            yield engine

    @abstractmethod
    def make(self):
        """A new engine on the same cluster."""

    @pytest.mark.timeout(180)
    def test_a_leaf_that_dies_runs_again(self, engine, tmp_path):
        if self.no_leaf_retry:
            pytest.skip(self.no_leaf_retry)
        mark = str(tmp_path / "leaf")
        assert engine.aggregate(SELF + "crash_once", [mark], SELF + "bracket") == b"leaf"
        self.recover(engine)

    def test_closing_twice_is_harmless(self, engine):
        with self.make() as other:
            other.close()


class TestThreads(Suite):
    no_kill = no_leaf_retry = "a thread cannot be killed without its process"

    @pytest.fixture
    def engine(self):
        with self.make() as engine:
            yield engine

    def make(self):
        return LocalEngine(processes=False)


class TestProcesses(Suite):
    @pytest.fixture
    def engine(self):
        with self.make() as engine:
            yield engine

    def make(self):
        return LocalEngine(processes=True)


class TestDask(Suite):
    takes_turns = True

    @pytest.fixture
    def engine(self, dask_client):
        from dask_ext.engine import DaskEngine

        self.client = dask_client
        with DaskEngine(dask_client) as engine:
            yield engine

    def make(self):
        from dask_ext.engine import DaskEngine

        return DaskEngine(self.client)

    def recover(self, engine):
        self.client.wait_for_workers(2, timeout=60)


class TestSpark(Suite):
    takes_turns = True
    no_leaf_retry = "in local[n] Spark gives a task one attempt; a cluster is tested among the faults"

    @pytest.fixture
    def engine(self, spark):
        from spark_ext.cluster.engine import SparkEngine

        self.session = spark
        with SparkEngine(spark) as engine:
            yield engine

    def make(self):
        from spark_ext.cluster.engine import SparkEngine

        return SparkEngine(self.session)
