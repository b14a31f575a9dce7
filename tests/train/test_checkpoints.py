"""Fits that are interrupted and begun again end where they would have ended."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pyarrow as pa
import pytest

from dsgd import (
    Async,
    Checkpoint,
    CheckpointError,
    Columns,
    ConfigError,
    DataError,
    Hybrid,
    SGDClassifier,
    SweepCV,
    Sync,
    WorkerLost,
)
from dsgd.train.checkpoints import keeper
from dsgd.train.checkpoints.folder import digest_of

from ..interruptions import Interrupted, interrupt_after


def table(rows=3000, seed=0):
    random = np.random.default_rng(seed)
    dense = random.normal(size=(rows, 5))
    city = random.integers(0, 400, rows)
    score = dense @ [1.0, -2.0, 0.5, 0.0, 1.0] + 0.1 * (city % 7) + random.normal(size=rows)
    return pa.table(
        {f"x{j}": dense[:, j].astype(np.float32) for j in range(5)}
        | {"city": pa.array([f"c{v}" for v in city]).dictionary_encode(), "y": (score > 0).astype(int), "score": score}
    )


TABLE = table()


def fitted(estimator, label="y"):
    drop = "score" if label == "y" else "y"
    return estimator.fit(TABLE.drop_columns([drop]), label)


def weights(model):
    return np.append(model.coef_.ravel(), model.intercept_)


CASES = {
    "newton": {"alpha": 1e-3},
    "newton, l1": {"alpha": 1e-2, "penalty": "l1"},
    "quasi-newton": {"categorical": ["city"], "hash_bits": 11, "alpha": 1e-3, "family": "auto"},
    "adagrad": {"optimizer": "adagrad", "alpha": 1e-4},
    "adagrad, rows": {"optimizer": "adagrad", "batch_size": 1},
    "adam, adaptive": {"optimizer": "adam", "learning_rate": "adaptive", "eta0": 0.1, "max_iter": 30, "tol": 1e-3},
    "momentum, averaged": {"optimizer": "momentum", "average": True, "batch_size": 64, "eta0": 0.01},
    "ftrl": {"optimizer": "ftrl", "penalty": "l1", "batch_size": 32},
    "cosine": {"optimizer": "sgd", "learning_rate": "cosine", "eta0": 0.1, "batch_size": 64},
    "hashed": {"optimizer": "adagrad", "categorical": ["city"], "hash_bits": 18, "batch_size": 16},
    "sparse steps": {"optimizer": "adagrad", "categorical": ["city"], "hash_bits": 12, "batch_size": 4, "alpha": 1e-3},
    "early stopping": {"optimizer": "adagrad", "early_stopping": True, "batch_size": 32, "tol": 1e-4},
    "svrg": {"optimizer": "svrg", "alpha": 1e-3, "eta0": 0.1},
    "whitened svrg": {"optimizer": "svrg", "alpha": 1e-3},
    "whitened average": {"optimizer": "sgd", "average": True, "alpha": 1e-3},
}
ALONE = {
    "plain": {"eta0": 0.01, "learning_rate": "constant", "alpha": 1e-3},
    "plain, averaged": {"learning_rate": "optimal", "alpha": 1e-3, "average": True, "penalty": "l1"},
}
MODES = {
    "one": (Sync(), 1),
    "two": (Sync(), 2),
    "local steps": (Sync(local_steps=8), 2),
    "local epochs": (Sync(local_steps="epoch"), 2),
    "engine": (Sync(topology="engine"), 2),
    "engine, epochs": (Sync(topology="engine", local_steps="epoch"), 2),
    "int8": (Sync(compression="int8"), 2),
    "columns": (Columns(), 2),
    "hybrid": (Hybrid(2, 2), 4),
}


def estimator(parameters, mode, workers, checkpoint=None, **more):
    return SGDClassifier(
        **{"max_iter": 6, "tol": None, "standardize": True, "random_state": 3} | parameters | more,
        mode=mode, n_workers=workers, checkpoint=checkpoint,
    )  # fmt: skip


def possible(parameters, mode, workers):
    try:
        estimator(parameters, mode, workers)._config("float32", False)
    except ConfigError:
        return False
    return True


PAIRS = [
    pytest.param(parameters, *MODES[mode], id=f"{case}-{mode}")
    for case, parameters in (CASES | ALONE).items()
    for mode in MODES
    if (case not in ALONE or mode == "one") and possible(parameters, *MODES[mode])
]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(("parameters", "mode", "workers"), PAIRS)
def test_a_fit_that_goes_on_ends_at_the_same_bits(parameters, mode, workers, tmp_path, monkeypatch):
    checkpoint = Checkpoint(str(tmp_path / "whole"), seconds=None, steps=20)
    whole = fitted(estimator(parameters, mode, workers, checkpoint))
    assert not (tmp_path / "whole").exists()
    for saves in (1, 3):
        place = tmp_path / f"cut{saves}"
        checkpoint = Checkpoint(str(place), seconds=None, steps=20)
        with monkeypatch.context() as patch:
            interrupt_after(patch, saves)
            with contextlib.suppress(Interrupted, WorkerLost):
                fitted(estimator(parameters, mode, workers, checkpoint))
        if not place.exists():
            continue  # It was over before.
        again = fitted(estimator(parameters, mode, workers, checkpoint))
        np.testing.assert_array_equal(weights(again), weights(whole))
        assert again.n_iter_ == whole.n_iter_
        # Sums of losses are float32 within a run, and may be rounded otherwise where arrays lie otherwise.
        objectives = [[record["objective"] for record in model.model_.history] for model in (again, whole)]
        np.testing.assert_allclose(*objectives, rtol=1e-6)
        assert not place.exists()


def interrupted(parameters, mode, workers, checkpoint, monkeypatch, saves=2):
    """Leave checkpoints behind."""
    with monkeypatch.context() as patch:
        interrupt_after(patch, saves)
        with pytest.raises((Interrupted, WorkerLost)):
            fitted(estimator(parameters, mode, workers, checkpoint))


STEPS = {
    "optimizer": "adagrad",
    "categorical": ["city"],
    "hash_bits": 18,
    "batch_size": 64,
    "max_iter": 20,
    "alpha": 1e-3,
}


@pytest.mark.parametrize(
    ("mode", "before", "after"),
    [
        (Sync(), 2, 1),
        (Sync(), 1, 3),
        (Sync(topology="engine", local_steps="epoch"), 2, 1),
        (Columns(), 2, 1),
        (Columns(), 1, 3),
        (Async(), 2, 1),
        (Async(shards=2), 1, 2),
    ],
)
def test_with_other_ranks_it_goes_on_and_ends_near(mode, before, after, tmp_path, monkeypatch):
    checkpoint = Checkpoint(str(tmp_path / "fit"), seconds=None, steps=200)
    parameters = {**STEPS, "mode": mode}
    parameters.pop("mode")
    interrupted(parameters, mode, before, checkpoint, monkeypatch)
    epochs = []
    more = {"verbose": lambda record: epochs.append(record["epoch"])}
    again = fitted(estimator(parameters, mode, after, checkpoint, **more))
    assert epochs[0] > 1  # It went on.
    assert again.n_iter_ == 20
    whole = fitted(estimator(parameters, mode, after))
    last = [model.model_.history[-1]["objective"] for model in (again, whole)]
    # Of epochs that shares go through alone the mean is worse, the more of them there are.
    np.testing.assert_allclose(*last, rtol=0.1 if mode.topology == "engine" else 0.02)
    assert not (tmp_path / "fit").exists()


@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 2)])
@pytest.mark.parametrize("case", ["newton", "quasi-newton"])
def test_sums_of_other_ranks_are_no_use_but_their_weights_are(case, before, after, tmp_path, monkeypatch):
    checkpoint = Checkpoint(str(tmp_path / "fit"), seconds=None, steps=1)
    parameters = CASES[case] | {"max_iter": 50, "tol": 1e-8}
    interrupted(parameters, Sync(), before, checkpoint, monkeypatch, saves=1)
    again = fitted(estimator(parameters, Sync(), after, checkpoint))
    whole = fitted(estimator(parameters, Sync(), after))
    np.testing.assert_allclose(again.model_.history[-1]["objective"], whole.model_.history[-1]["objective"], rtol=1e-6)


@pytest.mark.parametrize("shards", [1, 2])
def test_a_crew_goes_on(shards, tmp_path, monkeypatch):
    mode = Async(shards=shards)
    checkpoint = Checkpoint(str(tmp_path / "fit"), seconds=None, steps=60)
    parameters = STEPS | {"learning_rate": "adaptive", "eta0": 0.3, "tol": 1e-4, "max_iter": 60}
    interrupted(parameters, mode, 2, checkpoint, monkeypatch, saves=4)
    steps = max(json.loads(path.read_text())["step"] for path in (tmp_path / "fit").glob("checkpoint-*/header.json"))
    assert steps >= 4 * 60
    again = fitted(estimator(parameters, mode, 2, checkpoint))
    whole = fitted(estimator(parameters, Sync(), 1))
    assert again.model_.history[-1]["objective"] < 1.05 * whole.model_.history[-1]["objective"]


def damage(place, how):
    newest = max(place.glob("checkpoint-*"))
    part = min(newest.glob("part-*"))
    header = newest / "header.json"
    content = json.loads(header.read_text())
    if how == "flipped":
        data = bytearray(part.read_bytes())
        data[-3] ^= 1
        part.write_bytes(bytes(data))
    elif how == "short":
        part.write_bytes(part.read_bytes()[:-8])
    elif how == "gone":
        part.unlink()
    elif how == "no header":
        header.unlink()
    elif how == "no JSON":
        header.write_text("{")
    elif how == "a digit":
        header.write_text(header.read_text().replace('"step": ', '"step": 1', 1))
    else:  # Whoever writes a digest can write anything.
        if how == "elsewhere":
            content["parts"][0][0]["file"] = "../../../etc/passwd"
        elif how == "too large":
            content["parts"][0][0]["arrays"][0][2] = [1 << 50]
        elif how == "another version":
            content["version"] = 99
        content.pop("digest")
        header.write_text(json.dumps({**content, "digest": digest_of(content)}))


HOW = ["flipped", "short", "gone", "no header", "no JSON", "a digit", "elsewhere", "too large", "another version"]


@pytest.mark.parametrize("how", HOW)
def test_a_damaged_checkpoint_is_left_for_an_older_one(how, tmp_path, monkeypatch, caplog):
    checkpoint = Checkpoint(str(tmp_path / "fit"), seconds=None, steps=20)
    interrupted(STEPS, Sync(), 2, checkpoint, monkeypatch, saves=5)
    damage(tmp_path / "fit", how)
    with caplog.at_level("INFO", "dsgd"):
        again = fitted(estimator(STEPS, Sync(), 2, checkpoint))
    whole = fitted(estimator(STEPS, Sync(), 2, Checkpoint(str(tmp_path / "whole"), seconds=None, steps=20)))
    np.testing.assert_array_equal(weights(again), weights(whole))
    assert ("an older one is looked for" in caplog.text) == (how != "no header")
    assert "goes on after step" in caplog.text


def test_with_all_checkpoints_damaged_it_begins_anew(tmp_path, monkeypatch, caplog):
    checkpoint = Checkpoint(str(tmp_path / "fit"), seconds=None, steps=20, keep=1)
    interrupted(STEPS, Sync(), 1, checkpoint, monkeypatch)
    assert len(list((tmp_path / "fit").glob("checkpoint-*"))) == 1
    damage(tmp_path / "fit", "flipped")
    again = fitted(estimator(STEPS, Sync(), 1, checkpoint))
    whole = fitted(estimator(STEPS, Sync(), 1, Checkpoint(str(tmp_path / "whole"), seconds=None, steps=20)))
    np.testing.assert_array_equal(weights(again), weights(whole))


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ({"alpha": 1e-2}, "alpha was 0.001 and is 0.01"),
        ({"optimizer": "sgd"}, "optimizer was 'adagrad' and is 'sgd'"),
        ({"hash_bits": 17}, "features"),
        ({"random_state": 4}, "seed was 3 and is 4"),
    ],
)
def test_checkpoints_of_another_fit_are_refused(other, named, tmp_path, monkeypatch):
    checkpoint = Checkpoint(str(tmp_path / "fit"), seconds=None, steps=20)
    interrupted(STEPS, Sync(), 1, checkpoint, monkeypatch)
    with pytest.raises(CheckpointError, match=named):
        fitted(estimator(STEPS | other, Sync(), 1, checkpoint))
    with pytest.raises(CheckpointError, match="rows was"):
        estimator(STEPS, Sync(), 1, checkpoint).fit(TABLE.drop_columns(["score"]).slice(5), "y")
    begun_anew = Checkpoint(str(tmp_path / "fit"), seconds=None, steps=20, resume=False)
    fitted(estimator(STEPS | other, Sync(), 1, begun_anew))


def test_a_drawn_seed_is_taken_up(tmp_path, monkeypatch):
    checkpoint = Checkpoint(str(tmp_path / "fit"), seconds=None, steps=20)
    parameters = STEPS | {"random_state": None}
    interrupted(parameters, Sync(), 1, checkpoint, monkeypatch)
    seed = json.loads((tmp_path / "fit" / "fit.json").read_text())["identity"]["seed"]
    again = fitted(estimator(parameters, Sync(), 1, checkpoint))
    other = Checkpoint(str(tmp_path / "whole"), seconds=None, steps=20)
    whole = fitted(estimator(parameters | {"random_state": seed}, Sync(), 1, other))
    np.testing.assert_array_equal(weights(again), weights(whole))


def test_epochs_may_be_more_the_second_time(tmp_path, monkeypatch):
    checkpoint = Checkpoint(str(tmp_path / "fit"), seconds=None, steps=20)
    interrupted(STEPS, Sync(), 1, checkpoint, monkeypatch)
    assert fitted(estimator(STEPS | {"max_iter": 25}, Sync(), 1, checkpoint)).n_iter_ == 25


def test_directories_of_something_else_are_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    for resume in (True, False):
        with pytest.raises(ConfigError, match="holds something else"):
            fitted(estimator(STEPS, Sync(), 1, Checkpoint(str(tmp_path), resume=resume)))
    assert (tmp_path / "notes.txt").read_text() == "mine"
    with pytest.raises(ConfigError, match=r"cannot be (written|read)"):
        fitted(estimator(STEPS, Sync(), 1, str(tmp_path / "notes.txt" / "fit")))
    with pytest.raises(ConfigError, match="no such filesystem"):
        fitted(estimator(STEPS, Sync(), 1, "nowhere://host/fit"))


@pytest.mark.parametrize(
    "given", [{"seconds": -1}, {"steps": 0}, {"keep": 0}, {"resume": 1}, {"seconds": None}, {"path": ""}]
)
def test_settings_are_checked(given):
    with pytest.raises(ConfigError, match="checkpoint"):
        Checkpoint(**{"path": "fits"} | given)


def test_what_makes_no_checkpoints_says_so(tmp_path):
    with pytest.raises(ConfigError, match="checkpoint must be"):
        fitted(SGDClassifier(checkpoint=3))
    with pytest.raises(ConfigError, match="partial_fit"):
        SGDClassifier(checkpoint=str(tmp_path / "fit")).partial_fit([[0.0], [1.0]], [0, 1], classes=[0, 1])
    with pytest.raises(ConfigError, match="single fit"):
        SweepCV(SGDClassifier(checkpoint=str(tmp_path / "fit")), {"alpha": [1e-3, 1e-4]}).fit(np.eye(30), [0, 1] * 15)


def test_a_fit_that_fails_leaves_its_checkpoints(tmp_path, monkeypatch):
    checkpoint = Checkpoint(str(tmp_path / "fit"), seconds=None, steps=20)
    interrupted(STEPS, Sync(), 1, checkpoint, monkeypatch)
    before = sorted(path.name for path in (tmp_path / "fit").iterdir())
    with pytest.raises((ConfigError, DataError, CheckpointError)):
        estimator(STEPS, Sync(), 1, checkpoint).fit(TABLE.drop_columns(["score"]), "nothing")
    assert sorted(path.name for path in (tmp_path / "fit").iterdir()) == before


def test_another_beginning_fences_the_first_off(tmp_path, monkeypatch):
    """An orphan of a dead driver must not write among the checkpoints of its successor."""
    checkpoint = Checkpoint(str(tmp_path / "fit"), seconds=None, steps=20)
    original = keeper.Keeper.save

    def save(self, *arguments):
        owner = tmp_path / "fit" / "fit.json"
        owner.write_text(json.dumps({**json.loads(owner.read_text()), "token": "another"}))
        original(self, *arguments)

    monkeypatch.setattr(keeper.Keeper, "save", save)
    with pytest.raises((ConfigError, WorkerLost), match="another fit has taken it over"):
        fitted(estimator(STEPS, Sync(), 2, checkpoint))


SCRIPT = """
    import sys
    import pyarrow.parquet as pq
    import dsgd
    from dsgd import *

    if __name__ == "__main__":
        model = SGDClassifier(
            optimizer="adagrad", batch_size=64, max_iter=200, tol=None, random_state=1, mode={mode}, n_workers=2,
            checkpoint=Checkpoint({place!r}, seconds=None, steps=100), verbose=2,
        )
        model.fit(dsgd.read_parquet({data!r}, label="y"))
        print("ENDED", model.coef_.tobytes().hex(), model.n_iter_)
