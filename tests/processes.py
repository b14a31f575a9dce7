"""Processes that tests start."""

import subprocess


def end(process: subprocess.Popen) -> None:
    """Stop a process that the test started, and wait until it is gone."""
    process.terminate()
    try:
        process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(timeout=20)
