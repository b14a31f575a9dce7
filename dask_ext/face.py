"""What is different about an estimator on Dask: its engine, and Dask's collections in and out."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sklearn.utils.validation import check_is_fitted

from dsgd.data.dataset import Dataset
from dsgd.errors import DataError
from dsgd.estimators import inputs
from dsgd.metrics import Metrics

from .collect import collect, is_array, is_frame
from .engine import DaskEngine
from .predictions import measure, predict


class DaskFace:
    """Mixed into the estimators of one machine, before them."""

    @contextmanager
    def _engine(self, X: Any) -> Iterator[DaskEngine]:
        """Open the engine on the current client, or on a cluster of its own."""
        with DaskEngine() as engine:
            yield engine

    def _training_data(self, engine: Any, X: Any, y: Any, sample_weight: Any, offset: Any, *, reset: bool) -> Dataset:
        estimator: Any = self
        if not (is_frame(X) or is_array(X)):
            return super()._training_data(engine, X, y, sample_weight, offset, reset=reset)  # type: ignore[misc]
        if y is None:
            raise DataError(
                f"{type(self).__name__} requires y to be passed, but the target y is None; give the name of a column, or an array"
            )
        features = {name: getattr(self, name) for name in inputs.FEATURES}
        places = engine.places(estimator.n_workers or engine.slots())
        beside = {"label": y, "weight": sample_weight, "offset": offset}
        dataset = collect(engine.client, X, beside, features, places)
        engine.at_close(dataset.release)
        if reset and is_frame(X):
            inputs.note_columns(estimator, dataset.spec.columns)
        elif reset:
            estimator.n_features_in_ = X.shape[1]
        return dataset

    def _apply(self, method: str, X: Any, offset: Any) -> Any:
        if not (is_frame(X) or is_array(X)):
            return super()._apply(method, X, offset)  # type: ignore[misc]
        check_is_fitted(self, "model_")
        return predict(self.model_, method, X, offset)  # type: ignore[attr-defined]

    def _measure(self, X: Any, y: Any, sample_weight: Any, offset: Any) -> Metrics:
        if not (is_frame(X) or is_array(X)):
            return super()._measure(X, y, sample_weight, offset)  # type: ignore[misc]
        return measure(self.model_, X, {"label": y, "weight": sample_weight, "offset": offset})  # type: ignore[attr-defined]
