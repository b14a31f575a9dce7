"""FeatureSpec: layouts, JSON, and the options that make one."""

import json

import numpy as np
import pyarrow as pa
import pytest

from dsgd.data import Encoder, FeatureSpec, as_dataset
from dsgd.data.spec import Categorical, Interaction, Vector
from dsgd.errors import ConfigError, DataError


@pytest.fixture
def full_spec():
    return FeatureSpec(
        numeric=("a", "b"),
        categorical=(Categorical("c", 4), Categorical("d", values=("x", None, 3)), Categorical("e", 5)),
        vectors=(Vector("s", 7, sparse=True), Vector("v", 3)),
        interactions=(Interaction(("c", "d"), 6), Interaction(("e", "c", "d"), 3)),
        missing="mean",
        means=(0.5, 1.5, 0.0, 0.0, 0.0),
    )


def test_each_column_owns_its_range(full_spec):
    layout = full_spec.layout
    ranges = [(c.name, c.kind, c.start, c.stop) for c in layout.columns]
    assert ranges == [
        ("a", "numeric", 0, 1),
        ("b", "numeric", 1, 2),
        ("v", "vector", 2, 5),
        ("c", "categorical", 5, 21),
        ("d", "categorical", 21, 25),
        ("e", "categorical", 25, 57),
        ("c x d", "interaction", 57, 121),
        ("e x c x d", "interaction", 121, 129),
        ("s", "sparse", 129, 136),
    ]
    assert (layout.dense, layout.codes, layout.size, full_spec.sparse_start) == (5, 3, 136, 129)
    assert layout.crosses.columns.tolist() == [[0, 1, -1], [2, 0, 1]]
    assert layout.crosses.start.tolist() == [57, 121]
    assert layout.crosses.mask.tolist() == [63, 7]


def test_json_and_back(full_spec):
    again = FeatureSpec.from_dict(json.loads(json.dumps(full_spec.to_dict())))
    assert again == full_spec
    assert again.layout.columns == full_spec.layout.columns


def test_groups_left_out_take_the_columns_of_their_types(trips):
    def spec(**options):
        return as_dataset(trips, "late", "fare", **options).spec

    default = spec()
    assert default.numeric == ("distance", "delay", "hour")
    assert [c.name for c in default.categorical] == ["city", "rain"]
    assert spec(categorical=["hour"]).numeric == ("distance", "delay")
    assert [c.name for c in spec(numeric=["delay"]).categorical] == ["city", "rain"]
    only = spec(numeric=["delay"], categorical=["hour"])
    assert only.columns == ("delay", "hour")


def test_bits_by_column_and_by_cross(trips):
    bits = {"city": 3, ("city", "hour"): 5}
    spec = as_dataset(trips, categorical=["city", "hour"], interactions=[["city", "hour"]], hash_bits=bits).spec
    assert [c.bits for c in spec.categorical] == [3, 18]
    assert spec.interactions == (Interaction(("city", "hour"), 5),)


def test_integers_of_numpy_are_bits(trips):
    spec = as_dataset(trips, "late", hash_bits=np.int64(4)).spec
    assert json.loads(json.dumps(spec.to_dict()))["categorical"][0]["bits"] == 4


@pytest.mark.parametrize(
    "values",
    [
        np.arange(24),
        np.arange(24.0),
        pa.array(range(24)),
        [float(hour) for hour in range(24)],
        [np.int8(hour) for hour in range(24)],
        [str(hour) for hour in range(24)],
    ],
    ids=lambda values: f"{type(values).__name__} of {type(values[0]).__name__}",
)
def test_a_vocabulary_is_known_by_its_text(trips, values):
    dataset = as_dataset(trips, "late", numeric=["delay"], categorical=["hour"], vocabulary={"hour": values})
    again = FeatureSpec.from_dict(json.loads(json.dumps(dataset.spec.to_dict())))
    assert again == dataset.spec
    encoder = Encoder(again, dataset.roles, np.float32)
    (block,) = dataset.blocks(dataset.splits()[0], encoder, trips.num_rows)
    np.testing.assert_array_equal(block.codes[:, 0] - 1, trips["hour"].to_numpy())


