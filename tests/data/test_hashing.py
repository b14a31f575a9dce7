"""Hashes and crosses against their specification, for arbitrary input."""

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dsgd.data import FeatureSpec, encode_batch
from dsgd.data.spec import Categorical, Interaction
from dsgd.kernels.expand import expand_codes
from dsgd.kernels.hashing import hash_strings, xxhash64

from .reference import category_code, expand, xxh64

SEEDS = st.integers(0, 2**64 - 1)


@settings(deadline=None)
@given(st.binary(max_size=200), SEEDS)
def test_hash_is_xxh64(data, seed):
    padded = np.frombuffer(b"\xff" + data + b"\xff", np.uint8)
    assert int(xxhash64(padded, 1, 1 + len(data), np.uint64(seed))) == xxh64(data, seed)


@settings(deadline=None)
@given(
    st.lists(st.text(max_size=40), max_size=30), SEEDS, st.integers(1, 30), st.sampled_from(["string", "large_string"])
)
def test_columns_of_strings_hash_value_by_value(values, seed, bits, kind):
    array = pa.array(["before", *values], getattr(pa, kind)()).slice(1)
    _, offsets, data = array.buffers()
    ends = np.frombuffer(offsets, np.int32 if kind == "string" else np.int64)[1 : len(values) + 2]
    bytes_ = np.frombuffer(data, np.uint8)
    out = np.empty(len(values), np.int32)
    mask = 2**bits - 1
    hash_strings(bytes_, ends, np.uint64(seed), 7, mask, out)
    assert out.tolist() == [7 + (xxh64(value.encode(), seed) & mask) for value in values]


@given(
    st.lists(st.tuples(st.none() | st.text(max_size=9), st.none() | st.integers(-(2**40), 2**40)), max_size=20),
    st.integers(1, 20),
)
@settings(deadline=None)
def test_categories_hash_as_their_text(rows, bits):
    batch = pa.record_batch(
        {"a": pa.array([a for a, _ in rows], pa.string()), "b": pa.array([b for _, b in rows], pa.int64())}
    )
    spec = FeatureSpec(categorical=(Categorical("a", bits), Categorical("b", bits)))
    expected = [[category_code(a, 0, bits), category_code(b, 2**bits, bits)] for a, b in rows]
    assert encode_batch(spec, batch).codes.tolist() == expected


@given(st.data())
@settings(deadline=None)
def test_crosses_are_mixed_from_codes(data):
    n, c, m, q = (data.draw(st.integers(low, high)) for low, high in ((0, 6), (2, 5), (0, 4), (2, 3)))
    codes = data.draw(hnp.arrays(np.int32, (n, c), elements=st.integers(0, 2**31 - 2)))
    columns = data.draw(hnp.arrays(np.int32, (m, q), elements=st.integers(-1, c - 1)))
    start = data.draw(hnp.arrays(np.int64, m, elements=st.integers(0, 2**30)))
    mask = 2 ** data.draw(hnp.arrays(np.int64, m, elements=st.integers(1, 30))) - 1
    first = data.draw(st.integers(0, n))
    out = np.zeros((n - first + 2, c + m), np.int32)
    expand_codes(codes, first, n, columns, start, mask, out)
    assert np.array_equal(out[: n - first], expand(codes[first:], columns, start, mask))
    assert not out[n - first :].any()


def test_crosses_of_a_spec_stay_in_their_ranges():
    rng = np.random.default_rng(0)
    spec = FeatureSpec(
        categorical=(Categorical("city", 10), Categorical("hour", 8)),
        interactions=(Interaction(("city", "hour"), 16), Interaction(("hour", "city"), 4)),
    )
    table = {"city": pa.array(rng.integers(0, 40, 2000)), "hour": pa.array(rng.integers(0, 24, 2000))}
    codes = encode_batch(spec, pa.record_batch(table)).codes
    crosses = spec.layout.crosses
    out = np.empty((len(codes), codes.shape[1] + crosses.count), np.int32)
    expand_codes(codes, 0, len(codes), crosses.columns, crosses.start, crosses.mask, out)
    for column, values in zip(spec.layout.columns, out.T, strict=True):
        assert (values >= column.start).all()
        assert (values < column.stop).all()
    # Different pairs of cities and hours rarely meet: the cross is as varied as the pairs are.
    assert len(np.unique(out[:, 2])) > 0.95 * len(np.unique(codes[:, :2], axis=0))
