"""Predictions by ranks that have a block of the model each: the driver's side, a model and data in, predictions out."""

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, Literal

import numpy as np

from ...data.arrays import unpack
from ...data.column_blocks import ColumnBlock, column_blocks
from ...data.dataset import Dataset
from ...data.parquet import ParquetDataset
from ...data.resolve import Roles
from ...errors import ConfigError, DataError
from ...train.engine import Engine
from ...train.local import LocalEngine
from ...transport.keys import FitKeys
from ..files import opened
from ..model import LinearModel
from ..shards.stored import StoredModel, without_weights
from .output import Output, unfinished
from .rank import BlockTask, Meeting

_START_DEADLINE = 120.0
_METHODS = ("predict", "predict_proba", "decision_function")


def predict_in_blocks(
    model: Any,
    X: Any,
    *,
    method: Literal["predict", "predict_proba", "decision_function"] = "predict",
    offset: Any = None,
    out: Any = None,
    keep: Sequence[str] = (),
    overwrite: bool = False,
    n_workers: int | None = None,
    engine: Engine | None = None,
    topology: Literal["ring", "tree"] = "ring",
    encrypt: bool = True,
    port_range: tuple[int, int] | None = None,
    interface: str | None = None,
    deadline: float = 60.0,
) -> Any:
    """Predict with several ranks, each of which has a block of the columns with their weights, so that none needs all.

    Every rank reads all rows, but only its own columns of them; the scores are summed over the ranks. Of a model that its ranks
    have saved (``mode=Columns(save_to=...)``) each reads the weights of its block alone, however many ranks there were.

    Parameters
    ----------
    model : str, path, URI, or LinearModel
        A saved model, or one (an estimator's ``model_``). A saved model that is not in shards is read by this process.
    X : Dataset (``dsgd.read_parquet``), matrix of shape (n, d), frame or table
        With the columns that the model was fitted on. On other machines than this one: files that they reach.
    method : {"predict", "predict_proba", "decision_function"}
        What is returned.
    offset : array of shape (n,) or column's name, optional
        Added to the scores; a Dataset names its own.
    out : str, path or URI, optional
        A Parquet file to write, of Parquet files; it has a column ``prediction`` and, of a classifier with probabilities,
        ``probability_<class>``. The first rank writes it, and this process moves it to its place.
    keep : sequence of str
        Columns of the files to put beside the predictions, with ``out``.
    overwrite : bool
        Whether a file at ``out`` may be replaced.
    n_workers : int, optional
        Ranks, and blocks; as many as the engine has slots if not given.
    engine : Engine, optional
        ``dask_ext.DaskEngine(client)`` or ``spark_ext.SparkEngine(session)``; processes of this machine for files, and threads
        for data in memory, if not given.
    topology, encrypt, port_range, interface, deadline
        As in the estimators.

    Returns
    -------
    ndarray of shape (n,), (n, classes) or (n, k)
        What the model's method of this name returns; or, with ``out``, the number of rows, int.

    Raises
    ------
    CheckpointError
        When a file of the model is missing, damaged or of another model; told before work starts.
    ConfigError
        For fewer columns than ranks, and what cannot be written or asked for.
    DataError
        For missing columns, wrong types and values that are not finite.
    WorkerLost

    Examples
    --------
    >>> import numpy as np, tempfile
    >>> import dsgd
    >>> X = np.random.default_rng(0).normal(size=(200, 4))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     mode = dsgd.Columns(save_to=folder + "/model")
    ...     _ = dsgd.SGDClassifier(mode=mode, n_workers=2, tol=None, max_iter=3).fit(X, X[:, 0] > 0)
    ...     dsgd.predict_in_blocks(folder + "/model", X[:2], n_workers=3).dtype
    dtype('bool')
    """
    fitted, dataset = _inputs(model, X, method, offset)
    if out is None:
        _refuse(keep=keep, overwrite=overwrite)
    else:
        _check_written(dataset, method, keep)
    with ExitStack() as stack:
        if engine is None:
            processes = None if isinstance(dataset, ParquetDataset) else False
            engine = stack.enter_context(LocalEngine(processes=processes, threads=1))
        size = engine.slots() if n_workers is None else _size(n_workers)
        blocks = _blocks(fitted, dataset, size)
        output = None if out is None else stack.enter_context(unfinished(out, tuple(keep), overwrite))
        keys = FitKeys.generate() if size > 1 else None
        meeting = Meeting(keys, topology, encrypt, deadline, port_range, interface)
        tasks = _tasks(fitted, dataset, blocks, meeting, output)
        answers = engine.launch(
            "dsgd.fitted.blocks.rank:run_rank", tasks, deadline=_START_DEADLINE, on_report=lambda record: None
        )
        arrays, meta = unpack(answers[0], "the first rank's answer")
    if out is not None:
        return meta["rows"]
    scores = np.array(arrays["scores"])
    if method == "decision_function":
        return scores
    return fitted.predictions(scores) if method == "predict" else fitted.probabilities(scores)


