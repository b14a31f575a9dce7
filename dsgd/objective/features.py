"""Features of some rows in the weights that are in use, dense or sparse: what sums over a sample of rows are made of.

Both kinds have p = a + 1 columns, the last one the constant 1 of the intercept, in the fit's dtype; sums are float64.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from scipy.sparse import csr_array

from ..kernels.active import copy_active
from ..kernels.curvature import weighted_gram
from ..kernels.gram import add_gram, add_largest, copy_entries, row_forms
from ..kernels.rows import Rows
from .problem import Problem

# Rows whose products are summed in the fit's dtype before they are added up in float64.
_CHUNK = 1 << 13
# A product of dense matrices does so many additions while one of scattered entries is done.
_SCATTERED = 20


class Features(Protocol):
    """The features of n rows."""

    def every(self, step: int) -> "Features":
        """Every so-many-th row."""
        ...

    def scores(self, weights: np.ndarray) -> np.ndarray:
        """``X W`` for weights of shape (p, k); shape (n, k)."""
        ...

    def pull_back(self, slopes: np.ndarray) -> np.ndarray:
        """``X' S`` for slopes of shape (n, k); shape (p, k), float64."""
        ...

    def gram(self, weight: np.ndarray) -> np.ndarray:
        """``sum_i weight_i x_i x_i'``; shape (p, p), float64."""
        ...

    def sizes(self, matrix: np.ndarray) -> np.ndarray:
        """``x_i' M x_i`` of every row, for M of shape (p, p), or a diagonal of shape (p,); shape (n,)."""
        ...

    def squares(self, weight: np.ndarray) -> np.ndarray:
        """Sum of weight x square of every feature; shape (p,), float64."""
        ...

    def largest_squares(self, weight: np.ndarray) -> np.ndarray:
        """Largest weight x square of every feature; shape (p,), float64."""
        ...


def better_sparse(entries: float, weights: int) -> bool:
    """Whether rows of so many entries are better kept sparse, among so many weights in use."""
    return _SCATTERED * (entries + 1) ** 2 < (weights + 1) ** 2


@dataclass(frozen=True)
class DenseFeatures:
    """Features as a matrix of shape (n, p)."""

    matrix: np.ndarray

    def every(self, step: int) -> "DenseFeatures":
        """Every so-many-th row."""
        return self if step == 1 else DenseFeatures(np.ascontiguousarray(self.matrix[::step]))

    def scores(self, weights: np.ndarray) -> np.ndarray:
        """``X W``."""
        return self.matrix @ weights

    def pull_back(self, slopes: np.ndarray) -> np.ndarray:
        """``X' S``."""
        return (self.matrix.T @ slopes).astype(np.float64)

    def gram(self, weight: np.ndarray) -> np.ndarray:
        """``sum_i weight_i x_i x_i'``."""
        return weighted_gram(self.matrix, weight)

    def sizes(self, matrix: np.ndarray) -> np.ndarray:
        """``x_i' M x_i`` of every row."""
        matrix = matrix.astype(self.matrix.dtype)
        if matrix.ndim == 1:
            return (self.matrix * self.matrix) @ matrix
        return np.einsum("ij,ij->i", self.matrix @ matrix, self.matrix)

    def squares(self, weight: np.ndarray) -> np.ndarray:
        """Sum of weight x square of every feature."""
        total = np.zeros(self.matrix.shape[1])
        for start in range(0, len(weight), _CHUNK):
            part = self.matrix[start : start + _CHUNK]
            total += weight[start : start + _CHUNK] @ (part * part)
        return total

    def largest_squares(self, weight: np.ndarray) -> np.ndarray:
        """Largest weight x square of every feature."""
        largest = np.zeros(self.matrix.shape[1])
        for start in range(0, len(weight), _CHUNK):
            part = self.matrix[start : start + _CHUNK]
            largest = np.maximum(largest, (part * part * weight[start : start + _CHUNK, None]).max(axis=0))
        return largest


