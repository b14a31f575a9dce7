"""Whatever a collection is cut into, and whatever is given beside it, a fit is that of the same rows in memory."""

from itertools import pairwise

import dask
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import scipy.sparse

pytest.importorskip("distributed")

import dask.array as da
import dask.dataframe as dd

import dask_ext
import dsgd
from dask_ext.align import cuts, sort_out
from dask_ext.collect import collect
from dsgd import ConfigError, DataError

N = 90
FEATURES = {"categorical": None, "interactions": (), "hash_bits": 18, "missing": "raise"}
rng = np.random.default_rng(3)
FRAME = pd.DataFrame(rng.normal(size=(N, 3)), columns=["a", "b", "c"], index=np.arange(N) * 2)
X = FRAME.to_numpy()
Y = pd.Series((X @ [2.0, -1.0, 0.5] + rng.logistic(size=N) > 0).astype(np.int64), index=FRAME.index, name="late")
W = rng.uniform(0.5, 2.0, N)


def lazy(pieces=4):
    return dd.from_pandas(FRAME, npartitions=pieces)


def labels(pieces=4):
    return dd.from_pandas(Y, npartitions=pieces)


def chunked(rows=25, columns=3):
    return da.from_array(X, chunks=(rows, columns))


def pieces_of(values, edges=(0, 10, 10, 60, N)):
    """Delayed pieces, one of them empty."""
    return [dask.delayed(values[a:b]) for a, b in pairwise(edges)]


def uneven(values):
    """A Dask Array whose chunks nobody knows the lengths of."""
    unknown = [da.from_delayed(part, (np.nan, *values.shape[1:]), dtype=values.dtype) for part in pieces_of(values)]
    return da.concatenate(unknown, allow_unknown_chunksizes=True)


GIVEN = {
    "column": lambda: (lazy().assign(late=labels()), "late", None),
    "frame of one column": lambda: (lazy(), labels().to_frame(), None),
    "series in other partitions": lambda: (
        lazy(),
        labels(3),
        dd.from_pandas(pd.Series(W, index=Y.index), npartitions=2),
    ),
    "series without divisions": lambda: (lazy().clear_divisions(), labels().clear_divisions(), None),
    "series beside no divisions": lambda: (lazy().clear_divisions(), labels(), None),
    "array beside a frame": lambda: (lazy(), da.from_array(Y.to_numpy(), chunks=40), W),
    "values of a series": lambda: (lazy(), labels(3).to_dask_array(), labels(2).to_dask_array() + 1),
    "memory beside a frame": lambda: (lazy(), Y, W),
    "chunks of other lengths": lambda: (
        chunked(25, 2),
        da.from_array(Y.to_numpy(), chunks=40),
        da.from_array(W, chunks=30),
    ),
    "memory beside an array": lambda: (chunked(), Y.to_numpy(), list(W)),
    "a column beside an array": lambda: (chunked(), da.from_array(Y.to_numpy()[:, None], chunks=(7, 1)), W),
    "a series beside an array": lambda: (chunked(), labels(3), None),
    "unknown chunks": lambda: (uneven(X), uneven(Y.to_numpy()), uneven(W)),
    "unknown chunks and known ones": lambda: (uneven(X), da.from_array(Y.to_numpy(), chunks=25), W),
    "known chunks and unknown ones": lambda: (chunked(), uneven(Y.to_numpy()), None),
    "sparse chunks": lambda: (
        chunked(25, 2).map_blocks(scipy.sparse.csr_matrix),
        da.from_array(Y.to_numpy(), chunks=9),
        None,
    ),
    "delayed frames": lambda: (pieces_of(FRAME.assign(late=Y)), "late", None),
    "delayed tables": lambda: ([dask.delayed(pa.table)(p) for p in pieces_of(FRAME.assign(late=Y))], "late", None),
    "delayed tuples": lambda: (
        [dask.delayed((x, y, w)) for x, y, w in zip(pieces_of(X), pieces_of(Y), pieces_of(W), strict=True)],
        None,
        None,
    ),
    "delayed frames and labels": lambda: (pieces_of(FRAME), pieces_of(Y), pieces_of(W)),
    "delayed sparse and memory": lambda: (pieces_of(scipy.sparse.csr_array(X)), Y.to_numpy(), W),
}


@pytest.mark.parametrize("given", GIVEN)
def test_rows_meet_their_labels_and_weights(dask_client, given):
    """The rows that a rank would read are compared: what a fit makes of them is the same for all."""
    collection, y, weight = GIVEN[given]()
    beside = {"label": y, "weight": weight, "offset": None}
    dataset = collect(dask_client, collection, beside, FEATURES, sorted(dask_client.nthreads()), "Test")
    try:
        whole = [partition.data.result() for partition in dataset.partitions]
    finally:
        dataset.release()
    features, found, weights = (
        np.concatenate(parts) for parts in zip(*(_rows(p, dataset.roles) for p in whole), strict=True)
    )
    order = np.argsort(features[:, 0])
    wanted = np.argsort(X[:, 0])
    np.testing.assert_array_equal(features[order], X[wanted])
    np.testing.assert_array_equal(found[order], Y.to_numpy()[wanted])
    if dataset.roles.weight is not None:
        expected = Y.to_numpy() + 1 if given == "values of a series" else W
        np.testing.assert_array_equal(weights[order], expected[wanted])
    assert (dataset.roles.weight is None) == (weight is None and given != "delayed tuples")


