"""Sums of sparse vectors against sums of dense ones, in the order of the lists: the same bits."""

import numpy as np
import pytest

from dsgd.kernels.merge import _MANY, merge_sparse

MOST = np.iinfo(np.int32).max


def vectors(count, width, dtype, seed):
    random = np.random.default_rng(seed)
    for number in range(count):
        size = 0 if number == 1 else int(random.integers(1, 60))
        indices = np.unique(np.append(random.integers(0, 100, size), [MOST][: number % 2 * size])).astype(np.int32)
        yield indices, random.normal(size=(len(indices), width)).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("width", [1, 3])
@pytest.mark.parametrize("count", [1, 2, 3, _MANY - 1, _MANY, 20])
def test_merges_add_in_the_order_of_the_lists(count, width, dtype):
    lists = list(vectors(count, width, dtype, seed=count))
    expected = {}
    for indices, values in lists:
        for index, value in zip(indices.tolist(), values, strict=True):
            expected[index] = expected[index] + value if index in expected else value
    offsets = np.cumsum([0, *(len(indices) for indices, _ in lists)])
    found, sums = merge_sparse(*(np.concatenate(parts) for parts in zip(*lists, strict=True)), offsets)
    assert found.tolist() == sorted(expected)
    assert found.dtype == np.int32
    np.testing.assert_array_equal(sums, np.array([expected[index] for index in sorted(expected)], dtype))
