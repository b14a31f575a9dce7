"""Data, models and checkpoints in an object store: S3's protocol, spoken by a server on this machine.

An object store has no directories and renames nothing; what replaces something there must leave it whole until the end.
"""

import logging

import boto3
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from moto.server import ThreadedMotoServer
from pyarrow import fs

import dsgd
from dsgd import CheckpointError, ConfigError
from dsgd.fitted.files import read_beside, save
from dsgd.fitted.place import Place
from dsgd.fitted.shards.saving import Saving
from dsgd.train.again import RankLost
from pipelines.cli import main

from ..interruptions import Interrupted, interrupt_after

OPTIONS = {"optimizer": "adagrad", "random_state": 0, "batch_size": 64, "tol": None}


@pytest.fixture(scope="module")
def server():
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # or a failed test prints a line for each request
    found = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    found.start()
    yield "http://{}:{}".format(*found.get_host_and_port())
    found.stop()


@pytest.fixture
def bucket(server, monkeypatch):
    """An empty bucket's URI; this process and those that it starts reach the server by their environment."""
    settings = {
        "ACCESS_KEY_ID": "user",
        "SECRET_ACCESS_KEY": "word",
        "ENDPOINT_URL": server,
        "DEFAULT_REGION": "us-east-1",
    }
    for name, value in settings.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    store = boto3.resource("s3").Bucket("late")
    store.create()
    yield "s3://late"
    store.objects.all().delete()
    store.delete()


def table(rows=600):
    random = np.random.default_rng(0)
    x = random.normal(size=(rows, 3)).astype(np.float32)
    city = random.integers(0, 30, rows)
    late = x @ [1.0, -2.0, 0.5] + 0.2 * (city % 5) + random.normal(size=rows) > 0
    return pa.table({f"x{j}": x[:, j] for j in range(3)} | {"city": [f"c{v}" for v in city], "late": late})


def write(folder, files):
    for number, part in enumerate((table()[:250], table()[250:])):
        pq.write_table(part, f"{folder}/{number}.parquet", filesystem=files, row_group_size=100)


@pytest.fixture
def rows(bucket):
    write("late/rows", fs.FileSystem.from_uri(bucket)[0])
    return f"{bucket}/rows"


def keys(prefix):
    """Files; pyarrow also makes empty objects for directories."""
    found = boto3.resource("s3").Bucket("late").objects.filter(Prefix=prefix)
    return sorted(one.key for one in found if not one.key.endswith("/"))


def fitted(rows, **options):
    return dsgd.SGDClassifier(**OPTIONS | {"max_iter": 2} | options).fit(dsgd.read_parquet(rows, label="late"))


def test_rows_and_a_model(bucket, rows, tmp_path):
    write(tmp_path, fs.LocalFileSystem())
    model, here = fitted(rows, n_workers=2), fitted(tmp_path, n_workers=2)
    np.testing.assert_array_equal(model.coef_, here.coef_)
    here = fitted(f"{rows}/*.parquet", max_iter=3)
    model.save(f"{bucket}/model")
    assert [key.partition("-")[0] for key in keys("model/")] == ["model/model.json", "model/weights"]
    np.testing.assert_array_equal(dsgd.load(f"{bucket}/model").coef, model.coef_)
    with pytest.raises(ConfigError, match="exists already"):
        here.save(f"{bucket}/model")
    here.save(f"{bucket}/model", overwrite=True)
    assert len(keys("model/")) == 2
    np.testing.assert_array_equal(dsgd.load(f"{bucket}/model").coef, here.coef_)


def test_the_address_may_be_in_the_uri(bucket, rows, server, monkeypatch):
    model = fitted(rows)
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    options = f"?scheme=http&endpoint_override={server.removeprefix('http://')}&region=us-east-1"
    model.save(f"{bucket}/model{options}")
    np.testing.assert_array_equal(dsgd.load(f"{bucket}/model{options}").coef, model.coef_)
    again = fitted(f"{rows}{options}", checkpoint=f"{bucket}/fit{options}")
    np.testing.assert_array_equal(again.coef_, model.coef_)


def test_a_model_that_is_not_replaced_stays(bucket, rows, monkeypatch):
    old, new = fitted(rows), fitted(rows, max_iter=3)
    old.save(f"{bucket}/model")
    before = keys("model/")

    def failing(place, directory, files, model):
        place.write(directory, files)
        raise OSError("the store has gone")

    with monkeypatch.context() as patch:
        patch.setattr("dsgd.fitted.files._write", failing)
        with pytest.raises(OSError, match="the store has gone"):
            new.save(f"{bucket}/model", overwrite=True)
    assert keys("model/") == before
    np.testing.assert_array_equal(dsgd.load(f"{bucket}/model").coef, old.coef_)


def failing_at(name):
    """Stands in the place of ``Place.write``: no file of this name can be written."""
    write = Place.write

    def fail(place, directory, files):
        if name in files:
            raise OSError("the store has gone")
        write(place, directory, files)

    return fail


