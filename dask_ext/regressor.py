"""The regressor on a Dask cluster."""

from dsgd.estimators import SGDRegressor as LocalRegressor

from .face import DaskFace


class SGDRegressor(DaskFace, LocalRegressor):
    """Linear regression trained by parallel stochastic gradient descent on Dask's workers.

    As :class:`dsgd.SGDRegressor`, with other defaults for ``standardize`` and ``n_workers``. Runs on the current
    ``distributed.Client``, or else on a LocalCluster that is started for each fit. ``fit`` also takes
    Dask DataFrames and Arrays, and lists of delayed partitions; predictions for these are lazy. Under an asynchronous client
    ``fit``, ``partial_fit``, ``score`` and ``evaluate`` are awaited.

    Parameters
    ----------
    loss : str, default="squared_error"
        "squared_error", "huber", "epsilon_insensitive", "squared_epsilon_insensitive", "quantile", "poisson", "gamma" or
        "tweedie".
    epsilon : float, default=0.1
        Of huber, the error from which it is linear; of the epsilon-insensitive losses, the error that costs nothing.
    quantile : float, default=0.5
        Of the quantile loss: the quantile of the target that is predicted, between 0 and 1.
    power : float, default=1.5
        Of the tweedie loss: the variance grows as this power of the mean, between 1 and 2.
    penalty : {"l2", "l1", "elasticnet"} or None, default="l2"
        "l2" shrinks all weights, "l1" leaves many of them exactly zero, "elasticnet" is a mixture by ``l1_ratio``; None is
        no penalty.
    alpha : float or "auto", default="auto"
        Strength of the penalty; "auto" is 1 / (sum of weights), the penalty of ``LogisticRegression(C=1)``.
    l1_ratio : float, default=0.15
        Share of l1 in "elasticnet".
    fit_intercept : bool, default=True
        Whether the score has a constant, which is not penalised.
    max_iter : int, default=100
        Epochs at most.
    tol : float or None, default=1e-4
        Stop when the objective improves by less, relatively, for ``n_iter_no_change`` epochs; None never stops early.
    optimizer : str, default="auto"
        "auto", "svrg", "sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw" or "ftrl".
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
    standardize : bool, default=True
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
    n_workers : int or None, default=None
        Ranks; None is one a worker of the cluster.
    min_workers : int or None, default=None
        With how many ranks, at least, a fit goes on that has lost some, if their workers do not come back within 15 s; as many
        as it began with if not given, or any number where ``n_workers`` is not.
    threads_per_worker : int, default=1
        Threads that a rank may use, where its work can be split: reading and encoding rows, large matrix products.
    dtype : {"float32", "float64"} or None, default=None
        None is float64 for a float64 matrix, and float32 for everything else.
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
    coef_ : ndarray of shape (1, d)
        Coefficients on the scale of the data as given.
    intercept_ : ndarray of shape (1,)
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
    >>> import dask.array as da
    >>> from distributed import Client
    >>> X = da.arange(8.0, chunks=4)[:, None]
    >>> with Client(processes=False, n_workers=1, threads_per_worker=2, dashboard_address=None):
    ...     model = SGDRegressor(alpha=0.0, random_state=0).fit(X, 3 * X[:, 0] + 1)
    ...     model.predict(X[:2]).compute().round(1).tolist()
    [1.0, 4.0]
    """

    def __init__(
        self,
        *,
        loss="squared_error",
        epsilon=0.1,
        quantile=0.5,
        power=1.5,
        penalty="l2",
        alpha="auto",
        l1_ratio=0.15,
        fit_intercept=True,
        max_iter=100,
        tol=1e-4,
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
        standardize=True,
        missing="raise",
        categorical=None,
        interactions=(),
        hash_bits=18,
        mode="sync",
        n_workers=None,
        min_workers=None,
        threads_per_worker=1,
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
        self.warmup_steps = warmup_steps
        self.loss, self.epsilon, self.quantile, self.power, self.penalty = loss, epsilon, quantile, power, penalty
        self.alpha, self.l1_ratio, self.fit_intercept, self.max_iter = alpha, l1_ratio, fit_intercept, max_iter
        self.tol, self.optimizer, self.learning_rate, self.eta0 = tol, optimizer, learning_rate, eta0
        self.power_t, self.batch_size, self.shuffle, self.average = power_t, batch_size, shuffle, average
        self.early_stopping, self.validation_fraction = early_stopping, validation_fraction
        self.n_iter_no_change, self.warm_start, self.random_state = n_iter_no_change, warm_start, random_state
        self.standardize, self.missing, self.categorical = standardize, missing, categorical
        self.interactions, self.hash_bits, self.mode, self.n_workers = interactions, hash_bits, mode, n_workers
        self.threads_per_worker, self.dtype, self.cache_bytes = threads_per_worker, dtype, cache_bytes
        self.memory_limit, self.encrypt, self.verbose = memory_limit, encrypt, verbose
        self.port_range, self.interface, self.deadline = port_range, interface, deadline
        self.checkpoint, self.min_workers = checkpoint, min_workers
