"""``dsgd inspect``: what is in a saved model, and which weights are its strongest, as tables or as JSON."""

import json
from typing import Any

import click

from .common import as_json, debug


@click.command(name="inspect")
@click.argument("model")
@click.option("--top", type=click.IntRange(0), default=20, show_default=True, help="How many of the strongest weights.")
@click.option("--data", help="Parquet files in which to look up the values that hashed weights belong to.")
@as_json
@debug
def command(model: str, top: int, data: str | None, as_json: bool) -> None:
    """Show what is in MODEL."""
    from dsgd import read_parquet
    from dsgd.fitted import load

    from ..inspection import describe, strongest

    fitted = load(model)
    found = describe(fitted) | {"strongest": strongest(fitted, top, None if data is None else read_parquet(data))}
    if as_json:
        click.echo(json.dumps(found, indent=1))
    else:
        _print(found)


def _print(found: dict[str, Any]) -> None:
    from ..terminal import console

    screen = console()
    screen.print(
        f"{found['task']}, {found['loss']}, {found['epochs']} epochs"
        f"{', converged' if found['converged'] else ''}: {found['nonzero']:,} of {found['weights']:,} weights are not zero",
        highlight=False,
    )
    screen.print(
        _table(["column", "kind", "weights", "nonzero"], found["columns"], ["name", "kind", "weights", "nonzero"])
    )
    if found["strongest"]:
        keys = ["class"] if "class" in found["strongest"][0] else []
        keys += ["column", "value", "weight"]
        screen.print(_table(keys, found["strongest"], keys))


def _table(titles: list[str], rows: list[dict[str, Any]], keys: list[str]) -> Any:
    from rich.table import Table

    table = Table()
    for title in titles:
        table.add_column(title, justify="right" if title in ("weights", "nonzero", "weight") else "left")
    for row in rows:
        table.add_row(*(_cell(row[key]) for key in keys))
    return table


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:+.4f}"
    return (
        f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else "" if value is None else str(value)
    )
