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


def conditions(name: str, destination: str, help: str) -> Decorator:
    """Make an option of conditions that rows must meet."""
    return click.option(name, destination, type=RowFilter(), multiple=True, metavar="CONDITION", help=help)


filters = conditions(
    "--filter", "filters", "Use only rows that meet the condition, like 'month < 11'; several are joined by 'and'."
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
