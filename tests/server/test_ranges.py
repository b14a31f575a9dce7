"""Ranges of weights: the parts put together are the whole, listed or not, and none has much more to do than the others."""

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dsgd.server.ranges import STRETCHES, Ranges, cut, stretches

loads = arrays(np.float64, st.integers(1, 60), elements=st.floats(0, 1e6, allow_subnormal=False))


@settings(deadline=None)
@given(load=loads, shards=st.integers(1, 8))
def test_ranges_follow_each_other_and_share_the_load(load, shards):
    edges = cut(load, shards)
    assert edges.dtype == np.int64
    assert (edges[0], edges[-1], len(edges)) == (0, len(load), shards + 1)
    sizes = np.diff(edges)
    assert (sizes >= (len(load) >= shards)).all()
    # Within one feature's load of what is fair, where there is more than the one feature that every range must have.
    parts = np.array([load[a:z].sum() for a, z in pairwise(edges)])
    room = load.max() + load.mean() * len(load) / 1000
    assert ((parts <= load.sum() / shards + room * 1.001) | (sizes <= 1)).all()


def test_a_feature_that_is_never_used_takes_a_little_room():
    assert cut(np.zeros(8), 4).tolist() == [0, 2, 4, 6, 8]
    assert cut(np.array([8.0, 0, 0, 0, 0, 0, 0, 8.0]), 2).tolist() == [0, 4, 8]


@settings(deadline=None)
@given(
    load=arrays(np.float64, STRETCHES, elements=st.floats(0, 1e6, allow_subnormal=False)),
    features=st.integers(STRETCHES + 1, 10**7),
    shards=st.integers(1, 8),
)
def test_stretches_share_the_load_too(load, features, shards):
    edges = cut(load, shards, features)
    assert (edges[0], edges[-1], len(edges)) == (0, features, shards + 1)
    assert (np.diff(edges) > 0).all()
    total = np.interp(edges, stretches(features), np.concatenate([[0.0], np.cumsum(load)]))
    # A feature of the heaviest stretch at either end, and what features that are never used count for.
    room = 2 * (load / np.diff(stretches(features))).max() + load.sum() / 500
    assert (np.diff(total) <= load.sum() / shards + room).all()


@st.composite
def divided(draw):
    """Ranges, a vector of the whole, and some of its features."""
    features, outputs, shards = draw(st.integers(1, 30)), draw(st.integers(1, 3)), draw(st.integers(1, 5))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    ranges = Ranges(cut(draw(arrays(np.float64, features, elements=st.floats(0, 9))), shards), outputs)
    some = draw(st.lists(st.integers(0, features - 1), unique=True).map(sorted))
    vector = np.arange(1, features * outputs + 1).astype(dtype)
    return ranges, vector, np.array(some, np.int32)


@settings(deadline=None)
@given(case=divided())
def test_parts_are_put_together_as_they_were(case):
    ranges, vector, _ = case
    parts, whole = ranges.parts(vector), np.zeros_like(vector)
    for shard, part in enumerate(parts):
        assert part.dtype == vector.dtype
        assert not np.shares_memory(part, vector)
        # All but the last end with an intercept that is not theirs.
        own = ranges.edges[shard + 1] - ranges.edges[shard] + (shard < ranges.shards - 1)
        assert len(part) == own * ranges.outputs
        assert shard == ranges.shards - 1 or not part[-ranges.outputs :].any()
        ranges.put(part, shard, whole)
    np.testing.assert_array_equal(whole, vector)


@settings(deadline=None)
@given(case=divided())
def test_lists_name_what_the_parts_have_there(case):
    ranges, vector, some = case
    values = vector.reshape(-1, ranges.outputs)[some].ravel()
    lists, (columns, same) = ranges.listed(some, [values, values])
    cuts = ranges.cuts(some)
    for shard, (own, column) in enumerate(zip(lists, columns, strict=True)):
        assert own.dtype == np.int32
        found = ranges.part(vector, shard).reshape(-1, ranges.outputs)[own].ravel()
        np.testing.assert_array_equal(found, column)
        np.testing.assert_array_equal(own + ranges.edges[shard], some[cuts[shard] : cuts[shard + 1]])
    np.testing.assert_array_equal(np.concatenate(columns), values)
    np.testing.assert_array_equal(np.concatenate(same), values)
