"""``dsgd fit`` with every engine gives the same model, bit for bit."""

import numpy as np
import pytest
from click.testing import CliRunner

from dsgd.fitted import load
from pipelines.cli import main


def fit(data, out, *words):
    common = ("--label", "left", "--numeric", "spend,age", "--categorical", "city", "--hash-bits", "8", "--standardize",
              "--epochs", "3", "--seed", "5", "--workers", "2")  # fmt: skip
    done = CliRunner().invoke(main, ["fit", str(data), *common, *words, "--out", str(out)])
    assert done.exit_code == 0, done.stderr
    return load(out)


@pytest.fixture(scope="module")
def local(data, tmp_path_factory):
    return fit(data, tmp_path_factory.mktemp("local") / "m")


def test_dask(data, local, tmp_path, dask_client):
    address = dask_client.scheduler.address
    model = fit(data, tmp_path / "m", "--engine", "dask", "--dask-scheduler", address)
    np.testing.assert_array_equal(model.coef, local.coef)


def test_spark(data, local, tmp_path, spark):
    model = fit(data, tmp_path / "m", "--engine", "spark")
    np.testing.assert_array_equal(model.coef, local.coef)
