"""``dsgd predict``: a model's predictions for Parquet files, as one Parquet file in the order of the rows."""

from pathlib import Path
from typing import Any

import click

from ..options import ColumnList
from .common import debug, filters, force


@click.command(name="predict")
@click.argument("model")
@click.argument("data")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Parquet file to write.")
@click.option("--keep", type=ColumnList(), help="Columns of DATA to put beside the predictions (an identifier, say).")
@click.option("--offset", help="Column that is added to the score; by default as at the fit.")
@filters
@force
@debug
def command(
    model: str, data: str, out: Path, keep: list[str] | None, offset: str | None, filters: list[Any], force: bool
) -> None:
    """Write the predictions of MODEL for the Parquet files at DATA.

    The column prediction holds the class or the mean; a classifier with probabilities adds probability_CLASS for each.
    """
    from dsgd import read_parquet
    from dsgd.fitted import load

    from ..jobs import roles
    from ..outputs import check_file, whole
    from ..predictions import write_predictions

    check_file(out, force)
    fitted = load(model)
    offset = roles(model, offset=offset).get("offset")
    dataset = read_parquet(data, offset=offset, filters=list(filters) or None)
    with whole(out, force) as unfinished:
        write_predictions(unfinished, fitted, dataset, keep or ())
