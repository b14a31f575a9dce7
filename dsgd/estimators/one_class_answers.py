"""What a one-class machine answers once it is fitted: distances to the boundary, outliers, and its coefficients sparse or not."""

from typing import Any

import numpy as np
import scipy.sparse
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from ..data.dataset import Dataset
from ..errors import DataError


class OneClassAnswers(OutlierMixin, BaseEstimator):
    """The half of an estimator that needs ``coef_`` and ``offset_``, and how it takes rows."""

    coef_: Any
    offset_: np.ndarray

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def decision_function(self, X):
        """Return the signed distance to the boundary, in units of the score: negative for outliers.

        Parameters
        ----------
        X : as in :meth:`fit`

        Returns
        -------
        ndarray of shape (n,)

        Raises
        ------
        DataError, NotFittedError
        """
        return self.score_samples(X) - self.offset_

    def score_samples(self, X):
        """Return the scores, ``decision_function`` without the offset.

        Parameters
        ----------
        X : as in :meth:`fit`

        Returns
        -------
        ndarray of shape (n,)

        Raises
        ------
        DataError, NotFittedError
        """
        check_is_fitted(self, "coef_")
        X = self._checked(X, reset=False)
        product = X @ (self.coef_.T if scipy.sparse.issparse(self.coef_) else self.coef_)
        return (product.toarray() if scipy.sparse.issparse(product) else np.asarray(product)).ravel()

    def predict(self, X):
        """Return 1 for rows like most others and -1 for outliers.

        Parameters
        ----------
        X : as in :meth:`fit`

        Returns
        -------
        ndarray of shape (n,), int32

        Raises
        ------
        DataError, NotFittedError
        """
        return np.where(self.decision_function(X) >= 0, 1, -1).astype(np.int32)

    def sparsify(self):
        """Turn ``coef_`` into a sparse matrix of shape (1, d).

        Returns
        -------
        self

        Raises
        ------
        NotFittedError
        """
        check_is_fitted(self, "coef_")
        self.coef_ = scipy.sparse.csr_matrix(self.coef_)
        return self

    def densify(self):
        """Turn ``coef_`` into an array again.

        Returns
        -------
        self

        Raises
        ------
        NotFittedError
        """
        check_is_fitted(self, "coef_")
        if scipy.sparse.issparse(self.coef_):
            self.coef_ = self.coef_.toarray().ravel()
        return self

    def _checked(self, X, *, reset: bool):
        if isinstance(X, Dataset):
            raise DataError(
                f"{type(self).__name__} takes a matrix or a frame of numbers in memory, not {X!r}; read the files first, as by "
                "pandas.read_parquet"
            )
        try:
            return validate_data(
                self,
                X,
                reset=reset,
                accept_sparse="csr",
                dtype=[np.float64, np.float32],
                order="C",
                accept_large_sparse=False,
            )
        except ValueError as error:
            raise DataError(str(error)) from error
