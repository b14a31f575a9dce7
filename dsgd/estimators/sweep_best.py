"""What a search answers once it is fitted: predictions, classes and scores of its best estimator."""

from collections.abc import Callable
from typing import Any

from sklearn.base import BaseEstimator, MetaEstimatorMixin
from sklearn.utils import get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from ..train.sweep.scores import score_of


def _best_has(name: str) -> Callable[[Any], bool]:
    """Whether the best estimator has a method, or before a fit the one that is given."""

    def check(search: Any) -> bool:
        if not search.refit:
            raise AttributeError(f"this search keeps no estimator to {name} with; use refit=True")
        getattr(getattr(search, "best_estimator_", search.estimator), name)
        return True

    return check


class Best(MetaEstimatorMixin, BaseEstimator):
    """The half of a search that needs ``best_estimator_``."""

    estimator: Any
    refit: Any
    best_estimator_: Any
    _chosen: str

    def __sklearn_tags__(self):
        tags, own = super().__sklearn_tags__(), get_tags(self.estimator)
        tags.estimator_type, tags.classifier_tags, tags.regressor_tags = (
            own.estimator_type, own.classifier_tags, own.regressor_tags,
        )  # fmt: skip
        tags.input_tags, tags.target_tags = own.input_tags, own.target_tags
        return tags

    @available_if(_best_has("predict"))
    def predict(self, X, offset=None):
        """Return the best estimator's predictions; see its ``predict``.

        Parameters
        ----------
        X, offset : as in the estimator's ``predict``

        Returns
        -------
        array of shape (n,)

        Raises
        ------
        DataError, NotFittedError
        """
        return self._best.predict(X, offset)

    @available_if(_best_has("decision_function"))
    def decision_function(self, X, offset=None):
        """Return the best estimator's scores before the inverse link; see its ``decision_function``.

        Parameters
        ----------
        X, offset : as in :meth:`predict`

        Returns
        -------
        array of shape (n,), or (n, k)

        Raises
        ------
        DataError, NotFittedError
        """
        return self._best.decision_function(X, offset)

    @available_if(_best_has("predict_proba"))
    def predict_proba(self, X, offset=None):
        """Return the best estimator's probabilities; see its ``predict_proba``.

        Parameters
        ----------
        X, offset : as in :meth:`predict`

        Returns
        -------
        array of shape (n, classes)

        Raises
        ------
        DataError, NotFittedError
        """
        return self._best.predict_proba(X, offset)

    @available_if(_best_has("predict_log_proba"))
    def predict_log_proba(self, X, offset=None):
        """Return the logarithms of the best estimator's probabilities.

        Parameters
        ----------
        X, offset : as in :meth:`predict`

        Returns
        -------
        array of shape (n, classes)

        Raises
        ------
        DataError, NotFittedError
        """
        return self._best.predict_log_proba(X, offset)

    @available_if(_best_has("evaluate"))
    def score(self, X, y=None, sample_weight=None):
        """Return the score by which the best was chosen, of the best estimator on other rows.

        Parameters
        ----------
        X, y, sample_weight : as in :meth:`fit`

        Returns
        -------
        float

        Raises
        ------
        ConfigError, DataError, NotFittedError
        """
        best = self._best
        return best._called(lambda: score_of(best.evaluate(X, y, sample_weight), self._chosen))

    @property
    def classes_(self):
        """The classes, ascending."""
        return self._best.classes_

    @property
    def _best(self) -> Any:
        check_is_fitted(self, "best_estimator_")
        return self.best_estimator_
