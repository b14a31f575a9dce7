"""Classes as numbers and back: a model's classes, the raw labels of a block, and what the metrics want.

A block holds raw labels (numbers by value, text by a code of the encoder that met it); metrics want -1 and +1 for two
classes with one score, and 0 .. k-1 for k scores.
"""

import numpy as np

from ..data.encode import Encoder
from ..errors import DataError


def class_positions(label: np.ndarray, classes: np.ndarray, encoder: Encoder) -> np.ndarray:
    """Return the position in ``classes`` of each raw label.

    Parameters
    ----------
    label : ndarray of shape (n,)
        As in a block that ``encoder`` made.
    classes : ndarray of shape (k,)
        Ascending.
    encoder : Encoder

    Raises
    ------
    DataError
        For a label that is none of the classes.
    """
    if encoder.labels.kind == "string":
        names = np.array(encoder.labels.values, np.str_)
        return _positions(names, classes.astype(np.str_))[label.astype(np.intp)]
    if classes.dtype.kind == "U":
        raise DataError(f"the label is a number, and the classes of the model are text: {_some(classes)}")
    # Both went through the block's dtype, in which 0.1 of float32 is not 0.1 of float64.
    return _positions(label, classes.astype(label.dtype))


def _positions(labels: np.ndarray, classes: np.ndarray) -> np.ndarray:
    order = np.argsort(classes)
    place = order[np.minimum(np.searchsorted(classes, labels, sorter=order), len(classes) - 1)]
    unknown = classes[place] != labels
    if unknown.any():
        raise DataError(
            f"label {labels[unknown][0].item()!r} is none of the model's classes {_some(classes)}; leave such rows out"
        )
    return place


def _some(classes: np.ndarray) -> str:
    listed = ", ".join(repr(value) for value in classes[:10].tolist())
    return listed + (", ..." if len(classes) > 10 else "")


def as_targets(positions: np.ndarray, outputs: int) -> np.ndarray:
    """Return -1 and +1 for the positions of two classes that share a score, the positions themselves otherwise; float64.

    Examples
    --------
    >>> as_targets(np.array([0, 1]), 1).tolist(), as_targets(np.array([0, 1]), 2).tolist()
    ([-1.0, 1.0], [0.0, 1.0])
    """
    positions = positions.astype(np.float64)
    return 2 * positions - 1 if outputs == 1 else positions
