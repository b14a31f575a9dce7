"""``dsgd predict``: a model's predictions for Parquet files, as one Parquet file in the order of the rows."""

from pathlib import Path
from typing import Any

import click

from ..options import ColumnList, PortRange
from .common import debug, filters, force, given, stacked

rank_options = stacked(
    click.option(
        "--mode", type=click.Choice(["columns"]), help="Ranks that have a block of the columns each; else one process."
    ),
    click.option(
        "--engine", type=click.Choice(["local", "dask", "spark"]), help="Where the ranks are; local if not given."
    ),
    click.option("--workers", type=click.IntRange(1), help="Ranks; all that the engine has if not given."),
    click.option(
        "--dask-scheduler", metavar="ADDRESS", help="Scheduler to connect to; else processes of this machine."
    ),
    click.option("--spark-master", metavar="URL", help="spark://... or sc://...; else this machine."),
    click.option("--port-range", type=PortRange(), help="Ports at which ranks of different hosts listen."),
    click.option("--interface", help="Network interface, or address, at which they listen."),
    click.option("--deadline", type=float, metavar="SECONDS", help="Silence after which a rank counts as lost."),
)
_RANKS = ("engine", "workers", "dask_scheduler", "spark_master", "port_range", "interface", "deadline")


@click.command(name="predict")
@click.argument("model")
@click.argument("data")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Parquet file to write.")
@click.option("--keep", type=ColumnList(), help="Columns of DATA to put beside the predictions (an identifier, say).")
@click.option("--offset", help="Column that is added to the score; by default as at the fit.")
@filters
@rank_options
@force
@debug
def command(
    model: str,
    data: str,
    out: Path,
    keep: list[str] | None,
    offset: str | None,
    filters: list[Any],
    mode: str | None,
    force: bool,
    **ranks: Any,
) -> None:
    """Write the predictions of MODEL for the Parquet files at DATA.

    The column prediction holds the class or the mean; a classifier with probabilities adds probability_CLASS for each.
    """
    from dsgd import read_parquet

    from ..jobs import roles
    from ..outputs import check_file

    found = given(ranks)
    if mode is None and found:
        option = next(iter(found)).replace("_", "-")
        raise click.UsageError(f"--{option} is about ranks, and goes with --mode columns")
    check_file(out, force)
    offset = roles(model, offset=offset).get("offset")
    dataset = read_parquet(data, offset=offset, filters=list(filters) or None)
    if mode is None:
        _alone(model, dataset, out, keep or (), force)
    else:
        _by_ranks(model, dataset, out, keep or (), force, **ranks)


def _alone(model: str, dataset: Any, out: Path, keep: Any, force: bool) -> None:
    from dsgd.fitted import load

    from ..outputs import whole
    from ..predictions import write_predictions

    fitted = load(model)
    with whole(out, force) as unfinished:
        write_predictions(unfinished, fitted, dataset, keep)


def _by_ranks(model: str, dataset: Any, out: Path, keep: Any, force: bool, workers: int | None, **ranks: Any) -> None:
    from dsgd import predict_in_blocks
    from dsgd.errors import in_words_of
    from dsgd.fitted.files import opened

    from ..faces import engine_of, session
    from .fit import address

    name = ranks["engine"] or "local"
    listening = given({option: ranks[option] for option in ("port_range", "interface", "deadline")})
    words = {"n_workers": "--workers", "overwrite": "--force"} | {o: f"--{o.replace('_', '-')}" for o in listening}
    with in_words_of(words):
        fitted = opened(model)
        where = address(ranks | {"engine": name})
        with session(name, workers=workers, address=where) as there, engine_of(name, there) as engine:
            predict_in_blocks(
                fitted, dataset, out=out, keep=keep, overwrite=force, n_workers=workers, engine=engine, **listening
            )
