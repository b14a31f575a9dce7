"""What is the local engine's own: payloads by reference, the calling thread, processes that no script starts again."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest
from threadpoolctl import threadpool_info

from dsgd.errors import ConfigError
from dsgd.train import place
from dsgd.train.local import LocalEngine

SELF = "dsgd.train.selftest:"


def blas_threads():
    return [library["num_threads"] for library in threadpool_info()]


def test_threads_are_given_the_payload_itself():
    payloads = [bytearray(b"one"), bytearray(b"two")]
    found = LocalEngine(processes=False).launch(SELF + "identify", payloads)
    assert [json.loads(record)[0] for record in found] == [id(payload) for payload in payloads]
    assert {json.loads(record)[2] for record in found} == {os.getpid()}


def test_a_single_rank_runs_in_the_calling_thread():
    (found,) = LocalEngine().launch(SELF + "identify", [None])
    assert json.loads(found)[1:] == [threading.get_ident(), os.getpid()]


def test_several_ranks_are_processes_by_default():
    found = [json.loads(record) for record in LocalEngine().launch(SELF + "identify", [None] * 2)]
    assert len({process for _, _, process in found} | {os.getpid()}) == 3


def test_the_driver_gets_its_blas_threads_back():
    before = blas_threads()
    engine = LocalEngine(processes=False, threads=1)
    workers = [threading.Thread(target=engine.launch, args=(SELF + "linger", [0.1, 0.1])) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30.0)
    assert blas_threads() == before


def test_the_lowest_limit_is_in_force_until_its_holder_leaves():
    before = blas_threads()
    with place.limit_threads(1):
        assert set(blas_threads()) == {1}
        with place.limit_threads(2):
            assert min(blas_threads()) == 1
    with place.limit_threads(2), place.limit_threads(1):
        assert set(blas_threads()) == {1}
    assert blas_threads() == before


def test_openmp_is_limited_in_the_threads_of_the_ranks():
    # A library of scikit-learn's brings OpenMP, which keeps the number of threads for each thread by itself.
    from sklearn.utils import _openmp_helpers  # noqa: F401

    assert "openmp" in {library["user_api"] for library in threadpool_info()}
    found = LocalEngine(processes=False, threads=1).launch(SELF + "describe", [None] * 2)
    assert [json.loads(record)["blas"] for record in found] == [1, 1]


def test_ranks_share_the_cores_out():
    for processes in (False, True):
        (found, _) = LocalEngine(processes=processes).launch(SELF + "describe", [None] * 2)
        assert json.loads(found)["threads"] == max(1, place.cores() // 2)
    (found, _) = LocalEngine(processes=True, threads=3).launch(SELF + "describe", [None] * 2)
    assert json.loads(found)["threads"] == 3


def test_zero_threads_are_refused():
    with pytest.raises(ConfigError, match="threads must be at least 1"):
        LocalEngine(threads=0)


class OnlyHere:
    """A class that another process can import under its real name only."""


def test_a_payload_that_cannot_be_rebuilt_says_what_to_do(monkeypatch):
    monkeypatch.setattr(OnlyHere, "__module__", "__main__")
    monkeypatch.setattr(sys.modules["__main__"], "OnlyHere", OnlyHere, raising=False)
    with pytest.raises(ConfigError, match="in a module that can be imported"):
        LocalEngine(processes=True).launch(SELF + "describe", [OnlyHere()])


def test_what_a_rank_prints_reaches_the_driver_and_not_its_results(tmp_path, capfd):
    (tmp_path / "talkative.py").write_text(
        "def talk(context, payload):\n    print('a word from the rank')\n    return b'result'\n"
    )
    sys.path.insert(0, str(tmp_path))
    try:
        assert LocalEngine(processes=True).launch("talkative:talk", [None]) == [b"result"]
    finally:
        sys.path.remove(str(tmp_path))
    assert "a word from the rank" in capfd.readouterr().err


def run_script(tmp_path, body):
    script = tmp_path / "script.py"
    script.write_text(body)
    return subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path
    )


def test_an_unguarded_script_is_not_run_again(tmp_path):
    script = run_script(
        tmp_path,
        "from dsgd.train.local import LocalEngine\n"
        "print('started')\n"
        "engine = LocalEngine(processes=True)\n"
        "print(engine.launch('dsgd.train.selftest:gather', [b'a', b'b']))\n"
        "print(engine.aggregate('dsgd.train.selftest:name', ['a', 'b'], 'dsgd.train.selftest:bracket'))\n",
    )
    out, errors = script.communicate(timeout=120)
    assert script.returncode == 0, errors
    assert out.splitlines() == ["started", "[b'ab', b'ab']", "b'(a b)'"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_ranks_do_not_outlive_their_driver(tmp_path, number):
    script = run_script(
        tmp_path,
        "import signal, tempfile\n"
        # What a shell starts in the background is born deaf to it.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"tempfile.tempdir = {str(tmp_path)!r}\n"
        "from dsgd.train.local import LocalEngine\n"
        "LocalEngine(processes=True).launch('dsgd.train.selftest:count_slowly', [600, 600],"
        " on_report=lambda record: print(record['process'], flush=True))\n",
    )
    processes = {int(script.stdout.readline()) for _ in range(4)}
    script.send_signal(number)
    script.communicate(timeout=150)
    limit = time.monotonic() + 30.0
    while time.monotonic() < limit and (
        any(psutil.pid_exists(process) for process in processes) or list(tmp_path.glob("dsgd-*"))
    ):
        time.sleep(0.05)
    assert not any(psutil.pid_exists(process) for process in processes)
    assert not list(tmp_path.glob("dsgd-*"))