def _inputs(model: Any, X: Any, method: str, offset: Any) -> tuple[LinearModel, Dataset]:
    if method not in _METHODS:
        raise ConfigError(f"method must be one of {', '.join(_METHODS)}, not {method!r}")
    fitted = model if isinstance(model, LinearModel) else opened(model)
    if isinstance(fitted, StoredModel):
        fitted.check()
    if method == "predict_proba":
        fitted.check_probabilities()
    dataset = fitted.dataset(X, offset)
    if not dataset.divisible:
        raise ConfigError(
            f"the rows of {dataset!r} lie on their workers with all of their columns; write them to Parquet files"
        )
    return fitted, dataset


def _refuse(**options: Any) -> None:
    for name, value in options.items():
        if value:
            raise ConfigError(f"{name}={value!r} is about a file of predictions; name one in out, or leave {name} out")


def _check_written(dataset: Dataset, method: str, keep: Sequence[str]) -> None:
    if method != "predict":
        raise ConfigError(f"with out, classes and probabilities are both written; leave method={method!r} out")
    if not isinstance(dataset, ParquetDataset):
        raise ConfigError(
            "out is for predictions of Parquet files, dsgd.read_parquet(...); of data in memory leave it out"
        )
    if isinstance(keep, str):
        raise ConfigError(f"keep is a list of columns, not {keep!r}; write [{keep!r}]")
    if len(set(keep)) < len(keep):
        raise ConfigError(f"keep names a column twice: {list(keep)}")
    missing = [name for name in keep if name not in dataset.schema.names]
    if missing:
        raise DataError(f"there is no column {missing[0]!r} to keep; the files have {dataset.schema.names}")


def _size(n_workers: Any) -> int:
    if isinstance(n_workers, np.integer):
        n_workers = n_workers.item()
    if not isinstance(n_workers, int) or isinstance(n_workers, bool) or n_workers < 1:
        raise ConfigError(f"n_workers must be an integer >= 1, not {n_workers!r}")
    return n_workers


def _blocks(model: LinearModel, dataset: Dataset, count: int) -> list[ColumnBlock]:
    """The model's columns in blocks."""
    blocks = column_blocks(model.spec, count, dataset.values_per_row())
    covered = sum(block.size for block in blocks)
    if covered != model.spec.layout.size:
        crossed = [interaction.name for interaction in model.spec.interactions]
        raise ConfigError(
            f"the model's interactions, {crossed}, are not divided among ranks; predict with the model as it is"
        )
    return blocks


def _tasks(
    model: LinearModel, dataset: Dataset, blocks: Sequence[ColumnBlock], meeting: Meeting, output: Output | None
) -> list[BlockTask]:
    rows, splits = dataset.only(dataset.splits())
    bare = without_weights(model)
    stored = isinstance(model, StoredModel)
    dtype = model.shards.dtype if isinstance(model, StoredModel) else model.coef.dtype.name
    tasks = []
    for rank, block in enumerate(blocks):
        own = rows.of_columns(block)
        if rank:
            # The offset belongs to no column: the first rank adds it.
            own.roles = Roles()
        weights = model if stored else model.coef[:, block.positions()].T
        first = {} if rank else {"whole": rows, "output": output}
        tasks.append(BlockTask(own, splits, bare, weights, block.ranges, dtype, meeting, **first))  # type: ignore[arg-type]
    return tasks
