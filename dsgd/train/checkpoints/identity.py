"""What tells one fit from another: a checkpoint is of use to the fit that made it alone."""

import hashlib
import json
from typing import Any

import numpy as np

from ...data.dataset import Dataset
from ...errors import CheckpointError
from ..config import FitConfig, TrainedLinear
from ..modes import Sync, name_of

# How a fit is run and when it ends may change from one beginning to the next; what is computed may not.
_FREE = frozenset(
    {
        "mode", "n_workers", "threads_per_worker", "cache_bytes", "memory_limit", "encrypt", "port_range", "interface",
        "deadline", "max_iter", "tol", "n_iter_no_change", "checkpoint", "class_weight",
    }
)  # fmt: skip

# Of rows that are the same, sums in float32 differ by rounding, which is less than these parts of a column's spread and mean.
_SPREADS, _MEANS = 1e-5, 1e-6
# Columns whose moments are compared.
_COLUMNS = 64


def identity_of(
    dataset: Dataset, config: FitConfig, validation: Dataset | None, initial: TrainedLinear | None
) -> dict[str, Any]:
    """A JSON-ready description of a fit, alike whenever the same is asked for."""
    mode = config.mode
    fields = {name: value for name, value in vars(config).items() if name not in _FREE}
    weights = config.class_weight
    fields["class_weight"] = sorted(map(str, weights.items())) if isinstance(weights, dict) else weights
    fields["mode"] = name_of(mode) if mode.topology != "engine" else "engine"
    if isinstance(mode, Sync):
        fields |= {"local_steps": mode.local_steps, "compression": mode.compression}
    fields["features"] = _digest(dataset.spec.to_dict())
    fields["label"], fields["weights"] = dataset.roles.label, dataset.roles.weight
    fields["offset"] = dataset.roles.offset
    fields["rows"] = rows_of(dataset)
    fields["validation"] = None if validation is None else rows_of(validation)
    fields["start"] = None if initial is None else _bits(initial.coef, initial.intercept)
    return json.loads(json.dumps(fields, default=str))


def rows_of(dataset: Dataset) -> str:
    """The rows by what is known of them before they are read: how many, and of which files."""
    if not dataset.counted:
        return "not known before they are read"
    splits = dataset.splits()
    places = [(split.path.rsplit("/", 1)[-1], split.row_group, split.start, split.rows) for split in splits]
    where = f" of files {_digest(sorted(places))[:12]}" if dataset.anywhere else ""
    return f"{sum(split.rows for split in splits)}{where}"


def refuse_other(ours: dict[str, Any], theirs: Any, uri: str) -> None:
    """Raise CheckpointError when a directory's checkpoints are of another fit, and say in what they differ."""
    if not isinstance(theirs, dict):
        raise CheckpointError(f"{uri}/fit.json is damaged; begin anew with Checkpoint(..., resume=False)")
    other = [name for name in {**ours, **theirs} if ours.get(name) != theirs.get(name)]
    if other:
        found = "; ".join(f"{name} was {theirs.get(name)!r} and is {ours.get(name)!r}" for name in sorted(other)[:4])
        raise CheckpointError(
            f"checkpoint={uri!r} holds checkpoints of another fit: {found}. Name another directory, or begin anew with "
            "Checkpoint(..., resume=False)"
        )


def moments_of(statistics: Any, dense: bool = True) -> list[list[float]]:
    """Means and standard deviations of what a fit's rows have, by which other rows are told from them; JSON-ready.

    Parameters
    ----------
    statistics : dsgd.data.statistics.Statistics
        Of all rows.
    dense : bool
        Whether of the first dense columns too, where all ranks have all of them.
    """
    label = statistics.label
    found = [[float(label.mean), float(np.sqrt(label.variance))]]
    if label.classes is not None and label.class_weight.sum() > 0:
        number = np.arange(len(label.class_weight))
        mean = np.average(number, weights=label.class_weight)
        found.append([float(mean), float(np.sqrt(np.average((number - mean) ** 2, weights=label.class_weight)))])
    if dense:
        pairs = zip(statistics.mean[:_COLUMNS], np.sqrt(statistics.variance[:_COLUMNS]), strict=True)
        found += [[float(mean), float(deviation)] for mean, deviation in pairs]
    return found


def alike(ours: list[list[float]], theirs: list[list[float]]) -> bool:
    """Whether two lists of :func:`moments_of` are of the same rows, summed in another order perhaps.

    Examples
    --------
    >>> alike([[0.5, 0.1]], [[0.5 + 1e-12, 0.1]]), alike([[0.5, 0.1]], [[0.501, 0.1]]), alike([[0.5, 0.1]], [])
    (True, False, False)
    """
    if len(ours) != len(theirs):
        return False
    (means, spreads), (others, their_spreads) = (
        np.array(pairs, np.float64).reshape(-1, 2).T for pairs in (ours, theirs)
    )
    allowed = (
        _SPREADS * (spreads + their_spreads) + _MEANS * (np.abs(means) + np.abs(others)) + np.finfo(np.float64).tiny
    )
    both = np.abs(np.array([means - others, spreads - their_spreads]))
    return bool((~(both > allowed)).all())


def digest_of(statistics: Any) -> str:
    """Of one rank's own rows: other rows, or the same in another order, have other sums, but for columns of small integers."""
    return hashlib.sha256(statistics.to_bytes()).hexdigest()[:32]


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def _bits(*arrays: np.ndarray) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
