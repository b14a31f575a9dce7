"""The demo's table on the terminal: one line a run. In: results; out: a rich table."""

from collections.abc import Sequence

from rich.table import Table

from .result import Result


def results_table(results: Sequence[Result], title: str, caption: str) -> Table:
    """Lay the results out, in the order given."""
    table = Table(title=title, caption=caption, title_justify="left", caption_justify="left")
    for name in ("engine", "mode"):
        table.add_column(name, no_wrap=True)
    for name in ("wall time", "rows/s", "log-loss", "AUC"):
        table.add_column(name, justify="right", no_wrap=True)
    for result in results:
        table.add_row(*cells(result))
    return table


def cells(result: Result) -> tuple[str, ...]:
    """The six cells of a run, as text.

    Examples
    --------
    >>> cells(Result("local", "ring, 2 ranks", 2.0, 3_000_000, 0.25125, 0.91234, 2, 1.5))
    ('local', 'ring, 2 ranks', '2.0 s', '1,500,000', '0.2512', '0.9123')
    """
    return (
        result.engine,
        result.mode,
        f"{result.seconds:.1f} s",
        f"{result.rows_per_second:,.0f}",
        f"{result.log_loss:.4f}",
        f"{result.auc:.4f}",
    )
