"""Predictions of collections: lazy, in the same partitions, and those of the rows in memory."""

import dask
import numpy as np
import pandas as pd
import pytest
import scipy.sparse

pytest.importorskip("distributed")

import dask.array as da
import dask.dataframe as dd
from dask.delayed import Delayed

import dask_ext
import dsgd

from .test_dask_collections import FRAME, X, chunked, lazy, pieces_of, uneven


@pytest.fixture(scope="module")
def fitted():
    """A model as it is fitted on three numbers, with three classes, without a fit on the cluster."""
    three = np.digitize(X[:, 0], [-0.4, 0.4])
    model = dask_ext.SGDClassifier()
    model._adopt(dsgd.SGDClassifier(max_iter=2, tol=None).fit(X, three).model_)
    return model


METHODS = ("predict", "predict_proba", "predict_log_proba", "decision_function")


@pytest.mark.parametrize("method", METHODS)
def test_predictions_are_lazy_and_keep_partitions_index_and_meta(dask_client, fitted, method):
    wanted = getattr(fitted, method)(X)
    for frame in (lazy(), lazy().clear_divisions(), lazy()[lazy()["a"] > 1], lazy(3).repartition(npartitions=2)):
        found = getattr(fitted, method)(frame)
        assert isinstance(found, dd.Series if method == "predict" else dd.DataFrame)
        assert (found.npartitions, found.divisions) == (frame.npartitions, frame.divisions)
        dd.utils.assert_eq(found, found.compute(), check_divisions=False)  # Meta is what comes.
        rows = FRAME.index.get_indexer(frame.index.compute())
        np.testing.assert_allclose(found.compute().to_numpy(), wanted[rows], rtol=1e-9)
        pd.testing.assert_index_equal(found.compute().index, frame.index.compute())


@pytest.mark.parametrize("method", METHODS)
def test_predictions_of_arrays_have_their_chunks(dask_client, fitted, method):
    wanted = getattr(fitted, method)(X)
    for chunks in (chunked(), chunked(25, 2), chunked().map_blocks(scipy.sparse.csr_matrix), uneven(X)):
        found = getattr(fitted, method)(chunks)
        assert isinstance(found, da.Array)
        assert found.dtype == wanted.dtype
        assert len(found.chunks[0]) == len(chunks.chunks[0])
        np.testing.assert_allclose(found.compute(), wanted, rtol=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_predictions_of_delayed_partitions_are_delayed(dask_client, fitted, method):
    found = getattr(fitted, method)(pieces_of(X))
    assert all(isinstance(part, Delayed) for part in found)
    np.testing.assert_allclose(np.concatenate(dask.compute(*found)), getattr(fitted, method)(X), rtol=1e-9)
