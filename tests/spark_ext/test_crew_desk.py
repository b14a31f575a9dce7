"""A crew's conversation with the driver, without Spark: who counts, what is answered, and what is not."""

import threading
import time
from types import SimpleNamespace

import pytest
import zmq

from dsgd.errors import ConfigError, WorkerLost
from dsgd.train import crew as crews

pytest.importorskip("pyspark")

from spark_ext.cluster import allocation, line, muster
from spark_ext.cluster.crew import Crew
from spark_ext.cluster.desk import Desk
from spark_ext.cluster.line import Line, read_request
from spark_ext.cluster.listening import Listening
from spark_ext.cluster.presence import Presence, Start
from spark_ext.cluster.reports import Mailbox

from .test_slots import Growing


def start(member, job=1, task=0, machine="m", directory="/a"):
    return Start(member, job, task, stage=0, machine=machine, directory=directory)


def admitted(presence, member, attempt, **place):
    """A start of a member's that has been let in."""
    one = start(member, **place)
    presence.ask(one)
    presence.admit(one, attempt, "host")
    return one


def test_a_start_is_let_in_once_and_may_ask_again():
    presence = Presence()
    presence.expect(0, 1)
    one = start(0)
    assert presence.ask(one) == {"state": "wait"}
    assert presence.waiting() == [one]
    presence.admit(one, 4, "10.0.0.1")
    assert presence.waiting() == []
    told = {"state": "go", "attempt": 4, "host": "10.0.0.1", "directory": "/a"}
    assert presence.ask(start(0)) == told, "the answer was lost on its way, say"


def test_starts_of_an_earlier_job_are_turned_away_and_count_no_more():
    presence = Presence()
    presence.expect(0, 1)
    admitted(presence, 0, 0)
    assert presence.stands(0, 0)
    presence.expect(0, 2)
    assert not presence.stands(0, 0), "from the moment when its job is given up"
    assert presence.ask(start(0, job=1, task=9)) == {"state": "gone"}
    assert presence.leave(0, 0) == {"stands": False, "last": False}


def test_the_twin_that_is_let_in_takes_the_place_of_the_first():
    presence = Presence()
    presence.expect(0, 1)
    first = admitted(presence, 0, 0, task=5)
    second = start(0, task=6)
    assert presence.ask(second) == {"state": "wait"}
    assert presence.stands(0, 0), "until it is let in"
    presence.admit(second, 1, "host")
    assert (presence.stands(0, 0), presence.stands(0, 1)) == (False, True)
    assert presence.ask(first) == {"state": "gone"}
    assert presence.leave(0, 0)["stands"] is False


def test_of_several_starts_that_wait_the_latest_is_looked_at():
    presence = Presence()
    presence.expect(0, 1)
    for task in (3, 11, 7):
        presence.ask(start(0, task=task))
    assert [one.task for one in presence.waiting()] == [11]


def test_nobody_is_let_in_when_the_crew_is_over():
    presence = Presence()
    presence.expect(0, 1)
    presence.over = True
    assert presence.ask(start(0)) == {"state": "gone"}


def test_the_last_one_of_a_machine_tidies_up():
    presence = Presence()
    for member, machine in enumerate("aab"):
        presence.expect(member, 1)
        one = admitted(presence, member, 0, machine=machine, directory=f"/{member}")
        assert presence.ask(one)["directory"] == {"a": "/0", "b": "/2"}[machine], "the first one's way"
    assert presence.leave(2, 0)["last"]
    assert not presence.leave(0, 0)["last"]
    assert presence.littered()
    assert presence.leave(1, 0)["last"]
    assert not presence.littered()


def test_a_machine_whose_last_member_has_died_is_left_to_the_driver():
    presence = Presence()
    presence.expect(0, 1)
    admitted(presence, 0, 0, machine="a")
    presence.expect(0, 2)
    admitted(presence, 0, 1, job=2, machine="b")
    assert presence.leave(0, 1)["last"]
    assert presence.littered()


LOCAL = Growing(2, **{"driver.host": "127.0.0.1", "driver.bindAddress": "127.0.0.1"})


@pytest.fixture(params=[True, False])
def crew(request):
    """A desk, members 0 and 1 who have come in, and a way to their lines."""
    presence = Presence()
    desk = Desk(LOCAL, Listening(encrypt=request.param), presence, lambda: None)
    lines = []

    def connect(mailbox=None, patience=10.0):
        lines.append(Line(mailbox or desk.mailbox, 0, patience))
        return lines[-1]

    for member in (0, 1):
        presence.expect(member, 1)
        admitted(presence, member, 0)
    yield presence, desk, connect
    for one in lines:
        one.close()
    desk.close()


def header(verb, member=0, attempt=0, **more):
    return {"verb": verb, "member": member, "attempt": attempt, **more}


