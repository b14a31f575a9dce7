"""The search over configurations: scikit-learn's face of a sweep, which trains all of them over one reading of the data."""

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from ..display import shown
from ..fitted import LinearModel
from ..train.sweep.driver import Swept, sweep
from .parameters import refuse_own, seed_of
from .sweep_best import Best
from .sweep_checks import candidates_of, check_cv, configs_of, metrics_of
from .sweep_results import cv_results


class SweepCV(Best):
    """Search over configurations that are trained together, over one reading of the data.

    Every configuration is trained as a fit of its own would train it, and measured on rows that it has not seen. All of them
    share each block of rows that is read, so that data larger than memory is encoded once, and a search of eight costs little
    more than a fit. Rows are told off to folds by a hash of their places: they are not moved, and a fold's rows weigh nothing
    where they are left out.

    Parameters
    ----------
    estimator : SGDClassifier or SGDRegressor
    param_grid : dict from str to list, list of such dicts, or ParameterSampler
        What to try. Parameters that may vary are ``alpha``, ``penalty``, ``l1_ratio``, ``loss``, ``class_weight``,
        ``optimizer``, ``learning_rate``, ``eta0``, ``power_t``, ``warmup_steps``, ``average``, ``max_iter``, ``tol``,
        ``n_iter_no_change``, and ``epsilon``, ``quantile`` and ``power`` of the losses that have them.
    cv : int, float or None, default=5
        Number of folds; or the share of the rows to hold out, once; or None, to measure by the validation rows given to ``fit``.
    scoring : str, list of str or None, default=None
        "accuracy", "balanced_accuracy", "roc_auc", "neg_log_loss"; "r2", "neg_mean_squared_error",
        "neg_root_mean_squared_error", "neg_mean_absolute_error", "neg_mean_poisson_deviance", "neg_mean_gamma_deviance"; or
        "neg_loss", of the loss that is trained. None is the accuracy, or R2. Sample weights count.
    refit : bool or str, default=True
        Whether to train the best configuration on all rows; by which score, if there are several. False keeps no estimator.
    verbose : int or callable, default=0
        As that of the estimators; it shows the last training, on all rows.

    Attributes
    ----------
    best_estimator_ : estimator
        The best configuration, trained on all rows.
    best_params_ : dict
    best_score_ : float
        Its mean score over the splits.
    best_index_ : int
        Its place in ``cv_results_``.
    cv_results_ : dict of str to array
        scikit-learn's columns, for ``pandas.DataFrame``, and ``mean_n_iter``, the epochs. Times are each one's share of all.
    n_splits_ : int
    refit_time_ : float
        Seconds, for the last training; 0 where nothing was left out.
    multimetric_ : bool
    classes_ : ndarray of shape (classes,)
    n_features_in_ : int
    feature_names_in_ : ndarray of str

    Examples
    --------
    >>> import numpy as np
    >>> from dsgd import SGDClassifier
    >>> generator = np.random.default_rng(0)
    >>> X = generator.standard_normal((500, 3))
    >>> y = (X[:, 0] + 0.3 * generator.standard_normal(500)) > 0
    >>> search = SweepCV(SGDClassifier(random_state=0), {"alpha": [1e-3, 100.0]}, scoring="neg_log_loss").fit(X, y)
    >>> search.best_params_, search.predict([[2.0, 0.0, 0.0]]).tolist()
    ({'alpha': 0.001}, [True])
    """

    def __init__(self, estimator, param_grid, *, cv=5, scoring=None, refit=True, verbose=0):
        self.estimator, self.param_grid, self.cv = estimator, param_grid, cv
        self.scoring, self.refit, self.verbose = scoring, refit, verbose

    def fit(self, X, y=None, sample_weight=None, offset=None, validation=None):
        """Train and measure all configurations, and train the best on all rows.

        Parameters
        ----------
        X, y, sample_weight, offset : as in the estimator's ``fit``
        validation : (X, y), (X, y, sample_weight), (X, y, sample_weight, offset) or Dataset, optional
            Rows to measure by; needs ``cv=None``. Training then leaves nothing out, and the best needs no training again.

        Returns
        -------
        self

        Raises
        ------
        ConfigError
            Also for parameters that cannot vary within one pass, and for scores that do not exist.
        DataError, WorkerLost
        """
        refuse_own({"verbose": self.verbose})
        candidates = candidates_of(self.estimator, self.param_grid)
        cv = check_cv(self.cv, validation)
        seed = seed_of(candidates[0].get("random_state", self.estimator.random_state))
        configs = configs_of(self.estimator, candidates, X, seed)
        metrics = metrics_of(self.scoring, self.refit, self.estimator._task)

        def work():
            own = clone(self.estimator).set_params(**candidates[0])
            asked = metrics[0], metrics[1] if self.refit else None
            swept = _swept(own, configs, cv, asked, (X, y, sample_weight, offset), validation, self.verbose)
            return self._take(own, candidates, metrics, swept)

        return self._run(work, X)

    def _run(self, work: Callable[[], Any], X: Any) -> Any:
        return self.estimator._fitted_by(work, X)

    def _take(self, own: Any, candidates: list, metrics: tuple, swept: Swept) -> "SweepCV":
        """Note what was found on this object."""
        for name in [name for name in vars(self) if name.endswith("_")]:
            delattr(self, name)  # of an earlier fit, which may have been of other data
        names, chosen, self.multimetric_ = metrics
        columns = names if self.multimetric_ else ("score",)
        self.cv_results_ = cv_results(candidates, swept.scores, columns, swept.epochs, swept.seconds[:2])
        self.n_splits_, self.refit_time_ = swept.scores.shape[1], swept.seconds[2]
        for name in ("n_features_in_", "feature_names_in_"):
            if hasattr(own, name):
                setattr(self, name, getattr(own, name))
        _warn(self, candidates, swept)
        if chosen is not None:
            self._choose(f"mean_test_{chosen}" if self.multimetric_ else "mean_test_score")
        if swept.model is not None:
            own.set_params(**self.estimator.get_params() | self.best_params_)
            own.model_, own._state = LinearModel.of(swept.model), swept.model.state
            self.best_estimator_, self._chosen = own, chosen
        return self

    def _choose(self, score: str) -> None:
        """Note which configuration has the best mean of a score: the first of equals, and one with a score before one without."""
        means = self.cv_results_[score]
        self.best_index_ = int(np.argmax(np.nan_to_num(means, nan=-np.inf, neginf=-np.inf)))
        self.best_params_ = self.cv_results_["params"][self.best_index_]
        self.best_score_ = float(means[self.best_index_])