def _rows(piece, roles):
    """A piece's features, labels and weights."""
    if isinstance(piece, pa.Table):
        features = np.column_stack([piece[name].to_numpy() for name in "abc"])
        columns = [piece[name].to_numpy() if name else np.ones(len(features)) for name in (roles.label, roles.weight)]
        return features, *columns
    features = piece[0].toarray() if scipy.sparse.issparse(piece[0]) else piece[0]
    return features, piece[1]["label"], piece[1].get("weight", np.ones(len(features)))


BAD = {
    "y of another length": (
        lambda: (chunked(), da.from_array(Y.to_numpy()[:80], chunks=40)),
        DataError,
        "one value a row",
    ),
    "unknown y of another length": (
        lambda: (chunked(), uneven(Y.to_numpy()[:80])),
        DataError,
        "y has 80 rows and X has 90",
    ),
    "other rows": (lambda: (lazy(), dd.from_pandas(Y.iloc[5:], npartitions=4)), DataError, "the same rows"),
    "another index": (
        lambda: (lazy(2), dd.from_pandas(Y.set_axis(np.arange(N) * 2 + (np.arange(N) % 7 == 3)), npartitions=2)),
        DataError,
        "same rows|indices that differ",
    ),
    "cut nobody knows where": (
        lambda: (lazy().clear_divisions(), labels(3)),
        ConfigError,
        "where they are cut is not known",
    ),
    "several columns": (lambda: (lazy(), lazy()), DataError, "one value a row"),
    "mixed types": (
        lambda: ([dask.delayed(pd.DataFrame({"a": ["x", 1.5], "late": [0, 1]}))], "late"),
        DataError,
        "partition 0: .*mixed types",
    ),
    "mixed labels": (
        lambda: (pieces_of(FRAME), pieces_of(Y.astype(object).where(Y == 0, "late"))),
        DataError,
        r"partition \d: y holds values of mixed types",
    ),
    "fewer partitions of y": (
        lambda: (pieces_of(X), pieces_of(Y)[:3]),
        ConfigError,
        "y has 3 delayed partitions and X has 4",
    ),
    "a shorter partition": (
        lambda: (pieces_of(X), pieces_of(Y, (0, 9, 9, 60, N))),
        DataError,
        r"partition \d: y has \d+ rows|indices that differ",
    ),
    "no labels": (lambda: (pieces_of(X), None), DataError, "no labels; give y"),
    "some labels": (
        lambda: ([dask.delayed((X[:5], Y[:5])), dask.delayed((X[5:], Y[5:], W[5:]))], None),
        DataError,
        "partition 1 has y and sample_weight and partition 0 has y",
    ),
    "a list": (
        lambda: ([dask.delayed([1.0, 2.0, 3.0, 4.0, 5.0])], Y),
        DataError,
        "partition 0: a tuple of 5 was found",
    ),
    "three dimensions": (lambda: (da.zeros((4, 2, 2)), da.zeros(4)), DataError, "array of 3 dimensions"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_lined_up_is_said(dask_client, case):
    make, error, message = BAD[case]
    with pytest.raises(error, match=message):
        dask_ext.SGDClassifier(max_iter=1, tol=None).fit(*make())


def test_partitions_lost_for_good_are_said(dask_client):
    parts = dask_client.scatter([FRAME.assign(late=Y)[:45], FRAME.assign(late=Y)[45:]], hash=False)
    dask_client.cancel(parts)
    with pytest.raises(dsgd.WorkerLost, match="cannot make them again"):
        dask_ext.SGDClassifier(max_iter=1, tol=None).fit(parts, "late")


def test_futures_are_partitions(dask_client):
    parts = dask_client.scatter([FRAME.assign(late=Y)[:45], FRAME.assign(late=Y)[45:]], hash=False)
    model = dask_ext.SGDClassifier(random_state=0).fit(parts, "late")
    local = dsgd.SGDClassifier(random_state=0, standardize=True).fit(X, Y)
    np.testing.assert_allclose(model.coef_, local.coef_, rtol=1e-2)
    assert model.feature_names_in_.tolist() == ["a", "b", "c"]
    assert model.score(parts, "late") == pytest.approx(model.score(FRAME.assign(late=Y), "late"))


@pytest.mark.parametrize("given", ["series in other partitions", "unknown chunks", "delayed tuples", "sparse chunks"])
def test_scores_take_what_fits_take(dask_client, given):
    collection, y, weight = GIVEN[given]()
    # A model as it is fitted, without the fit.
    model = dask_ext.SGDClassifier(n_workers=1).set_params(max_iter=1, tol=None)
    model._adopt(dsgd.SGDClassifier(max_iter=2, tol=None).fit(FRAME if "series" in given else X, Y).model_)
    told = model.evaluate(collection, y, weight)
    assert told == pytest.approx(
        model.evaluate(FRAME if "series" in given else X, Y, W if "sparse" not in given else None)
    )


def test_cuts_are_the_rows_in_order():
    values = np.arange(30)
    lengths, wanted = [0, 11, 0, 7, 12], [5, 0, 20, 5]
    source = np.split(values, np.cumsum(lengths)[:-1])
    rows = [np.concatenate([source[p][a:b] for p, a, b in ranges] or [[]]) for ranges in cuts(wanted, lengths, "y")]
    np.testing.assert_array_equal(np.concatenate(rows), values)
    assert [len(part) for part in rows] == wanted


def test_columns_cut_by_dask_are_paired_without_counting():
    _, given = sort_out(chunked(), {"label": da.from_array(Y.to_numpy(), chunks=40)})
    assert len(given.paired["label"]) == 4
    assert not given.loose
