"""The classifier on Spark."""

from typing import Any

from pyspark.ml.classification import ProbabilisticClassifier

from .estimator import SparkFace
from .models.model import SGDClassificationModel
from .params.contract import keyword_params
from .params.run_params import ClassifierParams


@keyword_params
class SGDClassifier(SparkFace, ClassifierParams, ProbabilisticClassifier):
    """Linear classifier trained by parallel stochastic gradient descent on Spark's executors.

    The objective is that of :class:`dsgd.SGDClassifier`; at its defaults the model is that of Spark ML's LogisticRegression.
    Labels are numbers, booleans or strings.

    Parameters
    ----------
    featuresCol : str or list of str, default="features"
        A column of vectors or arrays, or a list of columns, numbers and strings.
    labelCol : str, default="label"
        The label: numbers, booleans or strings.
    weightCol : str, optional
        Weights of the rows; all 1 when it is not set.
    offsetCol : str, optional
        A column that is added to the score, the logarithm of an exposure, say.
    predictionCol : str, default="prediction"
        Name of the column of predictions.
    probabilityCol : str, default="probability"
        Name of the column of probabilities, a vector; for losses that have them.
    rawPredictionCol : str, default="rawPrediction"
        Name of the column of scores, a vector.
    threshold : float, default=0.5
        With two classes, the probability of the second one above which it is predicted.
    thresholds : list of float, optional
        One for each class: the class with the largest probability / threshold is predicted.
    validationIndicatorCol : str, optional
        A column that is true for the rows to validate on, instead of ``validationFraction``.
    categoricalCols : list of str, default=[]
        Columns to hash besides those of text.
    interactions : list of list of str, default=[]
        Crosses of categorical columns.
    hashBits : int, default=18
        A categorical column, or a cross, has ``2**hashBits`` weights.
    missing : {"raise", "mean"}, default="raise"
        What a missing number is: an error, or the column's mean.
    initialModel : SGDClassificationModel, optional
        A fitted model to go on from: training starts at its weights, and its features and classes are kept. Unless ``maxIter``
        is set it is one epoch, as ``partial_fit`` is in dsgd, and the optimizer "auto" is then "adagrad".
    loss : {"log_loss", "hinge", "squared_hinge", "modified_huber"} or a regression loss, default="log_loss"
        "log_loss" is logistic regression; with more than two classes the others are one classifier a class. The regression losses
        "squared_error", "huber", "epsilon_insensitive" and "squared_epsilon_insensitive" are of targets -1 and +1.
    epsilon : float, default=0.1
        Of huber, the error from which it is linear; of the epsilon-insensitive losses, the error that costs nothing.
    family : {"auto", "binomial", "multinomial", "ovr"}, default="auto"
        Of the classes: "auto" is "binomial" for two, and "multinomial" (log_loss) or "ovr" (the others) for more.
    regParam : float or "auto", default=0.0
        Strength of the penalty; "auto" is 1 / (sum of weights).
    elasticNetParam : float, default=0.0
        Share of l1 in the penalty: 0 is l2, 1 is l1.
    fitIntercept : bool, default=True
        Whether the score has a constant, which is not penalised.
    standardization : bool, default=True
        Scale columns to unit variance while training; coefficients are reported on the original scale.
    optimizer : str, default="auto"
        "auto", "svrg", "sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw" or "ftrl".
    maxIter : int, default=100
        Epochs at most.
    tol : float, default=1e-6
        Stop when the objective improves by less, relatively, for ``nIterNoChange`` epochs.
    batchSize : int or "auto", default="auto"
        Rows of the global mini-batch, shared out among the ranks; 1 is the online pass.
    stepSize : float or "auto", default="auto"
        First learning rate; "auto" takes it from the data.
    learningRate : {"constant", "invscaling", "optimal", "adaptive", "cosine"}, default="constant"
        Schedule of the optimisers that have one.
    powerT : float, default=0.5
        Exponent of "invscaling".
    averaging : bool or int, default=False
        Average the iterates (from that many rows on).
    earlyStopping : bool, default=False
        Judge by the loss on held-out rows.
    validationFraction : float, default=0.1
        Share of the rows that ``earlyStopping`` holds out.
    nIterNoChange : int, default=1
        Epochs in a row without an improvement after which training stops.
    mode : {"sync", "async"}, default="sync"
        How the work is spread over ranks: in steps that all take together, or by parameter shards, without waiting.
    topology : {"ring", "tree", "engine"}, default="ring"
        Who adds gradients up: the ranks in a ring or a tree, or Spark in a job a round ("engine"), which needs
        no gang.
    aggregationDepth : int, default=2
        Levels of Spark's tree-aggregate with ``topology="engine"``.
    localSteps : int, "epoch" or "auto", default=1
        Steps of a rank between two averagings; "epoch" is model averaging. With ``mode="async"`` steps between two exchanges with
        the shards, "auto" if it is not set.
    compression : {"none", "fp16", "int8", "topk"}, default="none"
        Of what ranks send each other.
    backupWorkers : int, default=0
        Ranks that a step need not wait for; it is then taken by parameter shards.
    staleness : int, optional
        With ``mode="async"``: pushes that a rank may be ahead of the slowest, 0 for steps together; no bound when it is not set.
    shards : int, default=1
        With ``mode="async"``: parameter shards, each a task of its own beside the ranks.
    correction : {"none", "rate", "delay"}, default="none"
        With ``mode="async"``: what is done about a stale gradient.
    compensation : float, default=1.0
        Strength of ``correction="delay"``.
    snapshotSeconds : float, default=10.0
        With ``mode="async"``: between two snapshots of a shard.
    restarts : int, default=32
        With ``mode="async"``: deaths of ranks and shards after which the next one ends the fit.
    gridRows, gridColumns : int, optional
        Of ``mode="hybrid"``.
    saveTo : str, optional
        With blocks of columns: where the ranks save the model, each its own block; see :class:`dsgd.Columns`.
    overwrite : bool, optional
        Whether a model at ``saveTo`` may be replaced.
    numWorkers : int, default=0
        Ranks; 0 is all slots of the session.
    minWorkers : int, optional
        With how many ranks, at least, a fit goes on that has lost some, if their slots do not come back within 15 s; as many as
        it began with if it is not set.
    threadsPerWorker : int, default=1
        Threads that a rank may use.
    cacheBytes : int, optional
        Bytes of block files that a worker may keep; no limit when it is not set.
    memoryLimit : int, optional
        Bytes of resident memory that a worker may use; what Spark allows it when it is not set.
    encrypt : bool, default=True
        Encrypt what ranks of different hosts send each other.
    portRange : list of two int, optional
        First and last port at which ranks listen for each other; the system's choice when not set.
    interface : str, optional
        Network interface, by its name or its address, at which they listen; by default that by which Spark knows their
        host.
    deadline : float, default=30.0
        Seconds without a sign of life after which a rank counts as lost.
    checkpointPath : str, optional
        A directory that driver and executors share, in which the fit keeps what it needs to go on: begun again after a death,
        of the driver's too, it goes on from there, with any number of ranks.
    checkpointInterval : float, default=60.0
        Seconds between two checkpoints.
    dtype : {"float32", "float64"}, default="float32"
        Of weights and rows.
    seed : int, default=0
        The same seed, data and ranks give the same weights.
    verbose : int, default=0
        1 is a bar in a notebook or a terminal and a line an epoch elsewhere, 2 is always lines; on the standard error.

    Examples
    --------
    >>> model = SGDClassifier(featuresCol=["age", "city"], labelCol="bought").fit(customers)  # doctest: +SKIP
    >>> model.transform(customers).select("probability", "prediction")  # doctest: +SKIP
    """

    _task = "classification"
    _model = SGDClassificationModel

    def __init__(self, **params: Any):
        super().__init__()
        self.setParams(**params)