"""


@pytest.mark.parametrize("mode", ["Sync()", "Async()", "Columns()", "Sync(topology='engine', local_steps='epoch')"])
def test_a_killed_driver_loses_an_interval(mode, tmp_path):
    import pyarrow.parquet as pq

    data, place = tmp_path / "rows.parquet", tmp_path / "fit"
    pq.write_table(TABLE.drop_columns(["score"]), data, row_group_size=500)
    script = tmp_path / "job.py"
    script.write_text(textwrap.dedent(SCRIPT).format(mode=mode, place=str(place), data=str(data)))
    job = subprocess.Popen([sys.executable, script], start_new_session=True, stderr=subprocess.DEVNULL)
    limit = time.monotonic() + 120
    while not list(place.glob("checkpoint-*/header.json")) and time.monotonic() < limit and job.poll() is None:
        time.sleep(0.01)
    job.send_signal(signal.SIGKILL)
    job.wait(60)
    assert job.returncode == -signal.SIGKILL, "it ended before it could be killed"
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=300)
    assert "ENDED" in done.stdout, done.stderr[-2000:]
    assert done.stdout.split()[-1] == "200"
    first = next(line for line in done.stderr.splitlines() if "epoch" in line)
    assert "epoch 1 " not in first
    assert not place.exists()
    assert not os.path.exists(place)
