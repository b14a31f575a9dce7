"""Predictions by ranks that have a block of the model each: those of the model as a whole, for all kinds of columns and data."""

import json
import shutil

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import scipy.sparse

import dsgd
from dsgd import CheckpointError, ConfigError, DataError, predict_in_blocks
from dsgd.data.column_blocks import column_blocks
from dsgd.fitted.files import opened
from dsgd.fitted.shards.stored import StoredModel

from ..conformance.test_modes import data

OPTIONS = {"optimizer": "adagrad", "random_state": 0, "max_iter": 2, "tol": None, "dtype": "float64"}
ROWS = 2000


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Columns of all kinds, in files by month; and a dataset to learn of them."""
    rng = np.random.default_rng(1)
    frame = pd.DataFrame(
        {
            "a": rng.normal(5, 2, ROWS),
            "b": np.where(rng.random(ROWS) < 0.1, np.nan, rng.normal(-1, 1, ROWS)),
            "c": rng.choice(list("uvw"), ROWS),
            "d": rng.integers(0, 500, ROWS).astype(str),
            "v": list(rng.normal(size=(ROWS, 5))),
            "offset": rng.normal(size=ROWS),
            "id": np.arange(ROWS),
            "month": np.arange(ROWS) // 700,
        }
    )
    score = frame.a - 5 + (frame.c == "u") + frame.v.map(np.sum) + frame.offset
    frame["y"] = np.where(score > 0, "yes", "no")
    frame["group"] = np.digitize(score, [-2, 2])
    path = tmp_path_factory.mktemp("files")
    for month, part in frame.groupby("month"):
        part.drop(columns="month").to_parquet(path / f"{month}.parquet", row_group_size=300)
    return frame, str(path)


def files(path, **options):
    columns = {"numeric": ["a", "b"], "categorical": ["c", "d"], "vectors": ["v"], "hash_bits": 8, "missing": "mean"}
    return dsgd.read_parquet(path, offset="offset", **columns | options)


@pytest.fixture(scope="module")
def model(table, tmp_path_factory):
    """A directory that three ranks have written."""
    place = tmp_path_factory.mktemp("models") / "m"
    learnt = files(table[1], label="y")
    dsgd.SGDClassifier(mode=dsgd.Columns(save_to=place), n_workers=3, **OPTIONS).fit(learnt)
    return place


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("kind", ["dense", "sparse", "multi"])
def test_matrices(tmp_path, kind, dtype):
    X, y = data(kind)
    mode = dsgd.Columns(save_to=tmp_path / "m")
    dsgd.SGDClassifier(mode=mode, n_workers=3, **OPTIONS | {"dtype": dtype}).fit(X, y)
    whole = dsgd.load(tmp_path / "m")
    bound = 1e-12 if dtype == "float64" else 1e-6
    scale = np.abs(whole.decision_function(X)).max()
    for n in (1, 2, 4):
        found = predict_in_blocks(tmp_path / "m", X, method="decision_function", n_workers=n)
        assert found.dtype == dtype
        np.testing.assert_allclose(found, whole.decision_function(X), rtol=bound, atol=bound * scale)
    np.testing.assert_array_equal(predict_in_blocks(tmp_path / "m", X, n_workers=2), whole.predict(X))
    chances = predict_in_blocks(tmp_path / "m", X, method="predict_proba", n_workers=2, topology="tree")
    np.testing.assert_allclose(chances, whole.predict_proba(X), atol=bound)
    other = X.toarray() if kind == "sparse" else scipy.sparse.csr_array(X)
    np.testing.assert_allclose(
        predict_in_blocks(whole, other, method="predict_proba", n_workers=2, offset=np.ones(len(y))),
        whole.predict_proba(X, np.ones(len(y))),
        atol=bound,
    )


@pytest.mark.parametrize("n", [1, 2, 5])
def test_files_with_columns_of_all_kinds(table, model, n):
    rows = files(table[1])
    found = predict_in_blocks(model, rows, method="predict_proba", n_workers=n)
    np.testing.assert_allclose(found, dsgd.load(model).predict_proba(rows), rtol=1e-12)


def test_a_regression_and_data_in_memory(table, tmp_path):
    frame, path = table
    learnt = files(path, label="id")
    mode = dsgd.Columns(save_to=tmp_path / "m")
    estimator = dsgd.SGDRegressor(mode=mode, n_workers=2, **OPTIONS).fit(learnt)
    found = predict_in_blocks(estimator.model_, frame, n_workers=3, offset="offset")
    assert "coef" not in vars(estimator.model_)
    np.testing.assert_allclose(found, estimator.model_.predict(frame, "offset"), rtol=1e-11)
    with pytest.raises(ConfigError, match="a regression has no probabilities"):
        predict_in_blocks(tmp_path / "m", frame, method="predict_proba")


def test_only_a_block_is_read(table, model, monkeypatch):
    """Threads of this process, so that what they ask for can be looked at."""
    asked, read = [], StoredModel.weights_at

    def noting(self, ranges, into=None):
        asked.append(sum(stop - start for start, stop in ranges))
        return read(self, ranges, into)

    monkeypatch.setattr(StoredModel, "weights_at", noting)
    predict_in_blocks(model, table[0], n_workers=4, offset="offset")
    assert len(asked) == 4
    assert sum(asked) == opened(model).spec.layout.size
    assert max(asked) < sum(asked)


def test_a_file_of_predictions(table, model, tmp_path):
    frame, path = table
    out = tmp_path / "p.parquet"
    rows = files(path, filters=[("id", ">=", 100)])
    assert predict_in_blocks(model, rows, out=out, keep=["id", "c"], n_workers=2) == ROWS - 100
    found = pq.read_table(out)
    assert found.column_names == ["id", "c", "prediction", "probability_no", "probability_yes"]
    assert found["id"].to_pylist() == list(range(100, ROWS))
    assert found["c"].to_pylist() == frame.c[100:].tolist()
    chances = dsgd.load(model).predict_proba(rows)
    np.testing.assert_allclose(found["probability_yes"].to_numpy(), chances[:, 1], rtol=1e-12)
    assert pq.ParquetFile(out).metadata.row_group(1).num_rows <= 300
    with pytest.raises(ConfigError, match="exists already"):
        predict_in_blocks(model, rows, out=out, n_workers=2)
    none = files(path, filters=[("id", "<", 0)])
    assert predict_in_blocks(model, none, out=out.as_uri(), overwrite=True, n_workers=2) == 0
    assert pq.read_table(out).column_names == ["prediction", "probability_no", "probability_yes"]
    assert predict_in_blocks(model, none, n_workers=2).shape == (0,)
    assert [path.name for path in tmp_path.iterdir()] == ["p.parquet"]


def test_what_fails_leaves_the_file_that_was_there(table, model, tmp_path):
    frame, _ = table
    (tmp_path / "bad").mkdir()
    frame.assign(a=np.inf).to_parquet(tmp_path / "bad" / "0.parquet")
    out = tmp_path / "p.parquet"
    out.write_text("old")
    with pytest.raises(DataError, match="'a'"):
        predict_in_blocks(model, files(str(tmp_path / "bad")), out=out, overwrite=True, n_workers=2)
    assert out.read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad", "p.parquet"]


def edit(folder):
    header = json.loads((folder / "model.json").read_text())
    header["weights"]["shards"][0]["file"] = "../../secret.safetensors"
    (folder / "model.json").write_text(json.dumps(header))


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda p: sorted(p.glob("*.safetensors"))[2].unlink(), "is missing"),
        (lambda p: sorted(p.glob("*.safetensors"))[0].write_bytes(b"12345678"), "has 8 bytes"),
        (edit, "is not the name of a file of weights"),
    ],
)
def test_damage_is_told_before_any_rank_starts(table, model, tmp_path, damage, told):
    folder = shutil.copytree(model, tmp_path / "m")
    damage(folder)

    class Never:
        """An engine that starts nothing."""

        def launch(self, *args, **options):
            raise AssertionError("work has started")

    with pytest.raises(CheckpointError, match=told):
        predict_in_blocks(folder, files(table[1]), n_workers=2, engine=Never())


@pytest.mark.parametrize(
    ("options", "error", "told"),
    [
        ({"method": "score"}, ConfigError, "method must be one of predict, predict_proba"),
        ({"n_workers": 0}, ConfigError, "n_workers must be an integer >= 1, not 0"),
        ({"n_workers": True}, ConfigError, "n_workers must be an integer >= 1, not True"),
        ({"keep": ["id"]}, ConfigError, "keep=.* is about a file of predictions"),
        ({"overwrite": True}, ConfigError, "overwrite=True is about a file of predictions"),
        ({"out": "p", "method": "predict_proba"}, ConfigError, "classes and probabilities are both written"),
        ({"out": "p", "keep": "id"}, ConfigError, "keep is a list of columns"),
        ({"out": "p", "keep": ["id", "id"]}, ConfigError, "keep names a column twice"),
        ({"out": "p", "keep": ["nope"]}, DataError, "no column 'nope' to keep"),
        ({"out": "/"}, ConfigError, "is a directory"),
        ({"out": "/nowhere/p.parquet"}, ConfigError, "nothing can be written to /nowhere"),
        ({"n_workers": 500}, ConfigError, "500 ranks need a column each at least"),
        ({"topology": "star"}, ConfigError, "topology must be 'ring' or 'tree'"),
        ({"deadline": -1.0}, ConfigError, "deadline must be a positive number"),
    ],
)
def test_what_cannot_be(table, model, options, error, told):
    with pytest.raises(error, match=told):
        predict_in_blocks(model, files(table[1]), **{"n_workers": 2} | options)


def test_files_for_data_in_memory_and_interactions(table, tmp_path):
    frame, path = table
    learnt = files(path, label="y", interactions=[("c", "d")])
    fitted = dsgd.SGDClassifier(**OPTIONS).fit(learnt)
    with pytest.raises(ConfigError, match="out is for predictions of Parquet files"):
        predict_in_blocks(fitted.model_, frame, out=tmp_path / "p", n_workers=2, offset="offset")
    whole = fitted.model_.spec
    if sum(block.size for block in column_blocks(whole, 2)) < whole.layout.size:
        with pytest.raises(ConfigError, match=r"the model's interactions, .*'c x d'.*, are not divided among ranks"):
            predict_in_blocks(fitted.model_, files(path), n_workers=2)
    else:
        found = predict_in_blocks(fitted.model_, files(path), method="predict_proba", n_workers=2)
        np.testing.assert_allclose(found, fitted.model_.predict_proba(files(path)), rtol=1e-12)


def test_rows_that_differ_are_told(table, model, monkeypatch):
    from dsgd.fitted import scoring

    whole = scoring.scored_blocks

    def fewer(dataset, params, outputs, splits=None):
        for block, scores, encoder in whole(dataset, params, outputs, splits):
            yield block, scores[: len(scores) - (dataset.roles.offset is None)], encoder

    monkeypatch.setattr(scoring, "scored_blocks", fewer)
    with pytest.raises(DataError, match="does not have the same rows"):
        predict_in_blocks(model, table[0], n_workers=2, offset="offset")
