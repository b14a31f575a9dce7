"""What a model shows of its weights: under Spark ML's names, and as a table with the names of columns."""
# ruff: noqa: N802

import numpy as np
from pyspark.ml.linalg import DenseMatrix, DenseVector, Vectors

from dsgd.errors import ConfigError
from dsgd.fitted import LinearModel
from dsgd.fitted.coefficients import Coefficient, coefficient_rows


class Weights:
    """Mixed into the models."""

    core: LinearModel
    _element_names: list[str] | None

    @property
    def coefficientMatrix(self) -> DenseMatrix:
        """Coefficients on the scale of the data, of shape (k, d)."""
        k, d = self.core.coef.shape
        return DenseMatrix(k, d, self.core.coef.astype(np.float64).ravel(), isTransposed=True)

    @property
    def interceptVector(self) -> DenseVector:
        """Intercepts, of shape (k,)."""
        return Vectors.dense(self.core.intercept.astype(np.float64))

    @property
    def coefficients(self) -> DenseVector:
        """Coefficients of a model with one score, of shape (d,)."""
        return Vectors.dense(self._only(self.core.coef)[0].astype(np.float64))

    @property
    def intercept(self) -> float:
        """Intercept of a model with one score."""
        return float(self._only(self.core.intercept)[0])

    def _only(self, array: np.ndarray) -> np.ndarray:
        if len(array) != 1:
            raise ConfigError(f"the model has {len(array)} scores; use coefficientMatrix and interceptVector")
        return array

    @property
    def numFeatures(self) -> int:
        """Number of weights, d."""
        return self.core.coef.shape[1]

    def coefficientTable(self) -> list[Coefficient]:
        """Return the coefficients with the names of what they are of.

        Elements of a vector have the names that its ML attributes gave them when the model was trained. Of hashed categories,
        only coefficients that are not zero are listed.

        Returns
        -------
        list of Coefficient
            ``pandas.DataFrame(model.coefficientTable())`` is a table.
        """
        return coefficient_rows(self.core, self._element_names)
