"""The keys of a fit do not show: not in representations, logs, errors, nor in what the engines write down about their tasks."""

import base64
import json
import logging
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dsgd import SGDClassifier, Sync
from dsgd.collectives.rendezvous import connect
from dsgd.errors import ConfigError, WorkerLost
from dsgd.train.engine import RankContext
from dsgd.transport import Channel, FitKeys, Security
from pipelines.java import java_problem

from ..conftest import require, unavailable
from .search import found_in, secrets_of

ROOT = Path(__file__).parents[2]
CLIENTS = Path(__file__).parent


@pytest.fixture
def made(monkeypatch):
    """All keys that this process makes."""
    keys, generate = [], FitKeys.generate.__func__

    def kept(cls):
        keys.append(generate(cls))
        return keys[-1]

    monkeypatch.setattr(FitKeys, "generate", classmethod(kept))
    return keys


def test_the_search_finds_a_key_in_every_form():
    keys = FitKeys.generate()
    (secret, *_) = secrets_of([keys])
    for text in (secret, b"x" + secret, secret.hex().encode(), base64.b64encode(b"ab" + secret + b"abcd")):
        assert found_in(b"before " + text + b" after", secrets_of([keys]))
    assert found_in(pickle.dumps(keys), secrets_of([keys]))
    assert not found_in(b"before and after", secrets_of([keys]))


def test_representations_hide_them():
    keys = FitKeys.generate()
    for thing in (keys, Security(keys), [keys], {"keys": Security(keys, encrypt=False).near()}):
        assert not found_in(f"{thing!r} {thing}".encode(), secrets_of([keys]))


@pytest.mark.parametrize("encrypt", [True, False])
def test_errors_and_logs_of_a_channel_hide_them(encrypt, caplog):
    keys, other = FitKeys.generate(), FitKeys.generate()
    with caplog.at_level(logging.DEBUG):
        first = Channel(0, Security(keys, encrypt), host="127.0.0.1", deadline=2.0)
        second = Channel(1, Security(other, encrypt), host="127.0.0.1", deadline=2.0)
        try:
            with pytest.raises(WorkerLost) as refused:
                second.connect({0: first.address})
        finally:
            second.close()
            first.close()
        context = RankContext(0, 2, "no.such.host.invalid", "m", "/tmp", lambda payload: [payload] * 2)
        with pytest.raises(ConfigError) as unknown:
            connect(context, keys=keys)
    said = f"{refused.value!r} {unknown.value!r} {caplog.text}"
    assert "refused" in said
    assert not found_in(said.encode(), secrets_of([keys, other]))


@pytest.mark.parametrize("mode", [Sync(topology="ring"), "async"], ids=str)
def test_a_fit_of_several_ranks_says_nothing(made, mode, caplog, capfd):
    generator = np.random.default_rng(0)
    X = generator.normal(size=(300, 3))
    logging.getLogger("numba").setLevel(logging.WARNING)  # says much, and nothing of keys
    y = (X[:, 0] > 0).astype(int)
    with caplog.at_level(logging.DEBUG):
        model = SGDClassifier(mode=mode, n_workers=2, max_iter=3, tol=None, optimizer="sgd", verbose=2).fit(X, y)
    printed = "".join(capfd.readouterr())
    assert made
    said = f"{caplog.text}{printed}{model!r}{model.history_!r}{vars(model)!r}".encode()
    assert b"epoch 3" in said
    assert not found_in(said, secrets_of(made))


def run_client(name: str, folder: Path) -> tuple[list[FitKeys], bytes]:
    """The keys that a client has made, and all that it and its engine have printed and written down."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYSPARK_PYTHON": sys.executable}
    done = subprocess.run(
        [sys.executable, str(CLIENTS / name), str(folder)],
        env=environment,
        capture_output=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:].decode(errors="replace")
    kept = [FitKeys(*record) for record in pickle.loads((folder / "keys").read_bytes())]
    said = done.stdout + done.stderr
    for path in (folder / "written").rglob("*"):
        if path.is_file():
            said += path.read_bytes()
    return kept, said


@pytest.mark.xdist_group("spark")
def test_spark_event_log_and_debug_log_hide_them(tmp_path):
    require("pyspark.sql", "spark")
    if problem := java_problem():
        unavailable(problem)
    keys, said = run_client("spark_client.py", tmp_path)
    logs = [path for path in (tmp_path / "written").rglob("*") if path.is_file() and path.suffix != ".crc"]
    events = [json.loads(line)["Event"] for path in logs for line in path.read_bytes().splitlines()]
    assert "SparkListenerTaskEnd" in events
    assert b"DEBUG" in said
    assert len(keys) >= 3
    assert not found_in(said, secrets_of(keys))


@pytest.mark.xdist_group("dask")
def test_dask_logs_and_task_names_hide_them(tmp_path):
    require("distributed", "dask")
    keys, said = run_client("dask_client.py", tmp_path)
    assert b"dsgd-rank-" in said
    assert b"DEBUG" in said
    assert len(keys) >= 2
    assert not found_in(said, secrets_of(keys))
