"""The classifier: scikit-learn's face of linear classification, binary and with more classes."""

from typing import Any, ClassVar

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.metaestimators import available_if

from ..errors import ConfigError
from ..losses import loss_table
from . import inputs
from .base import LinearSGD


def _has_probabilities(estimator) -> bool:
    """Whether ``predict_proba`` is there: it depends on the loss."""
    if estimator.loss in ("log_loss", "modified_huber"):
        return True
    raise AttributeError(
        f"probability estimates are not available for loss={estimator.loss!r}; use 'log_loss' or 'modified_huber'"
    )


class SGDClassifier(ClassifierMixin, LinearSGD):
    """Linear classifier trained by parallel stochastic gradient descent.

    Minimises ``sum_i weight_i loss_i / sum_i weight_i + alpha (l1_ratio |w|_1 + (1 - l1_ratio) / 2 |w|_2^2)``; the intercept is
    not penalised. Step sizes come from the data: the defaults converge untuned.

    Parameters
    ----------
    loss : str, default="log_loss"
        "log_loss", "hinge", "squared_hinge" or "modified_huber"; or a regression of -1 and +1: "squared_error", "huber",
        "epsilon_insensitive" or "squared_epsilon_insensitive". "log_loss" is logistic regression, with one row of coefficients
        a class (softmax) for more than two classes; the others are one classifier a class.
    epsilon : float, default=0.1
        Of huber, the error from which it is linear; of the epsilon-insensitive losses, the error that costs nothing.
    penalty : {"l2", "l1", "elasticnet"} or None, default="l2"
        "l2" shrinks all weights, "l1" leaves many of them exactly zero, "elasticnet" is a mixture by ``l1_ratio``; None is
        no penalty.
    alpha : float or "auto", default="auto"
        Strength of the penalty; "auto" is 1 / (sum of weights), the penalty of ``LogisticRegression(C=1)``.
    l1_ratio : float, default=0.15
        Share of l1 in "elasticnet"; it may be None for the others.
    fit_intercept : bool, default=True
        Whether the score has a constant, which is not penalised.
    max_iter : int, default=100
        Epochs at most.
    tol : float or None, default=1e-4
        Stop when the objective improves by less, relatively, for ``n_iter_no_change`` epochs; None never stops early.
    family : {"auto", "binomial", "multinomial", "ovr"}, default="auto"
        Of the classes: "auto" is "binomial" for two, and "multinomial" (log_loss) or "ovr" (the others, and plain steps) for
        more.
    class_weight : dict, "balanced" or None, default=None
        Factor on the weights of each class's rows, 1 for classes that a dict does not name; "balanced" is n / (classes x
        rows of the class).
    optimizer : str, default="auto"
        "auto", "svrg", "sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw" or "ftrl". "auto" solves for few
        weights with full gradients, which have no order and no rate; giving ``batch_size``, ``learning_rate``, ``warmup_steps``
        or ``average`` asks for steps instead, which it takes with "adagrad", as for many weights; giving ``eta0`` as a number, or
        ``learning_rate="optimal"``, for scikit-learn's plain steps, row by row, where there is one rank.
    learning_rate : {"constant", "invscaling", "optimal", "adaptive", "cosine"}, default="constant"
        Schedule of the optimisers that have one.
    eta0 : float or "auto", default="auto"
        First learning rate; "auto" takes it from the data.
    power_t : float, default=0.5
        Exponent of "invscaling".
    warmup_steps : int, default=0
        Steps over which the learning rate rises to its first value.
    batch_size : int or "auto", default="auto"
        Rows of the global mini-batch, shared out among the ranks; 1 is the online pass.
    shuffle : bool, default=True
        Visit the rows in another random order in each epoch, instead of as they come.
    average : bool or int, default=False
        Average the iterates (from that many rows on).
    early_stopping : bool, default=False
        Judge by the loss on held-out rows: ``validation_fraction`` of the data, or those given to ``fit``.
    validation_fraction : float, default=0.1
        Share of the rows that ``early_stopping`` holds out, between 0 and 1, when ``fit`` is given no validation set.
    n_iter_no_change : int, default=1
        Epochs in a row without an improvement by ``tol`` after which training stops.
    warm_start : bool, default=False
        Go on from the previous fit.
    random_state : int, RandomState or None, default=None
        The seed; the same seed, data and ranks give the same weights.
    standardize : bool, default=False
        Scale numbers, dense and sparse, to unit variance while training; coefficients are reported on the original scale.
    missing : {"raise", "mean"}, default="raise"
        What a NaN is: an error, or the column's mean.
    categorical : list of str or None, default=None
        Columns of a frame to hash; None takes those of text.
    interactions : sequence of tuple of str, default=()
        Crosses of categorical columns.
    hash_bits : int or dict, default=18
        A categorical column, or a cross, has ``2**hash_bits`` weights.
    mode : {"sync", "async"}, Sync or Async, default="sync"
        How the work is spread over ranks: in steps that all take together, or by parameter shards, without waiting.
    n_workers : int, default=1
        Ranks: threads for data in memory, processes for files.
    threads_per_worker : int, default=1
        Threads that a rank may use, where its work can be split: reading and encoding rows, large matrix products.
    n_jobs : int or None, default=None
        scikit-learn's name for ``threads_per_worker``, which it replaces when it is given; -1 is all cores.
    dtype : {"float32", "float64"} or None, default=None
        None is float64 for a matrix that is not of float32, and float32 for everything else.
    cache_bytes : int or None, default=None
        Bytes of block files that a worker may keep on disk; what is beyond is encoded again in each epoch. None is no
        limit.
    memory_limit : int or None, default=None
        Bytes of resident memory that a worker may use; None is what its engine allows it, where the engine says.
    encrypt : bool, default=True
        Encrypt what ranks of different hosts send each other.
    port_range : (int, int) or None, default=None
        First and last port at which ranks of different hosts listen for each other; None lets the system choose.
    interface : str or None, default=None
        Network interface (its name, such as "eth0") or address at which they listen; None is that by which the engine knows
        their host.
    deadline : float, default=30.0
        Seconds without a sign of life after which a rank counts as lost.
    checkpoint : str, Checkpoint or None, default=None
        A directory that all workers share, in which the fit keeps what it needs to go on: begun again after a death, of the
        driver's too, it goes on from there, with any number of workers. ``Checkpoint(path, seconds=..., steps=...)`` says how
        often.
    verbose : int or callable, default=0
        1 is a bar with the objective in a notebook or a terminal, and a line an epoch elsewhere; 2 is always lines. Both go to
        the standard error. Or what to call with each epoch's record, a dict.

    Attributes
    ----------
    coef_ : ndarray of shape (k, d)
        Coefficients on the scale of the data as given; k is 1 for two classes.
    intercept_ : ndarray of shape (k,)
    classes_ : ndarray of shape (classes,)
        The labels as they were given, ascending.
    n_iter_ : int
        Epochs.
    t_ : int
        Optimiser steps.
    history_ : History
        What happened in each epoch, a small table.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        For frames, tables and datasets.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.array([[-2.0], [-1.0], [1.0], [2.0]])
    >>> SGDClassifier(random_state=0).fit(X, ["no", "no", "yes", "yes"]).predict([[-1.5], [1.5]]).tolist()
    ['no', 'yes']
    """

    _task = "classification"
    loss_functions: ClassVar[dict[str, tuple]] = loss_table("classification")

    def __init__(
        self,
        *,
        loss="log_loss",
        epsilon=0.1,
        penalty="l2",
        alpha="auto",
        l1_ratio=0.15,
        fit_intercept=True,
        max_iter=100,
        tol=1e-4,
        family="auto",
        class_weight=None,
        optimizer="auto",
        learning_rate="constant",
        eta0="auto",
        power_t=0.5,
        warmup_steps=0,
        batch_size="auto",
        shuffle=True,
        average=False,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=1,
        warm_start=False,
        random_state=None,
        standardize=False,
        missing="raise",
        categorical=None,
        interactions=(),
        hash_bits=18,
        mode="sync",
        n_workers=1,
        threads_per_worker=1,
        n_jobs=None,
        dtype=None,
        cache_bytes=None,
        memory_limit=None,
        encrypt=True,
        port_range=None,
        interface=None,
        deadline=30.0,
        checkpoint=None,
        verbose=0,
    ):
        self.warmup_steps, self.epsilon, self.n_jobs = warmup_steps, epsilon, n_jobs
        self.loss, self.penalty, self.alpha, self.l1_ratio = loss, penalty, alpha, l1_ratio
        self.fit_intercept, self.max_iter, self.tol, self.family = fit_intercept, max_iter, tol, family
        self.class_weight, self.optimizer, self.learning_rate = class_weight, optimizer, learning_rate
        self.eta0, self.power_t, self.batch_size, self.shuffle = eta0, power_t, batch_size, shuffle
        self.average, self.early_stopping, self.validation_fraction = average, early_stopping, validation_fraction
        self.n_iter_no_change, self.warm_start, self.random_state = n_iter_no_change, warm_start, random_state
        self.standardize, self.missing, self.categorical = standardize, missing, categorical
        self.interactions, self.hash_bits, self.mode, self.n_workers = interactions, hash_bits, mode, n_workers
        self.threads_per_worker, self.dtype, self.cache_bytes = threads_per_worker, dtype, cache_bytes
        self.memory_limit, self.encrypt, self.verbose = memory_limit, encrypt, verbose
        self.port_range, self.interface, self.deadline = port_range, interface, deadline
        self.checkpoint = checkpoint

    def partial_fit(self, X, y=None, classes=None, sample_weight=None, offset=None):
        """Go over some rows once, from where the model is.

        With ``alpha="auto"`` the penalty is 1 / (sum of the weights of all rows so far), so that many parts weigh as one fit
        of all of them; to go over the same rows many times, give ``alpha`` as a number. Features stay those of the first call.

        Parameters
        ----------
        X, y, sample_weight, offset : as in :meth:`fit`
        classes : array of shape (classes,), optional
            All classes that there can be; needed in the first call.

        Returns
        -------
        self

        Raises
        ------
        ConfigError
            Also for ``learning_rate="cosine"``, ``early_stopping`` and ``class_weight="balanced"``, which need to know all rows.
        DataError, WorkerLost
        """
        self._refuse_in_parts()
        if not hasattr(self, "model_"):
            if classes is None:
                raise ConfigError("classes must be passed on the first call to partial_fit")
        elif classes is not None and not np.array_equal(np.unique(classes), self.classes_):
            raise ConfigError(
                f"classes={list(classes)!r} differ from those of the first call, {self.classes_.tolist()}"
            )
        known = classes if classes is not None else self.classes_
        return self._partial_fit(X, y, sample_weight, offset, np.unique(known))

    def _training_data(self, engine, X, y, sample_weight, offset, *, reset):
        inputs.check_class_labels(y)
        return super()._training_data(engine, X, y, sample_weight, offset, reset=reset)

    def decision_function(self, X, offset=None):
        """Return the scores before the inverse link.

        Parameters
        ----------
        X, offset : as in :meth:`predict`

        Returns
        -------
        array of shape (n,), or (n, k) for k > 2 classes

        Raises
        ------
        DataError, NotFittedError
        """
        return self._apply("decision_function", X, offset)

    @available_if(_has_probabilities)
    def predict_proba(self, X, offset=None):
        """Return the probability of each class; there for the losses "log_loss" and "modified_huber".

        Parameters
        ----------
        X, offset : as in :meth:`predict`

        Returns
        -------
        array of shape (n, classes)
            In the order of ``classes_``.

        Raises
        ------
        DataError, NotFittedError
        """
        return self._apply("predict_proba", X, offset)

    @available_if(_has_probabilities)
    def predict_log_proba(self, X, offset=None):
        """Return the logarithm of the probability of each class.

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
        return self._logarithms(self.predict_proba(X) if offset is None else self.predict_proba(X, offset))

    def _logarithms(self, chances):
        """The logarithm of probabilities, also of those of zero; a face whose predictions are no arrays overrides it."""
        with np.errstate(divide="ignore"):
            return np.log(chances)

    def score(self, X, y=None, sample_weight=None):
        """Return the accuracy.

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
        return self._score("accuracy", X, y, sample_weight)

    @property
    def classes_(self) -> Any:
        """The classes, ascending."""
        return self._fitted.classes
