"""The command line as a shell runs it: quiet in a pipe, a bar on a terminal, one line and a status when it fails."""

import os
import pty
import select
import subprocess
import sys
import time

import pytest

DSGD = (sys.executable, "-m", "pipelines.cli")
SECONDS = 120


def fit_words(data, out):
    return [*DSGD, "fit", str(data), "--label", "left", "--numeric", "spend,age", "--categorical", "city",
            "--hash-bits", "8", "--standardize", "--epochs", "5", "--out", str(out)]  # fmt: skip


def on_a_terminal(words):
    """Run a command whose standard error is a terminal; returns its status and what the terminal got."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=theirs, env=os.environ | {"TERM": "xterm"})
    os.close(theirs)
    seen = b""
    deadline = time.monotonic() + SECONDS
    try:
        while time.monotonic() < deadline:
            if select.select([ours], [], [], 0.2)[0]:
                try:
                    seen += os.read(ours, 4096)
                except OSError:  # the terminal's other end is closed
                    break
            elif process.poll() is not None:
                break
        return process.wait(timeout=10), seen.decode(errors="replace")
    finally:
        process.kill()
        os.close(ours)


def test_quiet_in_a_pipe(data, tmp_path):
    done = subprocess.run(fit_words(data, tmp_path / "m"), capture_output=True, timeout=SECONDS)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_a_bar_on_a_terminal(data, tmp_path):
    status, seen = on_a_terminal(fit_words(data, tmp_path / "m"))
    assert status == 0, seen
    assert "epoch" in seen
    assert "objective" in seen


@pytest.mark.parametrize("debug", [False, True])
def test_a_mistake(debug, tmp_path):
    words = [*DSGD, "inspect", str(tmp_path / "none"), *(["--debug"] if debug else [])]
    done = subprocess.run(words, capture_output=True, text=True, timeout=SECONDS)
    assert done.stdout == ""
    if debug:
        assert done.returncode != 0
        assert "Traceback" in done.stderr
    else:
        assert done.returncode == 2
        assert done.stderr.startswith("dsgd: ")
        assert done.stderr.count("\n") == 1


def test_the_version():
    done = subprocess.run([*DSGD, "--version"], capture_output=True, text=True, timeout=SECONDS, check=True)
    assert "0.1" in done.stdout
