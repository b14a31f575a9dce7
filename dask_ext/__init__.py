"""Estimators and engine for a Dask cluster: the same names as in ``dsgd``, on the workers of a ``distributed.Client``.

Each is imported when it is first asked for: the cluster's workers need none of them, and a member that is started again would
wait for scikit-learn.
"""

from typing import TYPE_CHECKING

from dsgd.importing import importing_later, require_packages

require_packages("dask_ext", "dask", "dask", "distributed", "pandas")

if TYPE_CHECKING:
    from dsgd.fitted import LinearModel, load

    from .classifier import SGDClassifier
    from .engine import DaskEngine
    from .regressor import SGDRegressor
    from .sweep import SweepCV

__all__ = ["DaskEngine", "LinearModel", "SGDClassifier", "SGDRegressor", "SweepCV", "load"]

__getattr__, __dir__ = importing_later(
    __name__,
    {
        "DaskEngine": ".engine",
        "LinearModel": "dsgd.fitted",
        "SGDClassifier": ".classifier",
        "SGDRegressor": ".regressor",
        "SweepCV": ".sweep",
        "load": "dsgd.fitted",
    },
)
