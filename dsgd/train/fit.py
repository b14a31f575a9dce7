"""The driver's side of a fit: a dataset, a configuration and an engine in; a trained model out."""

from collections.abc import Callable

from ..data.dataset import Dataset
from .config import FitConfig, TrainedLinear
from .engine import Engine


def fit(
    dataset: Dataset,
    config: FitConfig,
    engine: Engine,
    *,
    validation: Dataset | None = None,
    initial: TrainedLinear | None = None,
    classes=None,
    on_report: Callable[[dict], None] = lambda record: None,
) -> TrainedLinear:
    """Train a linear model.

    Parameters
    ----------
    dataset : Dataset
        With its label named; see ``dsgd.data``.
    config : FitConfig
    engine : Engine
    validation : Dataset, optional
        For early stopping, instead of a fraction of ``dataset``.
    initial : TrainedLinear, optional
        Where to start (warm start, ``partial_fit``); of the same features, classes and loss.
    classes : array-like, optional
        All classes that there can be, when ``dataset`` need not hold all of them (``partial_fit``).
    on_report : callable
        Called with a small record for each epoch while the fit runs, as far as the engine can bring them.

    Raises
    ------
    ConfigError, DataError, WorkerLost
    """
    raise NotImplementedError
