"""What is written of predictions: the class or the mean, and the probabilities that a model has, as columns of Arrow."""

import numpy as np
import pyarrow as pa

from .model import LinearModel


def prediction_columns(model: LinearModel, scores: np.ndarray) -> dict[str, pa.Array]:
    """Return the columns that some scores give; the model's weights are not looked at.

    Parameters
    ----------
    model : LinearModel
    scores : ndarray of shape (n,) or (n, k)

    Returns
    -------
    dict of str to Array
        ``prediction``, and for a classifier with probabilities ``probability_<class>`` for each class; of n values.

    Examples
    --------
    >>> from dsgd.data.spec import FeatureSpec
    >>> model = LinearModel(np.array([[2.0]]), np.array([-1.0]), np.array(["no", "yes"]), FeatureSpec(("x",)), "log_loss")
    >>> {name: column.to_pylist() for name, column in prediction_columns(model, np.array([0.0])).items()}
    {'prediction': ['no'], 'probability_no': [0.5], 'probability_yes': [0.5]}
    """
    columns = {"prediction": pa.array(model.predictions(scores))}
    if model.classes is not None and model.loss_object.probabilities:
        probabilities = model.probabilities(scores)
        for k, name in enumerate(model.classes.tolist()):
            columns[f"probability_{name}"] = pa.array(np.ascontiguousarray(probabilities[:, k]))
    return columns
