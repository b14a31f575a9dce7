"""Where real data is looked for, and what happens without it: a newcomer's tests skip, a gap under CI fails."""

import numpy as np
import pytest

from . import datasets

Skipped, Failed = pytest.skip.Exception, pytest.fail.Exception


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """Neither DSGD_DATA nor a folder beside the repository."""
    monkeypatch.delenv("DSGD_DATA", raising=False)
    monkeypatch.setattr(datasets, "BESIDE", tmp_path / "shared" / "data")
    return datasets.BESIDE


@pytest.mark.parametrize("ci", ["", "1"])
def test_without_any_real_data_a_test_skips_and_says_what_to_set(nowhere, monkeypatch, ci):
    monkeypatch.setenv("CI", ci)
    with pytest.raises(Skipped, match="DSGD_DATA"):
        datasets.data_file("a9a", "train.libsvm")


@pytest.mark.parametrize(("ci", "outcome"), [("", Skipped), ("1", Failed)])
@pytest.mark.parametrize("named", [True, False])
def test_a_set_that_a_folder_lacks_fails_under_ci(nowhere, tmp_path, monkeypatch, named, ci, outcome):
    monkeypatch.setenv("CI", ci)
    if named:
        monkeypatch.setenv("DSGD_DATA", str(tmp_path / "typing error"))
    else:
        nowhere.mkdir(parents=True)
    with pytest.raises(outcome, match="absent"):
        datasets.data_file("a9a", "train.libsvm")


def test_what_is_named_goes_first(nowhere, tmp_path, monkeypatch):
    monkeypatch.setenv("DSGD_DATA", str(tmp_path))
    nowhere.mkdir(parents=True)
    (tmp_path / "one.parquet").touch()
    assert datasets.data_file("one.parquet") == tmp_path / "one.parquet"


def test_the_flights_need_no_folder(nowhere):
    X, y = datasets.flights_late()
    assert X.shape == (327_346, 3 + 12 + 16 + 3 + 104)
    assert 0.2 < np.mean(y > 0) < 0.3
    assert datasets.flights_quarters().y.max() == 20
