"""``dsgd evaluate``: a model's metrics on labelled Parquet files, as a table or as JSON."""

import json
from math import isnan
from typing import Any

import click

from .common import as_json, debug, filters


@click.command(name="evaluate")
@click.argument("model")
@click.argument("data")
@click.option("--label", help="Column with the truth; by default as at the fit.")
@click.option("--weight", help="Column of row weights; by default as at the fit.")
@click.option("--offset", help="Column that is added to the score; by default as at the fit.")
@filters
@as_json
@debug
def command(model: str, data: str, filters: list[Any], as_json: bool, **given: str | None) -> None:
    """Measure MODEL on the labelled Parquet files at DATA."""
    from dsgd import ConfigError, read_parquet
    from dsgd.fitted import load

    from ..jobs import roles

    fitted = load(model)
    columns = roles(model, **given)
    if "label" not in columns:
        raise ConfigError(f"{model} does not say which column is the label; give --label")
    results = fitted.evaluate(read_parquet(data, filters=list(filters) or None, **columns))
    if as_json:
        # JSON has no NaN: what the rows do not define (the AUC of one class, say) is null.
        click.echo(json.dumps({name: None if isnan(value) else value for name, value in results.items()}, indent=1))
    else:
        _print(results)


def _print(results: dict[str, float]) -> None:
    from rich.table import Table

    from ..terminal import console

    table = Table()
    table.add_column("metric", no_wrap=True)
    table.add_column("value", justify="right", no_wrap=True)
    for name, value in results.items():
        table.add_row(name, f"{value:.6g}")
    console().print(table)
