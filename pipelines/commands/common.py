"""Options that several commands share, so that they read and behave alike everywhere."""

from collections.abc import Callable
from typing import Any

import click

from ..options import RowFilter

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def _remember(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    ctx.meta["debug"] = value  # shared with the group, which decides what becomes of an exception


debug = click.option(
    "--debug", is_flag=True, expose_value=False, callback=_remember, help="Show the traceback of an error."
)
force = click.option("--force", is_flag=True, help="Replace the output if it exists.")
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
_conditions: Any = {"type": RowFilter(), "multiple": True, "metavar": "CONDITION"}
filters = click.option(
    "--filter",
    "filters",
    **_conditions,
    help="Use only rows that meet the condition, like 'month < 11'; several are joined by 'and'.",
)
validation = click.option(
    "--validation", metavar="PATH", help="Parquet files to validate on; DATA if only filters are given."
)
validation_filters = click.option(
    "--validation-filter", "validation_filters", **_conditions, help="Validate only on rows that meet the condition."
)


def stacked(*decorators: Decorator) -> Decorator:
    """Join decorators into one that applies them in reading order."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate


def given(values: dict[str, Any]) -> dict[str, Any]:
    """Only the parameters that the user gave.

    Examples
    --------
    >>> given({"alpha": None, "tol": 0.0, "interactions": ()})
    {'tol': 0.0}
    """
    return {name: value for name, value in values.items() if value is not None and value != ()}
