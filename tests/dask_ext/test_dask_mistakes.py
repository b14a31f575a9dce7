"""Mistakes that are made with collections, and what they are told: when a call is made, rather than when it is computed."""

import dask
import numpy as np
import pandas as pd
import pytest

pytest.importorskip("distributed")

import dask.array as da
import dask.dataframe as dd

import dask_ext
import dsgd
from dask_ext import collect
from dsgd import DataError

from .test_dask_calling import in_a_loop

X = np.random.default_rng(2).normal(size=(80, 3))
Y = (X[:, 0] > 0).astype(int)
FRAME = pd.DataFrame(X, columns=list("abc"))


def model_of(*data):
    """As it is fitted on one machine, without a fit on the cluster."""
    model = dask_ext.SGDClassifier()
    model._adopt(dsgd.SGDClassifier(random_state=0).fit(*data).model_)
    return model


def test_predictions_of_other_columns_are_refused_before_they_are_computed():
    named, nameless = model_of(FRAME, Y), model_of(X, Y)
    frame = dd.from_pandas(FRAME, npartitions=2)
    with pytest.raises(DataError, match=r"X has no column 'b', and the model needs one; its columns are \['a', 'c'\]"):
        named.predict(frame[["a", "c"]])
    with pytest.raises(DataError, match="X has no column 'exposure'"):
        named.predict(frame, offset="exposure")
    for other in (da.from_array(X[:, :2], chunks=(40, 2)), frame[["a", "b"]]):
        with pytest.raises(DataError, match="X has 2 features, and the model was fitted on 3"):
            nameless.predict(other)
    for same in (da.from_array(X, chunks=(40, 3)), frame):
        # Without a cluster, whatever clients other tests have left behind as the default.
        found = nameless.predict(same).compute(scheduler="synchronous")
        np.testing.assert_array_equal(np.asarray(found), nameless.predict(X))


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [
        (X[:40], X[40:, :2], "partition 1 has 2 columns and partition 0 has 3"),
        (FRAME[:40], FRAME[40:].drop(columns="b"), "partition 1 has no column 'b', which partition 0 has"),
        (FRAME[:40].drop(columns="b"), FRAME[40:], "partition 0 has no column 'b', which partition 1 has"),
    ],
)
def test_partitions_with_other_columns_are_told_by_their_numbers(dask_client, first, second, told):
    parts = [dask.delayed((first, Y[:40])), dask.delayed((second, Y[40:]))]
    features = {"categorical": None, "interactions": (), "hash_bits": 18, "missing": "raise"}
    with pytest.raises(DataError, match=told):
        collect.collect(dask_client, parts, {"label": None, "weight": None, "offset": None}, features, ["a", "b"])


@pytest.mark.parametrize("search", [dask_ext.SweepCV, dsgd.SweepCV], ids=["dask_ext", "dsgd"])
def test_a_search_and_its_score_are_awaited_in_an_event_loop(dask_client, search):
    async def body(client):
        arrays = da.from_array(X, chunks=(40, 3)), da.from_array(Y, chunks=40)
        found = await search(dask_ext.SGDClassifier(random_state=0), {"alpha": [1.0, 1e-3]}, cv=2).fit(*arrays)
        return found.best_params_, await found.score(*arrays)

    best, score = in_a_loop(dask_client, body)
    assert best == {"alpha": 1e-3}
    assert score > 0.9