def test_the_board_is_one_for_all(crew):
    _, _, connect = crew
    mine, other = connect(), connect()
    assert other.ask(header(line.READ, 1, name="x"))[0]["found"] is False
    mine.ask(header(line.POST, name="x"), b"one")
    mine.ask(header(line.POST, name="x"), bytes(range(256)) * 256)
    assert other.ask(header(line.READ, 1, name="x")) == (
        {"stands": True, "over": False, "found": True},
        bytes(range(256)) * 256,
    )


def test_who_has_been_replaced_neither_writes_nor_reads_nor_reports(crew):
    presence, desk, connect = crew
    late = connect()
    late.ask(header(line.POST, name="x"), b"kept")
    presence.expect(0, 2)
    admitted(presence, 0, 1, job=2)
    assert late.ask(header(line.POST, name="x"), b"late") == ({"stands": False, "over": False}, b"")
    assert late.ask(header(line.READ, name="x")) == ({"stands": False, "over": False}, b"")
    late.tell(header(line.REPORT), b"{}")
    late.tell(header(line.REPORT, attempt=1), b'{"mine": 1}')
    assert late.ask(header(line.READ, attempt=1, name="x"))[1] == b"kept"
    assert desk.reports.get(timeout=10.0) == {"mine": 1}
    assert desk.reports.empty()


def test_reports_have_come_before_the_leave_is_answered(crew):
    _, desk, connect = crew
    mine = connect()
    for step in range(500):
        mine.tell(header(line.REPORT), b'{"step": %d}' % step)
    assert mine.ask(header(line.LEAVE))[0]["stands"]
    assert [desk.reports.get_nowait()["step"] for _ in range(500)] == list(range(500))


def test_signs_of_life_tell_the_end(crew):
    presence, _, connect = crew
    mine = connect()
    assert mine.ask(header(line.BEAT))[0] == {"stands": True, "over": False}
    presence.over = True
    assert mine.ask(header(line.BEAT))[0] == {"stands": True, "over": True}


@pytest.mark.parametrize(
    "frames", [[], [b"12345678"], [b"1234", b"{}", b""], [b"12345678", b"[]", b""], [b"12345678", b"\xff", b""]]
)
def test_what_is_no_request_is_refused(frames):
    with pytest.raises(ValueError, match=r"expected|verb|not JSON|not a JSON object"):
        read_request(frames)


def test_a_request_that_makes_no_sense_is_dropped_and_the_next_is_answered(crew, caplog):
    _, _, connect = crew
    mine = connect()
    for nonsense in (
        {"verb": "dance", "member": 0, "attempt": 0},
        {"verb": line.READ},
        {"verb": line.START, "start": {}},
    ):
        mine.tell(nonsense, b"")
    mine.tell(header(line.REPORT), b"no json")
    assert mine.ask(header(line.BEAT))[0]["stands"]
    assert caplog.text.count("a request of a crew's member was dropped") == 4


def test_what_is_not_answered_is_asked_again(crew, monkeypatch):
    _, desk, connect = crew
    monkeypatch.setattr(line, "_AGAIN", 0.2)
    deaf = iter([True, True])
    answer = desk._answer
    monkeypatch.setattr(desk, "_answer", lambda *request: None if next(deaf, False) else answer(*request))
    mine = connect()
    mine.ask(header(line.POST, name="x"), b"word")
    assert mine.ask(header(line.READ, name="x"))[1] == b"word"