def test_not_a_number_in_a_vocabulary_is_what_is_missing(trips):
    spec = as_dataset(trips, "late", vocabulary={"city": np.array(["Ulm", np.nan], object)}).spec
    assert spec.categorical[0].values == ("Ulm", None)


WRONG = [
    ({"numeric": ["nope"]}, DataError, "no column 'nope'"),
    ({"numeric": ["city"]}, DataError, "'city' of type string is named in numeric, which takes numbers"),
    ({"categorical": ["tags"]}, DataError, "'tags' of type list.* is named in categorical"),
    ({"vectors": ["delay"]}, DataError, "'delay' of type double is named in vectors"),
    ({"numeric": "delay"}, ConfigError, r"write \['delay'\]"),
    ({"numeric": ["late"]}, ConfigError, "'late' is the label, weight or offset"),
    ({"numeric": ["hour"], "categorical": ["hour"]}, ConfigError, "'hour' is named as a feature more than once"),
    (
        {"interactions": [("city", "delay")]},
        ConfigError,
        "'delay' is a numeric or vector column .* add 'delay' to categorical",
    ),
    ({"interactions": [("city", "nope")]}, ConfigError, "names 'nope', which is not one of the categorical columns"),
    ({"interactions": [("city",)]}, ConfigError, "needs two columns or more"),
    ({"interactions": ["city"]}, ConfigError, "tuple of column names"),
    ({"interactions": [("city", "rain"), ("city", "rain")]}, ConfigError, "names a tuple twice"),
    ({"hash_bits": 31}, ConfigError, "must be from 1 to 30"),
    ({"hash_bits": 30}, ConfigError, "lower hash_bits"),
    ({"hash_bits": {"nope": 4}}, ConfigError, "hash_bits names .*nope"),
    ({"vocabulary": {"delay": [1]}}, ConfigError, "vocabulary names .*delay"),
    ({"vocabulary": {"city": ["a", "a"]}}, ConfigError, "names a value twice"),
    ({"vocabulary": {"city": [1, "1"]}}, ConfigError, "names a value twice"),
    ({"vocabulary": {"city": [0.5]}}, ConfigError, "vocabulary of 'city' has the value 0.5 of type float"),
    ({"vocabulary": {"city": [b"a"]}}, ConfigError, "vocabulary of 'city' has the value b'a' of type bytes"),
    ({"vocabulary": {"city": "abc"}}, ConfigError, "vocabulary of 'city' must be a list"),
    ({"hash_bits": 4.5}, ConfigError, "hash_bits must be an integer"),
    ({"hash_bits": {"city": 4.5}}, ConfigError, "hash_bits must be an integer"),
    ({"missing": "zero"}, ConfigError, "missing must be"),
    ({"numeric": [], "categorical": [], "vectors": []}, ConfigError, "no feature columns are left"),
]


@pytest.mark.parametrize(("options", "error", "message"), WRONG, ids=[str(options) for options, _, _ in WRONG])
def test_options_that_cannot_be(trips, options, error, message):
    table = trips.append_column("tags", pa.array([["a"]] * trips.num_rows))
    options = {"categorical": ["city", "rain"]} | options if "numeric" not in options else options
    with pytest.raises(error, match=message):
        as_dataset(table, "late", **options)


def test_a_column_of_no_use_is_named():
    table = pa.table({"x": [1.0], "t": pa.array([0], pa.timestamp("s"))})
    with pytest.raises(ConfigError, match=r"'t' of type timestamp\[s\] is neither"):
        as_dataset(table)
    assert as_dataset(table, numeric=["x"]).spec.columns == ("x",)


def test_columns_of_one_name():
    table = pa.Table.from_arrays([np.ones(2), np.ones(2)], names=["x", "x"])
    with pytest.raises(ConfigError, match="2 columns named 'x'"):
        as_dataset(table)
