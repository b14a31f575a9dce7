"""Row filters: the user's filter as one Arrow expression, the columns it reads, and the rows it keeps."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pyarrow.types as pt

from ..errors import ConfigError, DataError
from .where import Where

_ROW = "__row__"


def as_expression(filters: Any) -> pc.Expression | None:
    """Return filters of either form that pyarrow knows as an expression; None and an empty list keep every row."""
    if filters is None or isinstance(filters, pc.Expression):
        return filters
    try:
        return pq.filters_to_expression(filters) if len(filters) else None
    except (TypeError, ValueError, pa.ArrowException) as error:
        raise ConfigError(
            f"filters must be a pyarrow.compute.Expression or tuples such as ('month', '<', 11), not {filters!r}: {error}"
        ) from error


@dataclass(frozen=True)
class RowFilter:
    """A filter and the columns that it reads."""

    expression: pc.Expression
    columns: tuple[str, ...]

    @classmethod
    def bind(cls, expression: pc.Expression, schema: pa.Schema) -> "RowFilter":
        """Check a filter against a schema.

        Arrow does not tell which columns an expression reads; a column is needed if the filter fails without it.

        Raises
        ------
        DataError
            When it names an unknown column or compares unlike types.
        """
        empty = _plain(schema.empty_table())
        try:
            empty.filter(expression)
        except pa.ArrowException as error:
            reason = str(error).split(" in ", 1)[0]  # Arrow goes on with the schema, a line a column.
            raise DataError(f"the filter {expression} does not fit the columns {schema.names}: {reason}") from error
        return cls(expression, tuple(name for name in schema.names if _fails_without(empty, name, expression)))

    def apply(self, batch: pa.RecordBatch, where: Where) -> tuple[pa.RecordBatch, Where]:
        """Keep the rows of a batch that pass, and remember which rows of the file they are."""
        columns = _plain(pa.table(batch.select(list(self.columns))))
        kept = columns.append_column(_ROW, pa.array(np.arange(batch.num_rows))).filter(self.expression)[_ROW].to_numpy()
        if len(kept) == batch.num_rows:
            return batch, where
        return batch.take(pa.array(kept)), Where(where.path, numbers=where.first + kept)


def _fails_without(empty: pa.Table, name: str, expression: pc.Expression) -> bool:
    try:
        empty.drop_columns([name]).filter(expression)
    except pa.ArrowException:
        return True
    return False


def _plain(table: pa.Table) -> pa.Table:
    """Dictionaries as their values: not all of Arrow's comparisons take dictionaries."""
    fields = [
        field.with_type(field.type.value_type) if pt.is_dictionary(field.type) else field for field in table.schema
    ]
    return table.cast(pa.schema(fields))
