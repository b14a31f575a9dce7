"""The search over configurations on a Dask cluster."""

from collections.abc import Callable
from typing import Any

from dsgd.errors import ConfigError
from dsgd.estimators import SweepCV as LocalSweepCV

from .face import DaskFace


class SweepCV(LocalSweepCV):
    """Search over configurations that Dask's workers train together, over one reading of the data.

    As :class:`dsgd.SweepCV`, for the estimators of this package: rows stay on the workers that hold them, ``fit`` takes what
    theirs takes, and is awaited under ``Client(asynchronous=True)``. Predictions for collections are lazy.

    Parameters
    ----------
    estimator : dask_ext.SGDClassifier or dask_ext.SGDRegressor
    param_grid : dict from str to list, list of such dicts, or ParameterSampler
        What to try; see :class:`dsgd.SweepCV` for the parameters that may vary.
    cv : int, float or None, default=5
        Number of folds; or the share of the rows to hold out, once; or None, to measure by the validation rows given to ``fit``.
    scoring : str, list of str or None, default=None
        See :class:`dsgd.SweepCV`. None is the accuracy, or R2.
    refit : bool or str, default=True
        Whether to train the best configuration on all rows; by which score, if there are several.
    verbose : int or callable, default=0
        As that of the estimators; it shows the last training, on all rows.

    Attributes
    ----------
    best_estimator_ : estimator
    best_params_ : dict
    best_score_ : float
    best_index_ : int
    cv_results_ : dict of str to array
        See :class:`dsgd.SweepCV`.

    Examples
    --------
    >>> import dask.array as da
    >>> from dask_ext import SGDClassifier
    >>> from distributed import Client
    >>> client = Client(processes=False, n_workers=1, threads_per_worker=2, dashboard_address=None)
    >>> X = da.random.default_rng(0).standard_normal((400, 2), chunks=(200, 2))
    >>> search = SweepCV(SGDClassifier(random_state=0), {"alpha": [1e-3, 100.0]}, scoring="neg_log_loss")
    >>> search.fit(X, (X[:, 0] > 0).astype(int)).best_params_
    {'alpha': 0.001}
    >>> client.close()
    """

    def _run(self, work: Callable[[], Any], X: Any) -> Any:
        if not isinstance(self.estimator, DaskFace):
            raise ConfigError(
                f"dask_ext.SweepCV is for the estimators of dask_ext, not for {type(self.estimator).__module__}."
                f"{type(self.estimator).__name__}; import that from dask_ext, or SweepCV from dsgd"
            )
        return super()._run(work, X)
