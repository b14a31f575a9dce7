"""The features of a model to go on from: what may differ in later data, and what is refused."""

import numpy as np
import pyarrow as pa
import pytest
import scipy.sparse

from dsgd.data.going_on import with_features_of
from dsgd.data.sources import as_dataset
from dsgd.errors import ConfigError, DataError

TABLE = pa.table({"a": [1.0, 2.0], "b": [3.0, 4.0], "c": ["u", "v"], "d": ["x", "y"], "y": [0, 1]})
OPTIONS = {"hash_bits": 3, "interactions": [("c", "d")]}


def dataset(table=TABLE, **options):
    return as_dataset(table, "y", **OPTIONS | options)


def test_columns_are_found_by_name():
    later = dataset(TABLE.select(["y", "d", "b", "c", "a"]))
    assert later.spec != dataset().spec
    assert with_features_of(later, dataset().spec).spec == dataset().spec


@pytest.mark.parametrize(
    ("later", "error", "message"),
    [
        (lambda: dataset(TABLE.drop_columns("b")), DataError, "the column 'b'"),
        (lambda: dataset(TABLE.rename_columns(["a", "z", "c", "d", "y"])), DataError, "the column 'b'"),
        (lambda: dataset(TABLE.append_column("e", [[0.0, 1.0]])), ConfigError, "column 'e' is none"),
        (lambda: dataset(categorical=["c", "d", "a"]), DataError, "'a' is numeric in the model"),
        (lambda: dataset(hash_bits=4), DataError, "hash_bits=3.*hash_bits=4"),
        (lambda: dataset(vocabulary={"c": ["u", "v"]}), DataError, "vocabulary"),
        (lambda: dataset(interactions=[]), ConfigError, "interactions"),
        (lambda: dataset(hash_bits={"c": 3, "d": 3, ("c", "d"): 5}), ConfigError, "interactions"),
        (lambda: as_dataset(np.eye(2), [0, 1]), ConfigError, "start anew"),
    ],
)
def test_other_features_are_refused(later, error, message):
    with pytest.raises(error, match=message):
        with_features_of(later(), dataset().spec)


def test_vocabularies_that_differ_anywhere_are_refused():
    values = [f"w{i}" for i in range(20)]
    spec = dataset(vocabulary={"c": values}).spec
    with pytest.raises(DataError, match="'c'"):
        with_features_of(dataset(vocabulary={"c": [*values[:-1], "other"]}), spec)


def test_a_matrix_after_named_numbers_goes_by_position():
    named = as_dataset(TABLE.select(["a", "b", "y"]), "y")
    assert with_features_of(as_dataset(np.eye(2), [0, 1]), named.spec).spec == named.spec
    with pytest.raises(ConfigError, match="without column names"):
        with_features_of(named, as_dataset(np.eye(2), [0, 1]).spec)


def test_a_matrix_may_be_sparse_or_dense():
    dense, sparse = as_dataset(np.eye(3), [0, 1, 1]), as_dataset(scipy.sparse.eye(3, format="csr"), [0, 1, 1])
    for later, model in ((dense, sparse), (sparse, dense)):
        assert with_features_of(later, model.spec).spec == later.spec
    with pytest.raises(ConfigError, match="3 weights and this data has 2"):
        with_features_of(as_dataset(np.eye(2), [0, 1]), dense.spec)


def test_means_of_the_model_go_on_being_used():
    spec = dataset(missing="mean").spec.with_means([0.5, 0.25])
    assert with_features_of(dataset(missing="mean"), spec).spec.means == (0.5, 0.25)
    assert with_features_of(dataset(), spec).spec.means is None
