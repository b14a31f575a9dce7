"""How many tasks fit, asked of an application whose executors are still coming."""

import threading
import uuid

import pytest

from dsgd.errors import ConfigError, WorkerLost

pytest.importorskip("pyspark")

from spark_ext.cluster import session as sessions
from spark_ext.cluster import slots
from spark_ext.cluster.session import Session


class Growing:
    """An application that has another number of slots at every look, the last for ever."""

    def __init__(self, *counts, master="spark://host:7077", **settings):
        self._counts = list(counts)
        self._settings = {"spark.master": master, **{f"spark.{key}": value for key, value in settings.items()}}
        self._key = uuid.uuid4().hex

    def key(self):
        return self._key

    def setting(self, key, default):
        return self._settings.get(key, default)

    def slots(self):
        return self._counts.pop(0) if len(self._counts) > 1 else self._counts[0]


def test_executors_that_are_still_registering_are_waited_for():
    assert slots.settled(Growing(0, 0, 0, 2, 2, 4, 4, 4, 6), pause=0.0) == 6


def test_what_the_settings_promise_is_waited_for_longer():
    promise = {"executor.instances": "4", "executor.cores": "3", "task.cpus": "2"}
    assert slots.settled(Growing(*[2] * 30, 4), pause=0.0) == 2
    assert slots.settled(Growing(*[2] * 30, 4, **promise), pause=0.0) == 4
    assert slots.settled(Growing(*[2] * 30, 8, **{"cores.max": "8"}), pause=0.0) == 8
    assert slots.settled(Growing(2, **promise), pause=0.0) == 2, "a promise that is not kept is not waited for in vain"


def test_a_number_that_was_settled_is_not_waited_for_again():
    application = Growing(4)
    assert slots.settled(application, pause=0.0) == 4
    application._counts = [4, 99]
    assert slots.settled(application, pause=0.0) == 4
    application._counts = [2, 2, 4, 99]  # An executor was lost, and comes back.
    assert slots.settled(application, pause=0.0) == 4


@pytest.mark.parametrize("ask", [slots.settled, lambda session, pause: slots.require(session, 2, pause)])
def test_an_application_without_executors_says_so(ask):
    with pytest.raises(ConfigError, match="no executor of the application has registered"):
        ask(Growing(0), pause=0.0)


def test_slots_that_do_not_come_are_refused():
    slots.require(Growing(0, 1, 2), 2, pause=0.0)
    with pytest.raises(ConfigError, match="1 to 3 tasks at the same time, not 4"):
        slots.require(Growing(3), 4, pause=0.0)


def test_a_driver_that_is_its_own_executor_is_asked_once():
    assert slots.settled(Growing(2, 99, master="local[2]"), pause=0.0) == 2
    with pytest.raises(ConfigError, match="1 to 2 tasks"):
        slots.require(Growing(2, 99, master="local[2]"), 3, pause=0.0)


def test_a_job_whose_executors_have_all_gone_is_stopped(monkeypatch):
    stopped = threading.Event()

    class Deserted(Session):
        key = slots = started = None

        def __init__(self):
            super().__init__(None)

        def thread(self, body):
            return threading.Thread(target=body, daemon=True)

        def tagged(self, tag, frame, title):
            stopped.wait(60.0)

        def stop(self, tag):
            stopped.set()

        def deserted(self):
            return True

    monkeypatch.setattr(sessions, "_DESERTED", 0.3)
    with pytest.raises(WorkerLost, match=r"has had no executor for 0\.3 s"):
        Deserted().collect(None, sessions.Job("a job"))
    assert stopped.is_set()