def test_a_first_save_that_fails_leaves_the_place_free(bucket, rows, monkeypatch):
    model = fitted(rows)
    with monkeypatch.context() as patch:
        patch.setattr(Place, "write", failing_at("model.json"))
        with pytest.raises(OSError, match="the store has gone"):
            model.save(f"{bucket}/model")
    assert not keys("model")
    model.save(f"{bucket}/model")
    np.testing.assert_array_equal(dsgd.load(f"{bucket}/model").coef, model.coef_)


def test_what_lies_beside_a_model_is_its_own_until_there_is_another(bucket, rows, monkeypatch):
    old, new = fitted(rows).model_, fitted(rows, max_iter=3).model_
    save(old, f"{bucket}/model", beside={"job.json": b"old"})
    before = keys("model/")
    with monkeypatch.context() as patch:
        patch.setattr(Place, "write", failing_at("model.json"))
        with pytest.raises(OSError, match="the store has gone"):
            save(new, f"{bucket}/model", overwrite=True, beside={"job.json": b"new", "more.json": b"new"})
    assert keys("model/") == before
    assert read_beside(f"{bucket}/model", "job.json") == b"old"
    np.testing.assert_array_equal(dsgd.load(f"{bucket}/model").coef, old.coef)


def test_ranks_that_are_lost_save_at_the_same_place_again(bucket, rows, monkeypatch, caplog):
    """What the first attempt has left there is not taken for somebody else's."""
    finish, lost = Saving.finish, []

    def lose(saving, header):
        if not lost:
            lost.append(1)
            raise RankLost("rank 1 was killed")
        finish(saving, header)

    monkeypatch.setattr(Saving, "finish", lose)
    model = fitted(rows, mode=dsgd.Columns(save_to=f"{bucket}/wide"), n_workers=2)
    assert "begins again" in caplog.text
    assert len(keys("wide/")) == 3
    np.testing.assert_array_equal(dsgd.load(f"{bucket}/wide").coef, model.coef_)


def test_a_changed_byte_of_a_model(bucket, rows):
    fitted(rows).save(f"{bucket}/model")
    (key,) = keys("model/weights")
    item = boto3.resource("s3").Object("late", key)
    content = bytearray(item.get()["Body"].read())
    content[-3] ^= 1
    item.put(Body=bytes(content))
    with pytest.raises(CheckpointError, match=r"weights.*digest differs"):
        dsgd.load(f"{bucket}/model")


@pytest.mark.parametrize("mode", [dsgd.Sync(), dsgd.Columns()], ids=["sync", "columns"])
def test_an_interrupted_fit_goes_on(bucket, mode, monkeypatch, caplog):
    def fit(checkpoint):
        options = {"mode": mode, "n_workers": 2, "max_iter": 5, "checkpoint": checkpoint}
        return dsgd.SGDClassifier(**OPTIONS | options).fit(table(), "late")

    whole, checkpoint = fit(None), dsgd.Checkpoint(f"{bucket}/fits/late", seconds=None, steps=10)
    with monkeypatch.context() as patch:
        interrupt_after(patch, 2)
        with pytest.raises((Interrupted, dsgd.WorkerLost)):
            fit(checkpoint)
    assert any(key.endswith("header.json") for key in keys("fits/late/"))
    with caplog.at_level(logging.INFO):
        resumed = fit(checkpoint)
    assert "goes on" in caplog.text
    np.testing.assert_array_equal(resumed.coef_, whole.coef_)
    assert not keys("fits/late")


def test_blocks_that_ranks_save_and_predict(bucket, rows):
    there = fitted(rows, mode=dsgd.Columns(), n_workers=2)
    for _ in range(2):
        fitted(rows, mode=dsgd.Columns(save_to=f"{bucket}/wide", overwrite=True), n_workers=2)
        assert len(keys("wide/")) == 3
    np.testing.assert_array_equal(dsgd.load(f"{bucket}/wide").coef, there.coef_)
    data = dsgd.read_parquet(rows)
    found = dsgd.predict_in_blocks(f"{bucket}/wide", data, n_workers=2)
    dsgd.predict_in_blocks(f"{bucket}/wide", data, out=f"{bucket}/answers.parquet", n_workers=2)
    dsgd.predict_in_blocks(f"{bucket}/wide", data, out=f"{bucket}/answers.parquet", overwrite=True, n_workers=2)
    written = pq.read_table("late/answers.parquet", filesystem=fs.FileSystem.from_uri(bucket)[0])
    assert [str(value) for value in written.column(0).to_pylist()] == [str(value) for value in found]
    assert keys("answers") == ["answers.parquet"]
    assert not keys(".answers")


def test_the_command_line(bucket, rows):
    def run(*words):
        return CliRunner().invoke(main, words)

    asked = ["fit", rows, "--label", "late", "--epochs", "2", "--out", f"{bucket}/shell"]
    assert run(*asked).exit_code == 0
    assert "log_loss" in run("evaluate", f"{bucket}/shell", rows).output
    assert "exists already" in run(*asked).output
    assert run(*asked, "--force").exit_code == 0


def test_no_such_bucket(bucket):
    with pytest.raises(dsgd.DSGDError, match=r"no file or directory .*nowhere"):
        fitted("s3://nowhere/rows")
    with pytest.raises(ConfigError, match=r"nowhere.*cannot be"):
        dsgd.SGDClassifier(checkpoint="s3://nowhere/fit", **OPTIONS).fit(table(), "late")
