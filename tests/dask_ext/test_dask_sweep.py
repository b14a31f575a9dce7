"""SweepCV on a cluster: collections in, the same scores as on one machine, lazy predictions out."""

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest

import dsgd
from dask_ext import SGDClassifier, SweepCV
from dsgd.errors import ConfigError

GENERATOR = np.random.default_rng(0)
X = GENERATOR.standard_normal((900, 4))
Y = (X[:, 0] + 0.5 * GENERATOR.standard_normal(900) > 0).astype(int)
GRID = {"alpha": [100.0, 1e-3]}


def test_a_frame_is_searched_and_predicted_lazily(dask_client):
    frame = dd.from_pandas(pd.DataFrame(X, columns=list("abcd")).assign(y=Y), npartitions=5)
    search = SweepCV(SGDClassifier(random_state=0), GRID, cv=3, scoring="neg_log_loss").fit(frame, "y")
    assert search.best_params_ == {"alpha": 1e-3}
    assert isinstance(search.predict(frame), dd.Series)
    assert search.score(frame, "y") > -0.5


def test_validation_scores_are_those_of_one_machine(dask_client):
    arrays = da.from_array(X, chunks=(200, 4)), da.from_array(Y, chunks=200)
    options = {"cv": None, "scoring": "neg_log_loss"}
    there = SweepCV(SGDClassifier(random_state=0, dtype="float64"), GRID, **options).fit(*arrays, validation=(X, Y))
    local = dsgd.SGDClassifier(random_state=0, standardize=True, dtype="float64")
    here = dsgd.SweepCV(local, GRID, **options).fit(X, Y, validation=(X, Y))
    scores = (search.cv_results_["mean_test_score"] for search in (there, here))
    np.testing.assert_allclose(*scores, rtol=1e-4)


def test_estimators_of_one_machine_are_refused(dask_client):
    with pytest.raises(ConfigError, match="import that from dask_ext"):
        SweepCV(dsgd.SGDClassifier(), GRID).fit(X, Y)
