"""A cluster that is not there is told in a line, in seconds, with what to do."""

import socket

import pytest

from dsgd import ConfigError
from pipelines import sessions


@pytest.fixture
def closed_port():
    """A port of this machine on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def open_and_close(session):
    with session:
        pass


def test_no_dask_scheduler(closed_port, monkeypatch):
    monkeypatch.setattr(sessions, "CONNECT_SECONDS", 1)
    with pytest.raises(ConfigError, match=r"no Dask scheduler answers.*dask scheduler"):
        open_and_close(sessions.dask_client(f"tcp://127.0.0.1:{closed_port}"))


@pytest.mark.parametrize("scheme", ["spark", "sc"])
def test_no_spark_master(scheme, closed_port, monkeypatch):
    monkeypatch.setattr(sessions, "java_problem", lambda: None)
    with pytest.raises(ConfigError, match="nothing listens at"):
        sessions.check_can_start(f"{scheme}://127.0.0.1:{closed_port}")


def test_a_port_that_is_no_number(monkeypatch):
    monkeypatch.setattr(sessions, "java_problem", lambda: None)
    with pytest.raises(ConfigError, match="host:7077"):
        sessions.check_can_start("spark://host:port")


def test_no_java(monkeypatch):
    monkeypatch.setattr(sessions, "java_problem", lambda: "Spark needs Java 17: ...")
    with pytest.raises(ConfigError, match="Java 17"):
        sessions.check_can_start(None)


def test_what_children_print_goes_to_the_file(tmp_path, capfd):
    with sessions.stderr_to(tmp_path / "log"):
        sessions.os.write(2, b"from the child\n")
    sessions.os.write(2, b"from us\n")
    assert (tmp_path / "log").read_bytes() == b"from the child\n"
    assert capfd.readouterr().err == "from us\n"


def test_the_end_of_a_java_log_without_its_stack(tmp_path):
    log = tmp_path / "log"
    log.write_text("INFO start\nException: no such master\n\tat org.apache.Spark\n\tat main\n")
    assert sessions.last_lines(log) == "INFO start / Exception: no such master"
    assert sessions.last_lines(tmp_path / "none") == "it printed nothing"
