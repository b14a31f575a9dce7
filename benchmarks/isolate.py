"""Run a benchmark's function in a fresh process of its own, held to a stated number of cores.

Comes in: ``"module:function"`` and JSON-like arguments. Goes out: what the function returned, through a JSON file. The
thread pools of BLAS, OpenMP, numba and Arrow are sized by environment variables before anything is imported, and the
process is bound to as many CPUs, so that a helper thread (a parser's, say) shares the cores that its side was given.
"""

import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

_POOLS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "POLARS_MAX_THREADS")
_ROOT = Path(__file__).resolve().parent.parent


class BenchmarkError(RuntimeError):
    """The isolated process failed or ran past its time; the message ends with the last lines it wrote."""


def call(function: str, *, cores: int, seconds: float, env: dict[str, str] | None = None, **arguments: Any) -> Any:
    """Call ``function(**arguments)`` in a fresh process on ``cores`` CPUs, for at most ``seconds``.

    Parameters
    ----------
    function : str
        ``"package.module:name"``; it returns something that JSON can hold.
    cores : int
        CPUs the process, with all its children and threads, may use.
    seconds : float
        Time limit; the process and its children are killed when it is over.
    env : dict, optional
        Environment variables on top of this process's.

    Raises
    ------
    BenchmarkError
        When the process exits with an error or is too slow.
    """
    environment = {**os.environ, **dict.fromkeys(_POOLS, str(cores)), **(env or {})}
    with tempfile.TemporaryDirectory(prefix="dsgd-bench-") as scratch:
        result, log = Path(scratch) / "result.json", Path(scratch) / "log.txt"
        command = [sys.executable, "-m", "benchmarks.isolate", function, json.dumps(arguments), str(cores), str(result)]
        with log.open("wb") as output:
            code = _run(command, environment, output, seconds)
        if code != 0 or not result.exists():
            reason = f"took longer than {seconds:.0f} s" if code is None else f"ended with code {code}"
            raise BenchmarkError(f"{function} {reason}:\n{_tail(log)}")
        return json.loads(result.read_text())


def _run(command: list[str], environment: dict[str, str], output, seconds: float) -> int | None:
    """Exit code, or None when the process group had to be killed."""
    process = subprocess.Popen(
        command, cwd=_ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
    )
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        return None
    finally:
        _kill_group(process.pid)
        process.wait()


def _kill_group(leader: int) -> None:
    try:
        os.killpg(leader, signal.SIGKILL)
    except ProcessLookupError:
        return  # everything ended by itself


def _tail(log: Path, lines: int = 12) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def bind(cores: int) -> None:
    """Bind this process to ``cores`` of the CPUs it may use (where the system can)."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-cores:])


def _main(function: str, arguments: str, cores: str, result: str) -> None:
    bind(int(cores))
    module, name = function.split(":")
    value = getattr(importlib.import_module(module), name)(**json.loads(arguments))
    Path(result).write_text(json.dumps(value))


if __name__ == "__main__":
    _main(*sys.argv[1:])
