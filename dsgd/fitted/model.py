"""A fitted linear model: what a fit brings back, able to score, predict, measure itself and be saved.

In comes any kind of data that can be fitted; out come scores, classes, probabilities, or named metrics. The features are
encoded by the spec that the fit used, so that a missing column or a wrong type is found again, with column, file and row.
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np

from ..data.dataset import Dataset
from ..data.sources import as_dataset
from ..data.spec import FeatureSpec
from ..errors import ConfigError, DataError
from ..losses import OneVersusRest, Softmax, make_loss
from ..metrics import Metrics, metrics_for
from ..train.config import TrainedLinear
from . import scoring
from .describe import Described
from .targets import as_targets, class_positions


@dataclass(frozen=True, repr=False)
class LinearModel(Described):
    """A linear model of k outputs over d weights.

    Attributes
    ----------
    coef : ndarray of shape (k, d), float32 or float64
        On the scale of the data as given.
    intercept : ndarray of shape (k,)
    classes : ndarray of shape (classes,), or None for regression
    spec : FeatureSpec
    loss : str
        A key of ``dsgd.losses.LOSSES``.
    loss_parameters : dict
    outputs : {"single", "softmax", "ovr"}
    epochs, steps : int
        Of the fit.
    history : tuple of dict
        One record per epoch.
    converged : bool

    Examples
    --------
    >>> spec = FeatureSpec(("x",))
    >>> model = LinearModel(np.array([[2.0]]), np.array([-1.0]), np.array(["no", "yes"]), spec, "log_loss")
    >>> model.predict(np.array([[0.0], [1.0]])).tolist()
    ['no', 'yes']
    >>> model.predict_proba(np.array([[0.5]])).tolist()
    [[0.5, 0.5]]
    """

    coef: np.ndarray
    intercept: np.ndarray
    classes: np.ndarray | None
    spec: FeatureSpec
    loss: str
    loss_parameters: dict[str, float] = field(default_factory=dict)
    outputs: Literal["single", "softmax", "ovr"] = "single"
    epochs: int = 0
    steps: int = 0
    history: tuple[dict, ...] = ()
    converged: bool = False

    def __post_init__(self):
        expected = (len(self.intercept), self.spec.layout.size)
        if self.coef.shape != expected:
            raise DataError(f"the features need coefficients of shape {expected}, not {self.coef.shape}")

    @classmethod
    def of(cls, trained: TrainedLinear) -> "LinearModel":
        """Return what a fit brought back, a :class:`TrainedLinear`, as a model; the optimiser's state is left behind.

        Softmax does not change when the same number is added to all intercepts; theirs are made to add up to 0, as Spark ML does.
        A model that the ranks have saved reads its weights when they are asked for.
        """
        return cls(**fields_of(trained)) if trained.kept is None else trained.kept

    def trained(self, state: dict[str, Any] | None = None) -> TrainedLinear:
        """Return the model as the start of another fit; ``state`` is the optimiser's, as in :class:`TrainedLinear`."""
        fields = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return TrainedLinear(**fields, state=dict(state or {}))

    def __getstate__(self):
        return {name: value for name, value in vars(self).items() if name != "_params"}

    @property
    def task(self) -> Literal["classification", "regression"]:
        """What the model predicts."""
        return "regression" if self.classes is None else "classification"

    @property
    def loss_object(self) -> Any:
        """The loss that was trained: of one score a row, or of k."""
        loss, k = make_loss(self.loss, **self.loss_parameters), len(self.intercept)
        return {"single": loss, "softmax": Softmax(k), "ovr": OneVersusRest(loss, k)}[self.outputs]

    @cached_property
    def _params(self) -> np.ndarray:
        """Weights and intercepts as the kernels want them: flat, of a matrix of shape (d + 1, k)."""
        return np.concatenate([self.coef.T, self.intercept[None].astype(self.coef.dtype)]).ravel()

    def dataset(self, X: Any, offset: Any = None) -> Dataset:
        """Return data as a dataset of this model's features, without label; parameters as in :meth:`decision_function`."""
        return scoring.features_only(as_dataset(X, offset=offset, spec=self.spec), self.spec)

    def decision_function(self, X: Any, offset: Any = None) -> np.ndarray:
        """Return the scores before the inverse link.

        Parameters
        ----------
        X : matrix of shape (n, d), frame, Arrow table, or Dataset
            With the columns that the model was fitted on; a label or a weight among them is not used.
        offset : array of shape (n,) or column's name, optional
            Added to the scores.

        Returns
        -------
        ndarray of shape (n,), or (n, k) for more than two classes

        Raises
        ------
        DataError
            For missing columns, wrong types and values that are not finite.
        """
        return scoring.scores(self.dataset(X, offset), self._params, len(self.intercept))

    def predict(self, X: Any, offset: Any = None) -> np.ndarray:
        """Return the class of each row, or the mean of the target; parameters as in :meth:`decision_function`.

        Returns
        -------
        ndarray of shape (n,), of the classes' dtype, or of the coefficients' for regression
        """
        return self.predictions(self.decision_function(X, offset))

    def predict_proba(self, X: Any, offset: Any = None) -> np.ndarray:
        """Return the probability of each class; parameters as in :meth:`decision_function`.

        Returns
        -------
        ndarray of shape (n, classes)

        Raises
        ------
        ConfigError
            For regression, and for losses that have no probabilities.
        """
        self.check_probabilities()
        return self.probabilities(self.decision_function(X, offset))

    def predictions(self, scores: np.ndarray) -> np.ndarray:
        """Turn scores, as :meth:`decision_function` returns them, into classes, or into means of the target."""
        if self.classes is None:
            return np.asarray(self.loss_object.inverse_link(scores))
        return self.classes[(scores > 0).astype(np.intp) if scores.ndim == 1 else scores.argmax(axis=1)]

    def probabilities(self, scores: np.ndarray) -> np.ndarray:
        """Turn scores, as :meth:`decision_function` returns them, into probabilities of shape (n, classes)."""
        self.check_probabilities()
        values = self.loss_object.inverse_link(scores)
        return np.column_stack([1 - values, values]) if values.ndim == 1 else values

    def check_probabilities(self) -> None:
        """Raise ConfigError unless the model has probabilities."""
        if self.classes is None:
            raise ConfigError("a regression has no probabilities; use predict")
        if not self.loss_object.probabilities:
            raise ConfigError(
                f"loss={self.loss!r} has no probabilities; fit with loss='log_loss' or 'modified_huber', or use "
                "decision_function"
            )

    def evaluate(self, X: Any, y: Any = None, sample_weight: Any = None, offset: Any = None) -> dict[str, float]:
        """Return the metrics of the task, by name; see :func:`dsgd.metrics.metrics_for`.

        Parameters
        ----------
        X : as in :meth:`decision_function`
        y, sample_weight, offset : array of shape (n,), or column's name, optional
            Not for a Dataset, which names its own.

        Returns
        -------
        dict of str to float

        Raises
        ------
        DataError
            Also for a label that is none of the classes.
        """
        return self.measure(X, y, sample_weight, offset).results()

    def measure(self, X: Any, y: Any = None, sample_weight: Any = None, offset: Any = None) -> Metrics:
        """Return the metrics of some rows, to be merged with those of others; parameters as in :meth:`evaluate`."""
        dataset = as_dataset(X, y, sample_weight, offset, spec=self.spec)
        if dataset.roles.label is None:
            raise ConfigError("measuring needs labels; give y, or a dataset that names its label")
        metrics = self.metrics()
        for block, scores, encoder in scoring.scored_blocks(dataset, self._params, len(self.intercept)):
            metrics.update(scores, self._targets(block.label, encoder), block.weight)
        return metrics

    def metrics(self) -> Metrics:
        """Return the metrics of the task, empty."""
        if self.classes is None:
            return metrics_for("regression", loss=self.loss_object)
        kind = "binary" if self.outputs == "single" else "multiclass"
        return metrics_for(kind, classes=len(self.classes), loss=self.loss_object)

    def _targets(self, label: np.ndarray, encoder) -> np.ndarray:
        if self.classes is None:
            if encoder.labels.kind == "string":
                raise DataError("the label is text and a number was expected; use a numeric column")
            return label
        return as_targets(class_positions(label, self.classes, encoder), len(self.intercept))

    def weights(self, column: str) -> dict[str, np.ndarray]:
        """Return the weights of one column of the data, or of one interaction (``"a x b"``).

        Parameters
        ----------
        column : str

        Returns
        -------
        dict
            ``position``: ndarray of shape (w,), places in ``coef``; ``weight``: ndarray of shape (k, w); and for a column with a
            vocabulary ``value``: its values, with None for all others.

        Raises
        ------
        ConfigError
            For a column that the model does not have.
        """
        places = {place.name: place for place in self.spec.layout.columns}
        if column not in places:
            raise ConfigError(f"the model has no column {column!r}; its columns are {list(places)}")
        place = places[column]
        table = {
            "position": np.arange(place.start, place.stop),
            "weight": self.coef[:, place.start : place.stop],
        }
        known = {c.name: c.values for c in self.spec.categorical if c.values is not None}
        if column in known:
            table["value"] = np.array([*known[column], None], object)
        return table

    def save(self, path: Any, *, overwrite: bool = False) -> None:
        """Save the model as a directory; see :func:`dsgd.fitted.files.save`."""
        from .files import save

        save(self, path, overwrite=overwrite)


def fields_of(trained: TrainedLinear) -> dict[str, Any]:
    """Return the fields of the model of a fit."""
    fields = {name: getattr(trained, name) for name in LinearModel.__dataclass_fields__}
    if trained.outputs == "softmax":
        fields["intercept"] = trained.intercept - trained.intercept.mean()
    return fields
