"""Names of fits whose directories are to be removed: none is forgotten before tasks have got there."""

import pytest

pytest.importorskip("pyspark")

from spark_ext.cluster.litter import Litter


class Session:
    """A session whose executors are busy, until they are not."""

    def __init__(self):
        self.busy, self.swept = True, []

    def key(self):
        return str(id(self))

    def slots(self):
        if self.busy:
            raise RuntimeError("no slots")
        return 2


@pytest.fixture
def session(monkeypatch):
    found = Session()

    def remove(self, names, title):
        if not found.busy:
            found.swept.append(list(names))
        return not found.busy

    monkeypatch.setattr(Litter, "remove", remove)
    return found


def test_nothing_is_forgotten_where_no_task_ran(session):
    litter = Litter(session)
    litter.suspect("a", "a")
    litter.sweep(["b"], "fit")
    session.busy = False
    Litter(session).sweep([], "next")
    assert session.swept == [["b", "a"]]


def test_suspects_are_removed_twice_and_no_more(session):
    session.busy = False
    litter = Litter(session)
    litter.suspect("a")
    for _ in range(3):
        litter.sweep([], "fit")
    assert session.swept == [["a"], ["a"]]


def test_a_session_that_has_gone_is_no_error():
    session = Session()
    litter = Litter(session)
    litter.suspect("a")
    session.key = None
    litter.sweep([], "fit")
