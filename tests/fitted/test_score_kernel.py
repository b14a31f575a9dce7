"""The scoring kernels against matrix products, for every part that a row can have."""

import numpy as np
import pytest
import scipy.sparse

from dsgd.data import make_block
from dsgd.data.layout import Crosses, no_crosses
from dsgd.kernels.expand import expand_codes
from dsgd.kernels.rows import Rows, read_only
from dsgd.kernels.score import RUN, plain_frame, score_rows

DENSE, CODES, BITS, SPARSE = 3, 2, 4, 6
WIDTH = DENSE + CODES * 2**BITS
CROSSES = Crosses(np.array([[0, 1]], np.int32), np.array([WIDTH]), np.array([2**BITS - 1]))


def random_rows(n, dtype, *, parts, offset=False):
    """A block with the named parts, and its features as one matrix of shape (n, d)."""
    rng = np.random.default_rng(n)
    size = WIDTH + 2**BITS + SPARSE
    matrix, arrays = np.zeros((n, size)), {}
    if "dense" in parts:
        arrays["dense"] = rng.normal(size=(n, DENSE))
        matrix[:, :DENSE] = arrays["dense"]
    if "codes" in parts:
        starts = DENSE + 2**BITS * np.arange(CODES)
        codes = (rng.integers(2**BITS, size=(n, CODES)) + starts).astype(np.int32)
        arrays["codes"] = codes
        if "crosses" in parts:
            crossed = np.empty((n, CODES + 1), np.int32)
            expand_codes(codes, 0, n, CROSSES.columns, CROSSES.start, CROSSES.mask, crossed)
            codes = crossed
        np.add.at(matrix, (np.arange(n)[:, None], codes), 1.0)
    if "sparse" in parts:
        sparse = scipy.sparse.random(n, SPARSE, 0.4, format="csr", random_state=rng)
        matrix[:, size - SPARSE :] = sparse.toarray()
        arrays |= {"indptr": sparse.indptr, "indices": sparse.indices + size - SPARSE, "values": sparse.data}
    if offset:
        arrays["offset"] = rng.normal(size=n)
    return make_block(np.zeros(n), dtype=dtype, **arrays), matrix


@pytest.mark.parametrize("parts", ["dense", "codes", "sparse", "codes crosses", "dense codes crosses sparse"])
@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scores_are_the_matrix_product(parts, outputs, dtype):
    n = 2 * RUN + 5  # Two whole runs and a part of one.
    block, matrix = random_rows(n, dtype, parts=parts.split(), offset=outputs == 3)
    crosses = CROSSES if "crosses" in parts else no_crosses()
    params = np.random.default_rng(1).normal(size=(matrix.shape[1] + 1, outputs))
    expected = matrix @ params[:-1] + params[-1]
    if block.offset.size:
        expected += block.offset[:, None]

    found = score_rows(
        read_only(Rows(**vars(block))), plain_frame(crosses, dtype), params.astype(dtype).ravel(), outputs
    )

    assert found.dtype == dtype
    assert found.shape == ((n,) if outputs == 1 else (n, outputs))
    tolerance = 1e-4 if dtype == np.float32 else 1e-12
    np.testing.assert_allclose(found.reshape(n, outputs), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("outputs", [1, 2])
def test_no_rows(outputs):
    block = make_block(np.empty(0), dense=np.empty((0, 2)))
    scores = score_rows(
        read_only(Rows(**vars(block))),
        plain_frame(no_crosses(), np.float32),
        np.zeros(3 * outputs, np.float32),
        outputs,
    )
    assert scores.shape == ((0,) if outputs == 1 else (0, 2))
