"""Statistics form a monoid: any way of cutting the rows gives what numpy finds over all of them."""

from functools import reduce
from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dsgd.data import FeatureSpec, Statistics, make_block, merge
from dsgd.data.gather_statistics import StatisticsPass
from dsgd.data.labels import LabelCodes
from dsgd.data.spec import Vector

FLOATS = st.floats(-1e4, 1e4, width=32)
SPEC = FeatureSpec(("a", "b", "c"), vectors=(Vector("v", 5, sparse=True),))


def statistics_of(block, cuts) -> list[Statistics]:
    """The statistics of the block's rows between the cuts, each from a pass of its own."""
    edges = [0, *sorted(min(cut, block.rows) for cut in cuts), block.rows]
    found = []
    for start, stop in pairwise(edges):
        one = StatisticsPass(SPEC, block.dense.dtype)
        one.add(block.slice(start, stop))
        codes = LabelCodes()
        codes.kind = "float" if stop > start else ""
        found.append(one.result(codes))
    return found


@st.composite
def blocks(draw):
    n = draw(st.integers(1, 40))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    dense = draw(hnp.arrays(dtype, (n, 3), elements=FLOATS))
    sparse = draw(hnp.arrays(dtype, (n, 5), elements=FLOATS)) * draw(hnp.arrays(bool, (n, 5)))
    weight = draw(st.none() | hnp.arrays(dtype, n, elements=st.floats(0, 8, width=32)))
    label = draw(hnp.arrays(dtype, n, elements=st.sampled_from([-1.5, 0.0, 2.0, 7.25])))
    rows, columns = sparse.nonzero()
    indptr = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=n))])
    block = make_block(
        label, dense=dense, weight=weight, indptr=indptr, indices=columns + 3, values=sparse[rows, columns], dtype=dtype
    )
    return block, sparse


@given(blocks(), st.lists(st.integers(0, 40), max_size=4))
@settings(deadline=None)
def test_parts_merge_to_the_whole(drawn, cuts):
    block, sparse = drawn
    merged = reduce(merge, statistics_of(block, cuts))
    weight = block.weight.astype(float) if block.weight.size else np.ones(block.rows)
    dense, sparse, label = block.dense.astype(float), sparse.astype(float), block.label.astype(float)
    total = weight.sum()
    assert merged.rows == block.rows
    np.testing.assert_allclose(merged.weight, total, rtol=1e-6)
    np.testing.assert_allclose(merged.sparse_sum, weight @ sparse, rtol=1e-5, atol=1e-2)
    np.testing.assert_allclose(merged.sparse_square, weight @ sparse**2, rtol=1e-5, atol=1e-4)
    norms = (dense**2).sum(1) + (sparse**2).sum(1)
    np.testing.assert_allclose(merged.norm_sum, weight @ norms, rtol=1e-4, atol=1e-3)
    classes = np.unique(label)
    np.testing.assert_array_equal(merged.label.classes, classes)
    np.testing.assert_array_equal(merged.label.class_rows, [(label == value).sum() for value in classes])
    np.testing.assert_allclose(
        merged.label.class_weight, [weight[label == value].sum() for value in classes], rtol=1e-6, atol=1e-9
    )
    assert (merged.label.low, merged.label.high) == (label.min(), label.max())
    if total > 1e-3:
        mean = weight @ dense / total
        scale = abs(dense).max(0) + 1e-3
        assert (abs(merged.mean - mean) <= 1e-5 * scale).all()
        assert (abs(merged.variance - weight @ (dense - mean) ** 2 / total) <= 1e-4 * scale**2).all()
        np.testing.assert_allclose(merged.label.mean, weight @ label / total, rtol=1e-6, atol=1e-6)


@given(blocks())
@settings(deadline=None)
def test_bytes_and_back(drawn):
    block, _ = drawn
    (whole,) = statistics_of(block, [])
    again = Statistics.from_bytes(whole.to_bytes())
    assert again.to_bytes() == whole.to_bytes()


def test_a_large_mean_costs_the_variance_no_digits():
    rng = np.random.default_rng(1)
    dense = (1e6 + rng.integers(-8, 8, (5000, 3))).astype(np.float32)
    one = StatisticsPass(FeatureSpec(("a", "b", "c")))
    one.add(make_block(np.zeros(5000), dense=dense))
    np.testing.assert_allclose(one.result(LabelCodes()).variance, dense.astype(float).var(0), rtol=1e-6)


def test_more_than_ten_thousand_values_are_no_classes():
    one = StatisticsPass(FeatureSpec(("a",)), np.float64)
    one.add(make_block(np.arange(10_000), dense=np.ones((10_000, 1)), dtype=np.float64))
    codes = LabelCodes()
    codes.kind = "float"
    few = one.result(codes)
    one.add(make_block([-1.0], dense=np.ones((1, 1)), dtype=np.float64))
    assert len(few.label.classes) == 10_000
    assert one.result(codes).label.classes is None