def _swept(own: Any, configs: list, cv: Any, metrics: tuple, data: tuple, validation: Any, verbose: Any) -> Swept:
    """Train and measure on the engine of an estimator."""
    X = data[0]
    with shown("SweepCV", None, verbose) as report, own._engine(X) as engine:
        if own.n_workers is None:
            ranks = engine.slots()
            configs = [replace(config, n_workers=ranks) for config in configs]
        dataset = own._training_data(engine, *data, reset=True)
        rows = own._validation_data(engine, validation)
        names, chosen = metrics
        return sweep(dataset, configs, engine, cv=cv, validation=rows, metrics=names, refit=chosen, on_report=report)


def _warn(search: Any, candidates: list, swept: Swept) -> None:
    given = search.estimator.get_params(deep=False)
    stops = [candidate.get("tol", given["tol"]) is not None for candidate in candidates]
    short = int(sum(stop and not own.all() for stop, own in zip(stops, swept.converged.T, strict=True)))
    if short:
        warnings.warn(
            f"{short} of {len(candidates)} configurations had not converged to tol after max_iter epochs; give more epochs, a "
            "larger tol, or tol=None for a fixed number of epochs",
            ConvergenceWarning,
            stacklevel=5,
        )
    if not np.isfinite(swept.scores).all():
        warnings.warn(
            f"One or more of the test scores are non-finite: {swept.scores.mean(axis=1).tolist()}; a split may lack a class that "
            "the score needs, or a configuration may have diverged",
            UserWarning,
            stacklevel=5,
        )
