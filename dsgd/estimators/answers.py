"""What a fitted estimator answers: predictions, metrics, weights, and a directory to keep it in.

A face on another engine overrides ``_apply`` and ``_measure`` for the kinds of data that it knows.
"""

from typing import ClassVar

import numpy as np
from sklearn.utils.validation import check_is_fitted

from ..data.dataset import Dataset
from ..data.matrices import COLUMN
from ..display import Table
from ..errors import ConfigError
from ..fitted import LinearModel
from ..metrics import Metrics
from . import inputs
from .attributes import Attributes


class Fitted(Attributes):
    """The half of an estimator that needs a model."""

    _task: ClassVar[str]

    def predict(self, X, offset=None):
        """Return the class, or the mean of the target, of each row.

        Parameters
        ----------
        X : array, sparse matrix, frame, table or Dataset
            n rows with the features of ``fit``; other columns are not looked at.
        offset : array of shape (n,), or the name of a column of X, optional
            Addend of the score.

        Returns
        -------
        array of shape (n,)
            Of the classes' dtype, or of the coefficients'.

        Raises
        ------
        DataError
            When a column is missing, or holds what the model cannot read.
        NotFittedError
        """
        return self._apply("predict", X, offset)

    def _apply(self, method: str, X, offset):
        """Call a method of the model on checked data."""
        check_is_fitted(self, "model_")
        return getattr(self.model_, method)(inputs.checked(self, X, reset=False), offset)

    def evaluate(self, X, y=None, sample_weight=None, offset=None) -> dict[str, float]:
        """Return the metrics of the task by name.

        Parameters
        ----------
        X, y, sample_weight, offset : as in :meth:`fit`

        Returns
        -------
        dict of str to float
            "loss", and of a classification "accuracy" and, for two classes, "auc", "log_loss" and "calibration_error"; of a
            regression "rmse", "mae" and "r2".

        Raises
        ------
        DataError, NotFittedError
        """
        check_is_fitted(self, "model_")
        return self._measure(X, y, sample_weight, offset).results()

    def _measure(self, X, y, sample_weight, offset) -> Metrics:
        return self.model_.measure(inputs.checked(self, X, reset=False), y, sample_weight, offset)

    def _score(self, metric: str, X, y, sample_weight) -> float:
        if y is None and not isinstance(X, Dataset):
            raise ConfigError(f"{type(self).__name__}.score needs y; give an array, or the name of a column of X")
        return self.evaluate(X, y, sample_weight)[metric]

    def weights_of(self, column: str) -> dict[str, np.ndarray]:
        """Return the weights of one column, or of one interaction (``"a x b"``); see :meth:`LinearModel.weights`.

        Parameters
        ----------
        column : str

        Returns
        -------
        dict of str to ndarray
            ``position``, of shape (w,): places in ``coef_``; ``weight``, of shape (k, w); for a vocabulary also ``value``.

        Raises
        ------
        ConfigError, NotFittedError
        """
        check_is_fitted(self, "model_")
        return self.model_.weights(column)

    def coefficient_table(self, largest: int | None = None) -> Table:
        """Return the coefficients with the names of what they are of; see :meth:`dsgd.LinearModel.coefficient_table`.

        Parameters
        ----------
        largest : int, optional
            Only that many, of the largest absolute value, the largest first. They are on the scale of the data.

        Returns
        -------
        Table
            Printed as a table, HTML in a notebook; ``to_pandas()`` makes a DataFrame.

        Raises
        ------
        ConfigError, NotFittedError
        """
        check_is_fitted(self, "model_")
        return self.model_.coefficient_table(largest)

    def save(self, path, *, overwrite: bool = False) -> None:
        """Save the fitted model as a directory that every package loads; see :func:`dsgd.fitted.save`.

        Parameters
        ----------
        path : str, path, or URI that pyarrow's filesystems open
        overwrite : bool, default=False
            Whether a model that is there may be replaced.

        Raises
        ------
        ConfigError, NotFittedError
        """
        check_is_fitted(self, "model_")
        self.model_.save(path, overwrite=overwrite)

    @classmethod
    def load(cls, path):
        """Return an estimator with a saved model; its parameters are the defaults, apart from the loss and its own.

        Parameters
        ----------
        path : str, path, or URI that pyarrow's filesystems open

        Returns
        -------
        estimator

        Raises
        ------
        CheckpointError, ConfigError
            Also when the model is of the other task.
        """
        from ..fitted import load

        model = load(path)
        if model.task != cls._task:
            raise ConfigError(f"{path} holds a model of a {model.task}; {cls.__name__} is for {cls._task}")
        estimator = cls(loss=model.loss)
        known = estimator.get_params(deep=False)
        estimator.set_params(**{name: value for name, value in model.loss_parameters.items() if name in known})
        estimator._adopt(model)
        return estimator

    def _adopt(self, model: LinearModel) -> None:
        self.model_ = model
        if model.spec.columns == (COLUMN,):
            self.n_features_in_ = model.spec.layout.size
        else:
            inputs.note_columns(self, model.spec.columns)