@dataclass(frozen=True)
class SparseFeatures:
    """Features as a CSR matrix of shape (n, p), entries in any order, repeated ones adding up."""

    matrix: csr_array

    def every(self, step: int) -> "SparseFeatures":
        """Every so-many-th row."""
        return self if step == 1 else SparseFeatures(self.matrix[::step])

    def scores(self, weights: np.ndarray) -> np.ndarray:
        """``X W``."""
        return self.matrix @ weights

    def pull_back(self, slopes: np.ndarray) -> np.ndarray:
        """``X' S``."""
        return self.matrix.T @ slopes.astype(np.float64)

    def gram(self, weight: np.ndarray) -> np.ndarray:
        """``sum_i weight_i x_i x_i'``."""
        half = np.zeros((self.matrix.shape[1],) * 2)
        add_gram(self.matrix.indptr, self.matrix.indices, self.matrix.data, weight, half)
        return half + half.T

    def sizes(self, matrix: np.ndarray) -> np.ndarray:
        """``x_i' M x_i`` of every row."""
        if matrix.ndim == 1:
            return self.matrix.power(2) @ matrix
        out = np.zeros(self.matrix.shape[0])
        row_forms(self.matrix.indptr, self.matrix.indices, self.matrix.data, matrix, out)
        return out

    def squares(self, weight: np.ndarray) -> np.ndarray:
        """Sum of weight x square of every feature."""
        return self.matrix.power(2).T @ weight.astype(np.float64)

    def largest_squares(self, weight: np.ndarray) -> np.ndarray:
        """Largest weight x square of every feature."""
        largest = np.zeros(self.matrix.shape[1])
        add_largest(self.matrix.indptr, self.matrix.indices, self.matrix.data, weight, largest)
        return largest


def dense_features(problem: Problem, rows: Rows, chosen: np.ndarray, position: np.ndarray, width: int) -> np.ndarray:
    """The chosen rows of a block as a matrix of shape (len(chosen), width); ``position`` is (d,), -1 for unused weights."""
    dense, frame = problem.layout.dense, problem.frame
    out = np.zeros((len(chosen), width), problem.dtype)
    out[:, :dense] = rows.dense[chosen]
    if frame.scale.size:
        out[:, :dense] -= frame.center
        out[:, :dense] *= frame.scale
    if problem.layout.size > dense:
        copy_active(rows, frame, chosen, position, out, _one_row(problem))
    out[:, -1] = 1.0
    return out


def sparse_features(problem: Problem, rows: Rows, chosen: np.ndarray, position: np.ndarray, width: int) -> csr_array:
    """As ``dense_features``, sparse."""
    layout = problem.layout
    room = len(chosen) * (layout.dense + layout.codes + layout.crosses.count + 1)
    if rows.indptr.size > 1:
        room += int((rows.indptr[chosen + 1] - rows.indptr[chosen]).sum())
    indptr = np.zeros(len(chosen) + 1, np.int32)
    indices, values = np.empty(room, np.int32), np.empty(room, problem.dtype)
    count = copy_entries(
        rows, problem.frame, chosen, position, indptr, indices, values, np.int32(width - 1), _one_row(problem)
    )
    return csr_array((values[:count], indices[:count], indptr), shape=(len(chosen), width))


def stack(parts: Sequence[Any], width: int, dtype: np.dtype, sparse: bool) -> Features:
    """The features of several blocks."""
    if not sparse:
        return DenseFeatures(np.concatenate([np.zeros((0, width), dtype), *parts]))
    indptr = np.concatenate([[0], *(np.diff(part.indptr) for part in parts)]).cumsum().astype(np.int32)
    indices = np.concatenate([np.zeros(0, np.int32), *(part.indices for part in parts)])
    values = np.concatenate([np.zeros(0, dtype), *(part.data for part in parts)])
    return SparseFeatures(csr_array((values, indices, indptr), shape=(len(indptr) - 1, width)))


def _one_row(problem: Problem) -> np.ndarray:
    return np.zeros((1, problem.layout.codes + problem.layout.crosses.count), np.int32)
