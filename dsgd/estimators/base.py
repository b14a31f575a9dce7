"""How the linear estimators are trained: from parameters and data to a fit; what they answer then is in ``answers``.

A subclass gives the task and the constructor. A face on another engine overrides where the work is done (``_engine``) and, as
it knows other kinds of data, ``_training_data``.
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from sklearn.exceptions import ConvergenceWarning

from ..data.dataset import Dataset
from ..display import shown
from ..errors import ConfigError
from ..fitted import LinearModel
from ..fitted.fitting import fit, refuse_going_on
from ..train.again import again
from ..train.checkpoints.beginning import seed_of_earlier
from ..train.config import FitConfig, TrainedLinear
from ..train.engine import Engine
from ..train.local import LocalEngine
from ..train.modes import Hybrid, resolve
from ..train.plain import RULE as PLAIN
from . import held_out, inputs
from .answers import Fitted
from .parameters import configuration, dtype_of, initial_weights, seed_of


class LinearSGD(Fitted):
    """Base of ``SGDClassifier`` and ``SGDRegressor``: how they are trained."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.target_tags.required = True
        return tags

    def fit(self, X, y=None, sample_weight=None, offset=None, validation=None, coef_init=None, intercept_init=None):
        """Train the model.

        Parameters
        ----------
        X : array, sparse matrix, pandas or polars frame, Arrow table, or Dataset (``dsgd.read_parquet``)
            n rows. A C-contiguous array of float32 or float64 is not copied.
        y : array of shape (n,), or the name of a column of X
            Not for a Dataset, which names its own label.
        sample_weight, offset : array of shape (n,), or the name of a column of X, optional
            Weights of the rows; addends of the score (the logarithm of an exposure, say).
        validation : (X, y), (X, y, sample_weight), (X, y, sample_weight, offset) or Dataset, optional
            For ``early_stopping``, instead of a fraction of the training rows. Needs an offset when the training rows have
            one; its sample_weight may be None.
        coef_init : array of shape (k, d), or (d,) for one output, optional
            Coefficients to start from, on the scale of the data as given; zeros otherwise.
        intercept_init : array of shape (k,), or a number for one output, optional
            Intercepts to start from.

        Returns
        -------
        self

        Raises
        ------
        ConfigError, DataError, WorkerLost
        """
        initial = self._trained() if self.warm_start and hasattr(self, "model_") else None
        begin = None
        if coef_init is not None or intercept_init is not None:
            # Going on, what is not given stays that of the model, as in scikit-learn.
            known = (None, None) if initial is None else (initial.coef, initial.intercept)
            given = zip((coef_init, intercept_init), known, strict=True)
            begin = tuple(at if value is None else value for value, at in given)
        return self._train(X, y, sample_weight, offset, validation, initial, self.dtype, begin=begin)

    def _fitted_by(self, work: Callable[[], Any], X: Any) -> Any:
        """Do the work of a fit; a face whose fits are awaited, or begin again, overrides this."""
        return work()

    def _called(self, work: Callable[[], Any]) -> Any:
        """Do what reads data once, a score; a face where that is awaited overrides this."""
        return work()

    def _partial_fit(self, X, y, sample_weight, offset, classes=None):
        self._refuse_in_parts()
        initial = self._trained() if hasattr(self, "model_") else None
        dtype = self.dtype if initial is None else initial.coef.dtype
        self._keep_state = True
        seen = 0.0 if initial is None else initial.state.get("weight", 0.0)
        return self._train(X, y, sample_weight, offset, None, initial, dtype, classes=classes, seen=seen, once=True)

    def _refuse_in_parts(self) -> None:
        """Raise ConfigError for what needs to know all rows, or the end of the fit, which ``partial_fit`` does not."""
        if self.learning_rate == "cosine":
            raise ConfigError(
                "learning_rate='cosine' falls to zero at the end of a fit, and partial_fit has none; use 'constant' or "
                "'invscaling'"
            )
        if getattr(self, "checkpoint", None) is not None:
            raise ConfigError(
                "checkpoint is for a whole fit, and partial_fit is one epoch; save the model between two calls"
            )
        if self.early_stopping:
            raise ConfigError(
                "early_stopping should be False with partial_fit: it compares epochs of one fit, and partial_fit is one epoch; "
                "use evaluate(...) to watch rows that are held out"
            )
        if isinstance(getattr(self, "class_weight", None), str):
            raise ConfigError(
                # The words are scikit-learn's: whoever catches the error looks for them.
                f"class_weight {self.class_weight!r} is not supported for partial_fit. In order to use 'balanced' weights, use "
                "compute_class_weight('balanced', classes=classes, y=y). In place of y you can use a large enough sample of the "
                "full training set target to properly estimate the class frequency distributions. Pass the resulting weights as "
                "the class_weight parameter."
            )

    def _train(
        self, X, y, sample_weight, offset, validation, initial, dtype, *, classes=None, seen=0.0, once=False, begin=None
    ):
        # Before the engine is opened or any data touched, either of which may take long.
        config = self._config(dtype_of(dtype, X), once)
        if self.warm_start or once:
            refuse_going_on(config)
        random_state = self.random_state
        if random_state is None and config.checkpoint is not None:
            random_state = self._seed(config)  # By which rows are held out, too.
        if config.early_stopping and validation is None and held_out.is_splittable(X):
            data = X, y, sample_weight, offset
            X, y, sample_weight, offset, validation = self._hold_out(config, *data, initial, random_state)
        config = replace(config, seed=self._seed(config) if self.random_state is random_state else random_state)
        if initial is not None and config.plain and not once:
            # As scikit-learn's: a fit goes on from the coefficients, and counts its steps anew.
            initial = replace(initial, state={})
        with shown(type(self).__name__, config.max_iter, self.verbose) as report, self._engine(X) as engine:
            config = replace(config, n_workers=self._ranks(engine))
            dataset = self._training_data(engine, X, y, sample_weight, offset, reset=initial is None)
            if begin is not None:
                initial = initial_weights(dataset.spec, *begin)
            more = {"initial": initial, "classes": classes, "seen": seen, "on_report": report}
            held = self._validation_data(engine, validation)
            trained = _begun_again(
                engine, type(self).__name__, lambda: fit(dataset, config, engine, validation=held, **more)
            )
        if config.tol is not None and not trained.converged:
            warnings.warn(
                f"{type(self).__name__} stopped after {trained.epochs} epochs (max_iter={config.max_iter}) and had not "
                f"converged to tol={config.tol}; give more epochs, a larger tol, or tol=None for a fixed number of epochs",
                ConvergenceWarning,
                stacklevel=3,
            )
        self.model_ = LinearModel.of(trained)
        # Plain steps can be gone on with after any fit; others keep vectors as long as the weights only where that is to be.
        kept = self.warm_start or getattr(self, "_keep_state", False) or trained.state["rule"] == PLAIN
        self._state = trained.state if kept else {"weight": trained.state["weight"]}
        return self

    def _ranks(self, engine: Engine) -> int:
        """Ranks of a fit; a face whose fits go on with fewer overrides this."""
        if self.n_workers is not None:
            return self.n_workers
        mode = resolve(self.mode)
        return mode.ranks if isinstance(mode, Hybrid) else engine.slots()

    def _seed(self, config: FitConfig) -> int:
        """The seed of a fit; where it is drawn and checkpoints of the fit are found, that which was drawn for them."""
        earlier = seed_of_earlier(config.checkpoint, drawn=self.random_state is None)
        return seed_of(self.random_state) if earlier is None else earlier

    def _trained(self) -> TrainedLinear:
        return self.model_.trained(getattr(self, "_state", {}))

    def _config(self, dtype: str, once: bool) -> FitConfig:
        """The configuration of a fit, or of one epoch over a part of the rows; without a seed."""
        more: dict[str, Any] = {"max_iter": 1, "tol": None} if once else {}
        parameters = self.get_params(deep=False) | {"random_state": 0}
        ranks = 1 if self.n_workers is None else self.n_workers
        config = configuration(self._task, parameters, dtype=dtype, n_workers=ranks, **more)
        if once and config.optimizer == "auto" and not config.plain:
            # The others that "auto" knows go to the optimum of the rows they are given, and forget those before.
            config = replace(config, optimizer="adagrad")
        return config

    def _hold_out(self, config, X, y, sample_weight, offset, initial, random_state):
        """What a fit is given, the rows for validation taken out: these come last."""
        if y is None:
            return X, y, sample_weight, offset, None
        rows = inputs.rows_of_matrix(self, X, y, sample_weight, offset, reset=initial is None)
        held_out.refuse_empty(rows, config.validation_fraction)
        if not config.plain:  # The ranks hold rows out, where no copy is needed for it.
            return X, y, sample_weight, offset, None
        by_class = self._task == "classification"
        training, validation = held_out.split(rows, config.validation_fraction, random_state, by_class)
        return *training, validation

    @contextmanager
    def _engine(self, X) -> Iterator[Engine]:
        """Open the engine of a fit: ranks are threads for data in memory, which is then not copied, else processes."""
        processes = None if isinstance(X, Dataset) else False
        with LocalEngine(processes=processes, threads=self.threads_per_worker) as engine:
            yield engine

    def _training_data(self, engine: Engine, X, y, sample_weight, offset, *, reset: bool) -> Dataset:
        features = {name: getattr(self, name) for name in inputs.FEATURES}
        return inputs.training_data(self, X, y, sample_weight, offset, features, reset=reset)

    def _validation_data(self, engine: Engine, validation) -> Dataset | None:
        if validation is None or isinstance(validation, Dataset):
            return validation
        if not isinstance(validation, (tuple, list)) or len(validation) not in (2, 3, 4):
            raise ConfigError(
                "validation must be (X, y), (X, y, sample_weight), (X, y, sample_weight, offset) or a dataset"
            )
        X, y, sample_weight, offset = [*validation, None, None][:4]
        return self._training_data(engine, X, y, sample_weight, offset, reset=False)


def _begun_again(engine: Engine, name: str, attempt: Callable[[], TrainedLinear]) -> TrainedLinear:
    """Make an attempt, and others where a process of this machine is lost; faces of clusters have their own way."""
    return again(attempt, name, lambda: True) if isinstance(engine, LocalEngine) else attempt()
