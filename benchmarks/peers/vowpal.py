"""Vowpal Wabbit 9: one pass of its default learner over the click set, from its own binary cache.

The cache is written once, from a text file that is made on the fly and removed; only the pass over the cache is timed, with
its parser and learner threads on the cores of this process.
"""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset
from vowpalwabbit import Workspace

from ..click import NUMBER_NAMES, STRING_NAMES
from ..data import cached
from ..measure import Sample, timed

BITS = 22  # 4M weights for 0.9M values: collisions are rare, the table stays as small as its users would make it


def _batch_lines(batch: pa.RecordBatch) -> pa.Array:
    """Rows as VW text: the label, a namespace of numbers, and one feature a string column, its name in front."""
    label = pc.if_else(pc.equal(batch["label"], 1), "1 |n", "-1 |n")
    numbers = [
        pc.binary_join_element_wise(f"{j}:", pc.cast(batch[name], pa.string()), "")
        for j, name in enumerate(NUMBER_NAMES)
    ]
    strings = [pc.binary_join_element_wise(f"{name}=", batch[name], "") for name in STRING_NAMES]
    return pc.binary_join_element_wise(label, *numbers, "|c", *strings, " ")


def write_text(source: Path, target: Path) -> None:
    """Write the Parquet files of ``source`` as one text file in VW's input format."""
    with target.open("w") as out:
        for batch in _batches(source):
            out.write("\n".join(_batch_lines(batch).to_pylist()) + "\n")


def _batches(source: Path) -> Iterator[pa.RecordBatch]:
    return pyarrow.dataset.dataset(sorted(map(str, source.glob("*.parquet")))).to_batches(batch_size=50_000)


def _write_cache(source: Path, directory: Path) -> None:
    with tempfile.NamedTemporaryFile(suffix=".vw", dir=directory) as text:
        write_text(source, Path(text.name))
        _pass(f"-d {text.name} --cache_file {directory / 'train.cache'} -k")


def cache_file(source: Path, name: str) -> Path:
    """Make or find VW's cache of the Parquet files in ``source``."""
    return cached(name, lambda directory: _write_cache(source, directory)) / "train.cache"


def _pass(data: str) -> None:
    """Run VW's own driver over ``data``: parsing and learning are native, Python is not on the path."""
    model = Workspace(f"--quiet --no_stdin --loss_function logistic -b {BITS} {data}")
    try:
        if model.get_weighted_examples() == 0:
            raise RuntimeError(f"Vowpal Wabbit read nothing from {data!r}")
    finally:
        model.finish()


def cache_pass(cache: Path) -> Sample:
    """One pass over the cache."""
    return timed(lambda: _pass(f"-d {os.devnull} --cache_file {cache}"))
