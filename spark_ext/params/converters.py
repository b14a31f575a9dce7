"""What a Param's value may be, where Spark's own converters know no such kind."""

from typing import Any

from pyspark.ml.param import TypeConverters

from dsgd.fitted import LinearModel


def text(value: Any) -> str:
    """Let text through; Spark 3.5's own converter fails beside numpy 2 for what is none."""
    if not isinstance(value, str):
        raise TypeError(f"Could not convert {value!r} of {type(value).__name__} to text")
    return str(value)


def texts(value: Any) -> list[str]:
    """Convert to a list of text."""
    if isinstance(value, str):
        raise TypeError(f"Expected a list of text, such as [{value!r}], not {value!r}")
    return [text(one) for one in TypeConverters.toList(value)]


def number_or_auto(value: Any) -> float | str:
    """Convert to a float, or let "auto" through."""
    return "auto" if value == "auto" else TypeConverters.toFloat(value)


def integer_or_auto(value: Any) -> int | str:
    """Convert to an int, or let "auto" through."""
    return "auto" if value == "auto" else TypeConverters.toInt(value)


def integer_auto_or_epoch(value: Any) -> int | str:
    """Convert to an int, or let "auto" and "epoch" through."""
    return value if value in ("auto", "epoch") else TypeConverters.toInt(value)


def boolean_or_integer(value: Any) -> bool | int:
    """Let a bool through, convert everything else to an int."""
    return value if isinstance(value, bool) else TypeConverters.toInt(value)


def name_or_names(value: Any) -> str | list[str]:
    """Let a column's name through, convert everything else to a list of names."""
    return value if isinstance(value, str) else texts(value)


def crosses(value: Any) -> list[list[str]]:
    """Convert to a list of lists of column names."""
    if isinstance(value, str) or any(isinstance(names, str) for names in value):
        raise TypeError(f"Expected lists of column names, such as [['a', 'b']], not {value!r}")
    return [texts(list(names)) for names in value]


def positive_but_one(value: Any) -> list[float]:
    """Convert to a list of floats >= 0, of which at most one is 0.

    Examples
    --------
    >>> positive_but_one([0, 1])
    [0.0, 1.0]
    """
    numbers = TypeConverters.toListFloat(value)
    if not numbers or min(numbers) < 0 or numbers.count(0.0) > 1:
        raise TypeError(f"Expected numbers > 0, one for each class, of which one may be 0, not {value!r}")
    return numbers


def fitted_model(value: Any) -> Any:
    """Let a model that Spark's estimators have fitted, or loaded, through."""
    if not isinstance(getattr(value, "core", None), LinearModel):
        raise TypeError(
            f"Expected a fitted model of spark_ext, not {type(value).__name__}; for one that is saved, use"
            " SGDClassificationModel.load(path) or SGDRegressionModel.load(path)"
        )
    return value
