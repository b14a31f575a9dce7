"""What a fit is asked to do: one frozen dataclass, checked before any work starts, and what comes back from it."""

from dataclasses import dataclass, field, fields
from typing import Any, Literal

import numpy as np

from ..data.spec import FeatureSpec
from .checkpoints.settings import Checkpoint
from .combinations import refuse_combinations
from .modes import Mode, Sync
from .values import refuse_values


@dataclass(frozen=True)
class FitConfig:
    """The parameters of a fit, in the core's names; every face translates its own to these.

    Parameters
    ----------
    task : {"classification", "regression"}
    loss : str
        A key of ``dsgd.losses.LOSSES``.
    epsilon, quantile, power : float
        Parameters of the losses that have them (huber and the epsilon-insensitive ones, quantile, tweedie).
    penalty : {None, "l2", "l1", "elasticnet"}
    alpha : float or "auto"
        Strength of the penalty; "auto" is 1 / (sum of weights), the penalty of LogisticRegression(C=1).
    l1_ratio : float
        Share of l1 in "elasticnet".
    fit_intercept : bool
    family : {"auto", "binomial", "multinomial", "ovr"}
    class_weight : dict, "balanced" or None
        Factor on the weight of each class's rows.
    optimizer : str
        "auto", "svrg" or a key of ``dsgd.optim.rules.RULES``.
    learning_rate : {"constant", "invscaling", "optimal", "adaptive", "cosine"}
    eta0 : float or "auto"
        First learning rate; "auto" takes it from the statistics of the data.
    power_t : float
    warmup_steps : int
    batch_size : int or "auto"
        Rows of the global mini-batch, shared out among the ranks; 1 is the online pass.
    max_iter : int
        Epochs at most.
    tol : float or None
        Stop when the objective's relative improvement over an epoch is below it for ``n_iter_no_change`` epochs; None
        never stops early.
    n_iter_no_change : int
    early_stopping : bool
        Judge by the loss on a validation set instead of by the objective.
    validation_fraction : float
        Share of the rows kept for it, when the user gives no validation set.
    average : bool or int
        Average the iterates, later ones counting for more; the average is the model. A number above 1 is how many rows are
        used before averaging begins.
    shuffle : bool
    standardize : bool
    dtype : {"float32", "float64"}
    mode : Sync or Async
    n_workers : int
    threads_per_worker : int
    seed : int
    cache_bytes, memory_limit : int or None
        Bytes of block files, and of resident memory, that a worker may use.
    encrypt : bool
    port_range : (int, int) or None
        First and last port at which ranks listen for each other; None lets the system choose.
    interface : str or None
        Network interface of the ranks' machines (its name, such as "eth0"), or an address, at which they listen and are
        reached; None is the address by which the engine knows the machine.
    deadline : float
        Seconds without a sign of life after which a peer counts as lost; a parameter shard may take twice as long to come back.
    checkpoint : Checkpoint or None
        Where and how often the fit keeps what it needs to go on.

    Raises
    ------
    ConfigError
        For any value that is not one of those above, and for combinations that do not exist.
    """

    task: Literal["classification", "regression"] = "classification"
    loss: str = "log_loss"
    epsilon: float = 0.1
    quantile: float = 0.5
    power: float = 1.5
    penalty: str | None = "l2"
    alpha: float | Literal["auto"] = "auto"
    l1_ratio: float = 0.15
    fit_intercept: bool = True
    family: str = "auto"
    class_weight: Any = None
    optimizer: str = "auto"
    learning_rate: str = "constant"
    eta0: float | Literal["auto"] = "auto"
    power_t: float = 0.5
    warmup_steps: int = 0
    batch_size: int | Literal["auto"] = "auto"
    max_iter: int = 100
    tol: float | None = 1e-4
    n_iter_no_change: int = 1
    early_stopping: bool = False
    validation_fraction: float = 0.1
    average: bool | int = False
    shuffle: bool = True
    standardize: bool = False
    dtype: Literal["float32", "float64"] = "float32"
    mode: Mode = field(default_factory=Sync)
    n_workers: int = 1
    threads_per_worker: int = 1
    seed: int = 0
    cache_bytes: int | None = None
    memory_limit: int | None = None
    encrypt: bool = True
    port_range: tuple[int, int] | None = None
    interface: str | None = None
    deadline: float = 30.0
    checkpoint: Checkpoint | None = None

    def __post_init__(self):
        for parameter in fields(self):
            value = getattr(self, parameter.name)
            if isinstance(value, np.generic):  # numpy's numbers, booleans and strings are as good as Python's
                object.__setattr__(self, parameter.name, value.item())
        refuse_values(self)
        refuse_combinations(self)

    @property
    def plain(self) -> bool:
        """Whether "auto" means plain steps, row by row: scikit-learn's rates were given, and nothing that it does not have."""
        asked = self.eta0 != "auto" or self.learning_rate == "optimal"
        steps = self.batch_size == "auto" and self.warmup_steps == 0 and self.learning_rate != "cosine"
        rows = isinstance(self.mode, Sync) and self.mode.topology != "engine"
        alone = self.n_workers == 1 and rows and self.family != "multinomial"
        return self.optimizer == "auto" and asked and steps and alone

    @property
    def strengths(self) -> tuple[float, float]:
        """Shares (l1, l2) of ``alpha``."""
        ratio = {None: None, "l2": 0.0, "l1": 1.0, "elasticnet": self.l1_ratio}[self.penalty]
        return (0.0, 0.0) if ratio is None else (ratio, 1.0 - ratio)


@dataclass(frozen=True)
class TrainedLinear:
    """What a fit brings back.

    Attributes
    ----------
    coef : ndarray of shape (k, d), float32 or float64
        On the scale of the data as given (standardisation undone); ``d`` as in ``spec.layout``.
    intercept : ndarray of shape (k,)
    classes : ndarray of shape (classes,), or None for regression
        The labels as the user wrote them, ascending; k is 1 for two classes.
    spec : FeatureSpec
        As fitted: what predicting needs (means for missing values included).
    loss : str
    loss_parameters : dict
        ``epsilon``, ``quantile``, ``power`` as far as the loss has them.
    outputs : {"single", "softmax", "ovr"}
    epochs : int
        Epochs that were run.
    steps : int
    history : tuple of dict
        One record per epoch: ``epoch``, ``objective`` (penalty included), ``expected`` (the objective that the recipe
        expected after its next step, when it does), ``validation`` (mean loss on the validation rows, when there are),
        ``seconds`` (since the training began), ``rows`` (that trained).
    converged : bool
        Whether the stopping rule ended the fit, rather than ``max_iter``.
    state : dict
        What a later fit needs to go on where this one stopped: the optimiser's arrays ``first`` and ``second``, its ``rule``
        and ``step``, and the ``weight`` of the rows that the model has seen.
    kept : object, optional
        What became of the weights where ranks have kept them; ``coef`` is then of shape (k, 0), and ``state`` without arrays.
    """

    coef: np.ndarray
    intercept: np.ndarray
    classes: np.ndarray | None
    spec: FeatureSpec
    loss: str
    loss_parameters: dict[str, float]
    outputs: Literal["single", "softmax", "ovr"]
    epochs: int
    steps: int
    history: tuple[dict, ...]
    converged: bool
    state: dict[str, Any]
    kept: Any = None
