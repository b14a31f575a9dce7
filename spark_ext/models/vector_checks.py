"""What every row's vector must be, as Spark expressions: a row that breaks a rule ends the query with an error that says so."""

from pyspark.sql import Column
from pyspark.sql import functions as F  # noqa: N812


def of_size(name: str, column: Column, size: int) -> Column:
    """Return the vectors, or an error for one that is missing or of another size.

    Parameters
    ----------
    name : str
        Of the column, for the message.
    column : Column
    size : int
    """
    parts = F.unwrap_udt(column)
    found = F.coalesce(parts["size"], F.size(parts["values"]))  # a dense vector does not say its size
    wrong = F.concat(
        F.lit(f"column '{name}' has a vector of size "), found.cast("string"), F.lit(f"; {size} was expected")
    )
    missing = F.lit(f"column '{name}' has a row without a vector; every row needs one: filter such rows out")
    return F.when(column.isNull(), F.raise_error(missing)).when(found != size, F.raise_error(wrong)).otherwise(column)


def refusing_non_finite(name: str, score: Column) -> Column:
    """Return an error where the score is not finite, to go on with ``otherwise``: then a feature is not, for no coefficient is.

    Parameters
    ----------
    name : str
        Of the features' column, for the message.
    score : Column
    """
    wrong = F.lit(f"column '{name}' has a vector with NaN or infinity; filter such rows out, or impute them before")
    return F.when(F.isnan(score - score), F.raise_error(wrong))
