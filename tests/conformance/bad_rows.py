"""Rows that a fit must refuse: what is done to good ones, how they are fitted, and what the refusal must say.

Rows come as two tables of thirty, which a face takes as one matrix, two partitions or two files. What is wrong is mostly in row
7 of the second.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

ROWS, BAD_TABLE, BAD_ROW = 30, 1, 7


def good() -> list[pa.Table]:
    """Two tables of two numbers, a category, a weight, and labels of three kinds."""
    rng = np.random.default_rng(3)
    tables = []
    for _ in range(2):
        x, z = rng.normal(size=(2, ROWS))
        columns = {"x": x, "z": z, "city": np.array(["Ulm", "Bonn", "Kiel"])[rng.integers(0, 3, ROWS)]}
        columns |= {"w": np.ones(ROWS), "y": np.arange(ROWS) % 2, "count": np.arange(ROWS) % 4 + 1.0}
        tables.append(pa.table(columns))
    return tables


def with_value(column: str, value: Any, kind: Any = None) -> Callable:
    """Put a value into the bad row of a column."""

    def change(tables):
        table = tables[BAD_TABLE]
        values = table.column(column).to_pylist()
        values[BAD_ROW] = value
        return [tables[0], set_column(table, column, pa.array(values, kind))]

    return change


def set_column(table: pa.Table, column: str, values: pa.Array) -> pa.Table:
    """Replace a column."""
    return table.set_column(table.schema.get_field_index(column), column, values)


def in_all(column: str, value: Callable[[np.ndarray], Any]) -> Callable:
    """Change a column of all tables."""
    return lambda tables: [set_column(t, column, pa.array(value(t.column(column).to_numpy()))) for t in tables]


def without(column: str) -> Callable:
    """Leave a column out of the second file."""
    return lambda tables: [tables[0], tables[1].drop_columns([column])]


def as_text(column: str) -> Callable:
    """Have a column of strings in the second file."""
    return lambda tables: [tables[0], set_column(tables[1], column, pa.array(["a"] * ROWS))]


@dataclass(frozen=True)
class Case:
    """What is done to good rows, how they are fitted, and what the refusal must say."""

    name: str
    change: Callable[[list[pa.Table]], list[pa.Table]] = field(repr=False)
    says: str
    column: str = ""
    located: bool = False
    label: str = "y"
    weight: str | None = None
    features: tuple[str, ...] = ("x", "z")
    kinds: tuple[str, ...] = ("matrix", "table", "files")
    parameters: dict[str, Any] = field(default_factory=dict)

    @property
    def tables(self) -> list[pa.Table]:
        return self.change(good())

    @property
    def task(self) -> str:
        return "regression" if self.label == "count" else "classification"


NAMED = ("table", "files")
POISSON = {"loss": "poisson"}
REFUSED = [
    Case("missing feature", lambda t: t, "no column", "nope", features=("x", "nope"), kinds=("files",)),
    Case("missing label", lambda t: t, "no column", "nope", label="nope", kinds=NAMED),
    Case("missing weight", lambda t: t, "no column", "nope", weight="nope", kinds=NAMED),
    Case("dates", in_all("x", lambda x: x.astype("datetime64[s]")), "timestamp", "x", kinds=NAMED),
    Case("lists for labels", in_all("y", lambda y: [[v] for v in y]), "label", "y", kinds=NAMED),
    Case("text for weights", in_all("w", lambda w: w.astype(str)), "number", "w", weight="w", kinds=NAMED),
    Case("text for targets", in_all("count", lambda v: v.astype(str)), "number", label="count", kinds=NAMED),
    Case("NaN", with_value("z", np.nan), "null|NaN", "z", True),
    Case("infinity", with_value("z", np.inf), "inf", "z", True),
    Case("null", with_value("z", None, pa.float64()), "null|NaN", "z", True),
    Case("NaN label", with_value("count", np.nan), "finite|null", "count", True, label="count"),
    Case("null label", with_value("y", None, pa.int64()), "finite|null", "y", True, kinds=NAMED),
    Case("null weight", with_value("w", None, pa.float64()), "finite|null", "w", True, weight="w"),
    Case("infinite weight", with_value("w", np.inf), "finite", "w", True, weight="w"),
    Case("negative weight", with_value("w", -1.0), "negative", "w", True, weight="w"),
    Case("no weight at all", in_all("w", np.zeros_like), "weights .* are zero", "w", weight="w"),
    Case("one class", in_all("y", np.zeros_like), "at least two classes", "y"),
    Case("outside the domain", with_value("count", -1.0), "poisson", "count", True, label="count", parameters=POISSON),
    Case("fractions for classes", with_value("w", 0.5), "class", "w", True, label="w", features=("x",), kinds=NAMED),
    Case("no rows", lambda t: [table.slice(0, 0) for table in t], "no rows|minimum of 1"),
    Case("a column in one file only", without("x"), r"part-1\.parquet", "x", kinds=("files",)),
    Case("a label in one file only", without("y"), r"part-1\.parquet", "y", kinds=("files",)),
    Case("another type in one file", as_text("x"), r"string \S* ?in \S+part-1\.parquet", "x", kinds=("files",)),
    Case("another kind of label in one file", as_text("y"), r"part-1\.parquet", "y", kinds=("files",)),
]
