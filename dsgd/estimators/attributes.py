"""scikit-learn's attributes of a fitted estimator, as views of its model: coefficients, epochs, steps, averages, history."""

from typing import Any

import numpy as np
import scipy.sparse
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from ..fitted import LinearModel
from ..train.plain import RULE as PLAIN
from .history import History


class Attributes(BaseEstimator):
    """Views of a model.

    Attributes
    ----------
    model_ : LinearModel
        What was fitted.
    """

    model_: LinearModel

    @property
    def coef_(self) -> Any:
        """Coefficients on the scale of the data as given, of shape (k, d); k is 1 for two classes. See :meth:`sparsify`."""
        coef = self._fitted.coef
        return scipy.sparse.csr_matrix(coef) if self._is_sparse else coef

    def sparsify(self):
        """Let ``coef_`` be a sparse matrix, of shape (k, d): smaller to look at where a penalty has left many zeros.

        Returns
        -------
        self

        Raises
        ------
        NotFittedError
        """
        check_is_fitted(self, "model_")
        self._sparse_coef = True
        return self

    def densify(self):
        """Let ``coef_`` be an array again.

        Returns
        -------
        self

        Raises
        ------
        NotFittedError
        """
        check_is_fitted(self, "model_")
        self._sparse_coef = False
        return self

    @property
    def _is_sparse(self) -> bool:
        return getattr(self, "_sparse_coef", False)

    @property
    def intercept_(self) -> np.ndarray:
        """Intercepts, of shape (k,)."""
        return self._fitted.intercept

    @property
    def n_iter_(self) -> int:
        """Epochs that were run."""
        return self._fitted.epochs

    @property
    def t_(self) -> float:
        """Optimiser steps of a rank that were taken: rounds where "auto" solves for few weights, else mini-batches, or rows.

        A fit that goes on from another with the same rule goes on counting. Plain steps are counted as scikit-learn does: 1 and
        the rows that were used, by ``fit`` anew.
        """
        return self._fitted.steps + 1.0 if self._plain_state else self._fitted.steps

    @property
    def _plain_state(self) -> dict[str, Any]:
        """What plain steps have left to go on from; empty after a fit of another kind."""
        state = getattr(self, "_state", {})
        return state if state.get("rule") == PLAIN else {}

    def _iterates(self, name: str, what: str) -> np.ndarray:
        """Iterates or averages by output, of shape (k, d + 1), where plain steps were averaged."""
        if self._plain_state.get(name) is None:
            raise AttributeError(
                f"this {type(self).__name__} has no {what}: it was not fitted with plain steps and average"
            )
        return self._plain_state[name].reshape(self._fitted.coef.shape[1] + 1, -1).T

    @property
    def _standard_coef(self) -> np.ndarray:
        return self._iterates("first", "last iterate")[:, :-1]

    @property
    def _standard_intercept(self) -> np.ndarray:
        return self._iterates("first", "last iterate")[:, -1]

    @property
    def _average_coef(self) -> np.ndarray:
        return self._iterates("second", "average")[:, :-1]

    @property
    def _average_intercept(self) -> np.ndarray:
        return self._iterates("second", "average")[:, -1]

    @property
    def history_(self) -> History:
        """What happened in each epoch."""
        return History(self._fitted.history)

    @property
    def _fitted(self) -> LinearModel:
        if "model_" not in vars(self):
            raise AttributeError(f"this {type(self).__name__} is not fitted yet; call fit first")
        return self.model_
