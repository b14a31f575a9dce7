"""Models in shards from the shell: written by the ranks, and predicted with by ranks."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from dsgd.fitted import load
from dsgd.fitted.files import opened
from dsgd.fitted.shards.stored import StoredModel

from .test_cli import COLUMNS, fail, run, succeed

FIT = ("--label", "left", *COLUMNS, "--epochs", "2", "--mode", "columns", "--workers", "2")


@pytest.fixture(scope="module")
def model(data, tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "left"
    assert succeed("fit", data, *FIT, "--save-from-ranks", "--out", path).output == ""
    return path


def test_the_same_model_as_from_one_process(data, model, tmp_path):
    assert isinstance(opened(model), StoredModel)
    assert (model / "job.json").exists()
    succeed("fit", data, *FIT, "--out", tmp_path / "m")
    np.testing.assert_array_equal(load(model).coef, load(tmp_path / "m").coef)
    assert succeed("evaluate", model, data).output == succeed("evaluate", tmp_path / "m", data).output
    # Over what is there, whoever has written it; never without --force.
    assert "exists already" in fail("fit", data, *FIT, "--save-from-ranks", "--out", tmp_path / "m")
    succeed("fit", data, *FIT, "--save-from-ranks", "--force", "--out", tmp_path / "m")
    assert isinstance(opened(tmp_path / "m"), StoredModel)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m"]


def test_predictions_by_ranks(data, model, tmp_path):
    one, ranks = tmp_path / "one.parquet", tmp_path / "ranks.parquet"
    words = ("predict", model, data, "--filter", "month == 4", "--keep", "id,left,month")
    succeed(*words, "--out", one)
    assert succeed(*words, "--mode", "columns", "--workers", "3", "--out", ranks).output == ""
    wanted, found = pq.read_table(one), pq.read_table(ranks)
    assert found.schema == wanted.schema
    assert found.drop_columns(["probability_no", "probability_yes"]) == wanted.drop_columns(
        ["probability_no", "probability_yes"]
    )
    np.testing.assert_allclose(found["probability_yes"], wanted["probability_yes"], atol=1e-6)
    assert "exists already" in fail(*words, "--mode", "columns", "--workers", "3", "--out", ranks)
    succeed(*words, "--mode", "columns", "--workers", "1", "--force", "--out", ranks)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.parquet", "ranks.parquet"]


def test_what_does_not_go_together(data, model, tmp_path):
    out = ("--out", tmp_path / "o")
    for words, told in (
        (("--workers", 2), "--workers is about ranks, and goes with --mode columns"),
        (("--mode", "columns", "--spark-master", "local[2]"), "--spark-master goes with --engine spark"),
    ):
        done = run("predict", model, data, *words, *out)
        assert done.exit_code == 2
        assert told in done.stderr
    line = fail("predict", model, data, "--mode", "columns", "--workers", 300, *out)
    assert "300 ranks need a column each at least" in line
    line = fail("fit", data, "--label", "left", *COLUMNS, "--save-from-ranks", *out)
    assert "--save-from-ranks must be left out with --mode='sync'" in line
    assert list(tmp_path.iterdir()) == []


def by_an_engine(data, model, folder, *words):
    """Fit and predict there; the predictions are those of one process."""
    succeed("fit", data, *FIT, "--save-from-ranks", *words, "--out", folder / "m")
    np.testing.assert_array_equal(load(folder / "m").coef, load(model).coef)
    succeed(
        "predict", folder / "m", data, "--mode", "columns", "--workers", "2", *words, "--out", folder / "ranks.parquet"
    )
    succeed("predict", model, data, "--out", folder / "one.parquet")
    wanted, found = (pq.read_table(folder / f"{name}.parquet") for name in ("one", "ranks"))
    assert found["prediction"] == wanted["prediction"]
    np.testing.assert_allclose(found["probability_yes"], wanted["probability_yes"], atol=1e-6)


def test_dask(data, model, tmp_path, dask_client):
    by_an_engine(data, model, tmp_path, "--engine", "dask", "--dask-scheduler", dask_client.scheduler.address)


def test_spark(data, model, tmp_path, spark):
    by_an_engine(data, model, tmp_path, "--engine", "spark")