def test_threads_may_share_a_line(crew):
    _, _, connect = crew
    mine, wrong = connect(), []

    def body(name):
        for count in range(50):
            word = f"{name}-{count}".encode()
            mine.ask(header(line.POST, name=name), word)
            if mine.ask(header(line.READ, name=name))[1] != word:
                wrong.append(word)

    threads = [threading.Thread(target=body, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60.0)
    assert wrong == []
    assert mine.ask(header(line.READ, name="b"))[1] == b"b-49"


def test_strangers_are_not_answered(crew):
    _, desk, connect = crew
    stranger = Desk(LOCAL, Listening(desk.mailbox.security.encrypt), Presence(), lambda: None)
    try:
        other = connect(Mailbox(desk.mailbox.address, stranger.mailbox.security), patience=0.5)
        with pytest.raises(WorkerLost, match="no answer"):
            other.ask(header(line.BEAT))
    finally:
        stranger.close()


def test_a_driver_that_is_not_there_is_named_with_what_to_set(crew):
    _, desk, connect = crew
    nowhere = connect(Mailbox("tcp://127.0.0.1:1", desk.mailbox.security), patience=0.3)
    with pytest.raises(WorkerLost, match=r"127\.0\.0\.1:1 for 0\.3 s.*spark\.driver\.host.*bindAddress.*portRange"):
        nowhere.ask(header(line.BEAT))


def test_a_line_that_is_closed_lets_go_of_who_asks(crew):
    _, desk, connect = crew
    nowhere, ends = connect(Mailbox("tcp://127.0.0.1:1", desk.mailbox.security), patience=60.0), []

    def body():
        try:
            nowhere.ask(header(line.BEAT))
        except WorkerLost as error:
            ends.append(str(error))

    thread = threading.Thread(target=body)
    thread.start()
    time.sleep(0.2)
    nowhere.close()
    thread.join(30.0)
    assert ends == ["rank 0 has closed its line to the driver"]


def test_a_desk_that_cannot_listen_says_so():
    away = Growing(2, **{"driver.host": "192.0.2.77", "driver.bindAddress": "192.0.2.77"})
    with pytest.raises(ConfigError, match=r"cannot listen at 192\.0\.2\.77"):
        Desk(away, Listening(), Presence(), lambda: None)


def test_nothing_is_left_of_a_desk():
    desk = Desk(LOCAL, Listening(), Presence(), lambda: None)
    address = desk.mailbox.address
    desk.close()
    assert "dsgd-desk" not in {thread.name for thread in threading.enumerate()}
    with zmq.Context() as context, context.socket(zmq.ROUTER) as again:
        again.bind(address)


def test_connect_is_refused_with_what_works():
    with pytest.raises(ConfigError, match=r"cannot reach a Spark Connect client; use mode=Sync\(\)"):
        muster.require_classic(LOCAL)


def test_a_crew_without_slots_is_told_how_many_there_are(monkeypatch):
    monkeypatch.setattr("spark_ext.cluster.slots._MOST", 0)
    allocation.require_crew(Growing(3), 1, 2)
    with pytest.raises(ConfigError, match=r"1 parameter shards and 3 workers need 4 slots.*runs 3 tasks.*at least 2"):
        allocation.require_crew(Growing(3), 1, 3)
    with pytest.raises(ConfigError, match="no executor of the application has registered"):
        allocation.require_crew(Growing(0), 1, 1)


def test_executors_that_come_with_the_tasks_are_not_waited_for_and_only_what_may_come_counts():
    dynamic = {"dynamicAllocation.enabled": "true", "executor.cores": "2"}
    allocation.require_crew(Growing(0, **dynamic), 2, 100)
    allocation.require_crew(Growing(0, **dynamic, **{"dynamicAllocation.maxExecutors": "2"}), 2, 2)
    with pytest.raises(ConfigError, match=r"2 parameter shards and 3 workers need 5 slots.*runs 4 tasks"):
        allocation.require_crew(Growing(0, **dynamic, **{"dynamicAllocation.maxExecutors": "2"}), 2, 3)


class Session:
    """Spark, as far as it says how many tasks of a job run, and where."""

    running_now = 1

    def running(self, tag):
        return self.running_now

    def host(self, stage, task):
        return f"host-{task}"

    def setting(self, key, default):
        return default


@pytest.fixture
def began():
    """A crew of one whose member has come in, from task 5."""
    session, presence, roll = Session(), Presence(), crews.Roll(1, restarts=1)
    member = SimpleNamespace(rank=0, title="worker 1 of 1", job=SimpleNamespace(tag="t"), bring=lambda: None)
    crew = Crew(session, [member], roll, None, presence, threading.Event())
    presence.expect(0, 1)
    presence.ask(start(0, task=5))
    crew._let_in()
    assert presence.stands(0, 0)
    return crew, session, presence, roll


def again(presence, task, age=10.0):
    """Another start of the same job, which has waited for so long."""
    late = start(0, task=task)
    late.asked -= age
    presence.ask(late)
    return late


def test_a_task_that_spark_runs_again_is_the_next_attempt(began):
    crew, _, presence, roll = began
    late = again(presence, 6)
    crew._let_in()
    assert (late.attempt, late.host) == (1, "host-6")
    assert roll.attempts == [1]
    assert not presence.stands(0, 0)
    again(presence, 7)
    with pytest.raises(WorkerLost, match="restarts=1"):
        crew._let_in()


def test_a_twin_waits_for_as_long_as_the_first_shows_signs_of_life(began):
    crew, session, presence, roll = began
    session.running_now = 2
    twin = again(presence, 6)
    crew._let_in()
    assert presence.stands(0, 0)
    assert presence.ask(twin) == {"state": "wait"}
    presence.current(0).heard -= 60.0
    twin.asked -= 60.0
    crew._let_in()
    assert twin.attempt == 1
    assert roll.attempts == [1]


def test_a_new_start_is_not_judged_before_sparks_records_can_be_true(began):
    crew, _, presence, _ = began
    hasty = again(presence, 6, age=0.0)
    crew._let_in()
    assert hasty.attempt is None


def test_a_result_that_spark_has_lost_is_made_again_by_the_next_attempt(began):
    crew, session, presence, _ = began
    session.running_now = 2
    presence.leave(0, 0)
    late = again(presence, 6, age=0.0)
    crew._let_in()
    assert late.attempt == 1


def test_a_start_that_finds_no_rows_where_one_was_in_before_counts_as_its_death(began, monkeypatch):
    crew, _, presence, roll = began
    monkeypatch.setattr(crew, "_submit", lambda member: presence.expect(0, 2))
    crew._bring(crew._members[0])
    assert roll.attempts == [1]
    crew._bring(crew._members[0])
    assert roll.attempts == [1], "nobody was in since"
