"""Sparse rows as Spark stores its vectors, in Arrow."""

import numpy as np
import pyarrow as pa
import scipy.sparse


def spark_vectors(X) -> pa.StructArray:
    """The rows of a sparse matrix of shape (n, d) as structs (type, size, indices, values), without Spark."""
    X = scipy.sparse.csr_array(X)
    edges = pa.array(X.indptr.astype(np.int32))
    parts = {
        "type": pa.array(np.zeros(X.shape[0], np.int8)),
        "size": pa.array(np.full(X.shape[0], X.shape[1], np.int32)),
        "indices": pa.ListArray.from_arrays(edges, pa.array(X.indices.astype(np.int32))),
        "values": pa.ListArray.from_arrays(edges, pa.array(X.data.astype(np.float64))),
    }
    return pa.StructArray.from_arrays(list(parts.values()), list(parts))
