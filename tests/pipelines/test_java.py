"""A missing or old Java is told in one line."""

import stat
import subprocess
import sys

import pytest

from pipelines.java import java_problem

LINE = "Spark needs Java 17: apt-get install openjdk-17-jre-headless"


@pytest.fixture
def java(tmp_path, monkeypatch):
    """Install a pretended Java that answers as told."""

    def install(answer: str, status: int = 0):
        program = tmp_path / "bin" / "java"
        program.parent.mkdir()
        program.write_text(f"#!/bin/sh\necho '{answer}' >&2\nexit {status}\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("JAVA_HOME", str(tmp_path))

    return install


def test_a_new_java_is_no_problem(java):
    java('openjdk version "21.0.2" 2024-01-16')
    assert java_problem() is None


@pytest.mark.parametrize(("answer", "status"), [('openjdk version "11.0.2"', 0), ("boom", 1), ("no number", 0)])
def test_other_javas_are_named_with_the_package(java, answer, status):
    java(answer, status)
    assert java_problem().startswith(LINE)


def test_no_java_at_all(tmp_path, monkeypatch):
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "nowhere"))
    assert java_problem().startswith(LINE)
    done = subprocess.run([sys.executable, "-m", "pipelines.java"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith(LINE)
