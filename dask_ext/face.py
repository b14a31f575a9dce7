"""What is different about an estimator on Dask: its engine, and Dask's collections in and out."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sklearn.utils.validation import check_is_fitted

from dsgd.data.dataset import Dataset
from dsgd.data.matrices import COLUMN
from dsgd.errors import DataError
from dsgd.estimators import inputs
from dsgd.metrics import Metrics
from dsgd.train.again import refuse_least
from dsgd.train.local import LocalEngine
from dsgd.train.modes import Columns, Hybrid, resolve

from . import calling, parquet
from .collect import collect, look
from .engine import DaskEngine
from .kinds import is_collection, is_frame, is_parts
from .measuring import measure
from .predictions import logarithms_of_parts, predict


class _Here(LocalEngine):
    """One rank in the calling thread's process: inside a task, whose worker runs others beside it."""

    def slots(self) -> int:
        """One rank, whatever the machine has."""
        return 1


class DaskFace:
    """Mixed into the estimators of one machine, before them."""

    def fit(self, X, y=None, sample_weight=None, offset=None, validation=None, coef_init=None, intercept_init=None):
        """Train the model on the workers; under ``Client(asynchronous=True)`` to be awaited.

        Parameters
        ----------
        X : Dask DataFrame, Dask Array of shape (n, d), list of delayed partitions, Dataset, or data in memory
            Chunks of an array are dense or scipy's sparse ones. Delayed partitions (or their futures) are frames, tables,
            matrices, or tuples ``(X, y)``, ``(X, y, sample_weight)``. Data in memory are as for ``dsgd``.
        y : name of a column of X, Dask Series or Array of shape (n,), list of delayed partitions, or array of shape (n,)
            Cut as X is, or otherwise.
        sample_weight, offset : as y, optional
        validation : (X, y), (X, y, sample_weight), (X, y, sample_weight, offset) or Dataset, optional
            For ``early_stopping``, instead of a fraction of the training rows.
        coef_init, intercept_init : arrays of the shapes of ``coef_`` and ``intercept_``, optional
            Where to start.

        Returns
        -------
        self

        Raises
        ------
        ConfigError, DataError, WorkerLost
        """
        start = {"coef_init": coef_init, "intercept_init": intercept_init}
        start = {name: values for name, values in start.items() if values is not None}
        return self._fitted_by(
            lambda: super(DaskFace, self).fit(X, y, sample_weight, offset, validation, **start),  # type: ignore[misc]
            X,
        )

    def _partial_fit(self, X: Any, y: Any, sample_weight: Any, offset: Any, classes: Any = None) -> Any:
        return self._fitted_by(
            lambda: super(DaskFace, self)._partial_fit(X, y, sample_weight, offset, classes),  # type: ignore[misc]
            X,
        )

    def _fitted_by(self, work: Any, X: Any) -> Any:
        if self._stays_here(X):
            return work()
        estimator: Any = self
        refuse_least(estimator.min_workers, estimator.n_workers, isinstance(resolve(estimator.mode), Hybrid))
        return calling.fit(work, type(self).__name__, estimator.n_workers, estimator.min_workers)

    def _ranks(self, engine: Any) -> int:
        estimator: Any = self
        if estimator.min_workers is None or estimator.n_workers is None:
            return super()._ranks(engine)  # type: ignore[misc]
        return max(estimator.min_workers, min(estimator.n_workers, engine.slots()))

    def _stays_here(self, X: Any) -> bool:
        """Whether a fit is done where it is called: in a task that has its data, as the searches run them side by side."""
        local = not is_collection(X) and not isinstance(X, Dataset)
        return local and self.n_workers is None and calling.in_task()  # type: ignore[attr-defined]

    @contextmanager
    def _engine(self, X: Any) -> Iterator[Any]:
        """Open the engine on the current client, or on a cluster of its own."""
        if self._stays_here(X):
            with _Here(processes=False, threads=self.threads_per_worker) as engine:  # type: ignore[attr-defined]
                yield engine
            return
        with DaskEngine(calling.current(), who=type(self).__name__) as engine:
            yield engine

    def _training_data(self, engine: Any, X: Any, y: Any, sample_weight: Any, offset: Any, *, reset: bool) -> Dataset:
        estimator: Any = self
        if not is_collection(X):
            return super()._training_data(engine, X, y, sample_weight, offset, reset=reset)  # type: ignore[misc]
        if y is None and not is_parts(X):
            raise DataError(
                f"{type(self).__name__} requires y to be passed, but the target y is None; give the name of a column, or an array"
            )
        features = {name: getattr(self, name) for name in inputs.FEATURES}
        beside = {"label": y, "weight": sample_weight, "offset": offset}
        dataset: Any = parquet.recognised(X, beside, features) if is_frame(X) else None
        if dataset is None:
            places = engine.places(self._ranks(engine))
            dataset = collect(engine.client, X, beside, features, places, type(self).__name__)
            engine.at_close(dataset.release)
            if isinstance(resolve(estimator.mode), (Columns, Hybrid)):
                look(engine.client, dataset, type(self).__name__)
        if reset and dataset.spec.columns == (COLUMN,):
            estimator.n_features_in_ = dataset.spec.layout.size
        elif reset:
            inputs.note_columns(estimator, dataset.spec.columns)
        return dataset

    def _apply(self, method: str, X: Any, offset: Any) -> Any:
        if not is_collection(X):
            return super()._apply(method, X, offset)  # type: ignore[misc]
        check_is_fitted(self, "model_")
        return predict(self.model_, method, X, offset, type(self).__name__)  # type: ignore[attr-defined]

    def _logarithms(self, chances: Any) -> Any:
        logarithms = super()._logarithms  # type: ignore[misc]
        return logarithms(chances) if not is_parts(chances) else logarithms_of_parts(chances)

    def evaluate(self, X, y=None, sample_weight=None, offset=None):
        """Return the metrics of the task by name; under ``Client(asynchronous=True)`` to be awaited.

        Parameters
        ----------
        X, y, sample_weight, offset : as in :meth:`fit`

        Returns
        -------
        dict of str to float

        Raises
        ------
        ConfigError, DataError, NotFittedError
        """
        return self._called(lambda: super(DaskFace, self).evaluate(X, y, sample_weight, offset))  # type: ignore[misc]

    def _score(self, metric: str, X: Any, y: Any, sample_weight: Any) -> Any:
        return self._called(lambda: super(DaskFace, self)._score(metric, X, y, sample_weight))  # type: ignore[misc]

    def _called(self, work: Any) -> Any:
        return calling.call(work)

    def _measure(self, X: Any, y: Any, sample_weight: Any, offset: Any) -> Metrics:
        if not is_collection(X):
            return super()._measure(X, y, sample_weight, offset)  # type: ignore[misc]
        beside = {"label": y, "weight": sample_weight, "offset": offset}
        return measure(calling.current(), self.model_, X, beside, type(self).__name__)  # type: ignore[attr-defined]
