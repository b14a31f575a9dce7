"""Mistakes that are made with data at hand, and what they are told; what scikit-learn lets pass with a warning does here, too."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.linear_model import SGDClassifier as Theirs

from dsgd import ConfigError, DataError, SGDClassifier, read_parquet

GENERATOR = np.random.default_rng(1)
X = GENERATOR.standard_normal((120, 3))
Y = (X[:, 0] > 0).astype(int)
FRAME = pd.DataFrame(X, columns=list("abc"))


@pytest.mark.parametrize("path", ["trips.parquet", Path("trips.parquet")])
def test_a_path_is_no_data(path):
    with pytest.raises(ConfigError, match=r"read_parquet\('trips.parquet', label=...\)"):
        SGDClassifier().fit(path, "late")


@pytest.mark.parametrize("lazy", ["frame", "bag", "delayed"])
def test_what_dask_has_yet_to_compute_is_refused(lazy):
    dask = pytest.importorskip("dask")
    bag, frames = pytest.importorskip("dask.bag"), pytest.importorskip("dask.dataframe")
    made = {
        "frame": lambda: frames.from_pandas(FRAME, npartitions=2),
        "bag": lambda: bag.from_sequence([1, 2]),
        "delayed": lambda: dask.delayed(FRAME),
    }[lazy]()
    with pytest.raises(ConfigError, match=r"X\.compute\(\)"):
        SGDClassifier().fit(made, Y)


def test_a_frame_for_a_model_of_a_matrix_warns_as_scikit_learn_does():
    ours, theirs = SGDClassifier(random_state=0).fit(X, Y), Theirs(random_state=0).fit(X, Y)
    for model in (ours, theirs):
        with pytest.warns(UserWarning, match="X has feature names, but SGDClassifier was fitted without feature names"):
            model.predict(FRAME)
    np.testing.assert_array_equal(ours.predict(X), ours.model_.predict(FRAME))


def test_a_column_that_is_not_there_is_named():
    model = SGDClassifier(random_state=0).fit(FRAME, Y)
    with pytest.raises(DataError, match=r"the data has no column 'b', and the model needs one"):
        model.predict(FRAME[["a", "c"]])


def test_a_class_weight_of_no_class_names_the_classes():
    with pytest.raises(ConfigError, match=r"class_weight names 5, which is none of the classes \[0, 1\]"):
        SGDClassifier(class_weight={5: 1.0}).fit(X, Y)


def test_rows_that_are_all_filtered_out_are_told_in_the_words_of_the_call(tmp_path):
    pq.write_table(pa.table({"a": X[:, 0], "late": Y}), tmp_path / "rows.parquet")
    with pytest.raises(DataError, match=r"read_parquet\('.*', label='late', filters=\(a > 100\)\) has no rows"):
        SGDClassifier().fit(read_parquet(str(tmp_path), label="late", filters=[("a", ">", 100)]))


def test_a_filter_of_an_unknown_column_is_told_in_one_line(tmp_path):
    pq.write_table(pa.table({"a": X[:, 0], "late": Y}), tmp_path / "rows.parquet")
    with pytest.raises(DataError, match=r"does not fit the columns \['a', 'late'\]: .*b\)$"):
        SGDClassifier().fit(read_parquet(str(tmp_path), label="late", filters=[("b", ">", 100)]))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("given", [{"intercept_init": 0.5}, {"coef_init": [[0.1, 0.2, 0.3]]}])
def test_a_warm_start_keeps_of_the_model_what_is_not_given(given):
    """The other one was begun at zero."""
    steps = {"loss": "log_loss", "alpha": 0.01, "eta0": 0.1, "learning_rate": "constant", "max_iter": 1, "tol": None}
    ours, theirs = (
        kind(**steps, shuffle=False, warm_start=True).fit(X, Y).fit(X, Y, **given) for kind in (SGDClassifier, Theirs)
    )
    np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=1e-10)
    np.testing.assert_allclose(ours.intercept_, theirs.intercept_, rtol=1e-10)
