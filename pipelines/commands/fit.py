"""``dsgd fit``: train a model on Parquet files, with any engine, and save it whole."""

from pathlib import Path
from typing import Any

import click

from ..jobs import ROLES
from ..options import ColumnList, Cross, FloatOr, IntegerOr
from .common import debug, filters, force, given, stacked

LOSSES = (
    "log_loss",
    "hinge",
    "squared_hinge",
    "modified_huber",
    "squared_error",
    "huber",
    "epsilon_insensitive",
    "squared_epsilon_insensitive",
    "quantile",
    "poisson",
    "gamma",
    "tweedie",
)
OPTIMIZERS = ("auto", "sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw", "ftrl", "svrg")
SCHEDULES = ("constant", "invscaling", "optimal", "adaptive", "cosine")

data_options = stacked(
    click.option("--label", required=True, help="Column to predict."),
    click.option("--weight", help="Column of row weights."),
    click.option("--offset", help="Column that is added to the score (the logarithm of an exposure, say)."),
    click.option("--numeric", type=ColumnList(), help="Numeric columns; all other columns of numbers if not given."),
    click.option("--categorical", type=ColumnList(), help="Categorical columns; all columns of text if not given."),
    click.option("--vectors", type=ColumnList(), help="Columns of vectors; all lists of numbers if not given."),
    click.option("--interaction", "interactions", type=Cross(), multiple=True, help="Cross of categorical columns."),
    click.option("--hash-bits", type=click.IntRange(1, 30), help="A categorical column has 2^BITS weights."),
    click.option("--missing", type=click.Choice(["raise", "mean"]), help="What a missing number means."),
    filters,
)
engine_options = stacked(
    click.option("--engine", type=click.Choice(["local", "dask", "spark"]), default="local", show_default=True),
    click.option("--workers", type=click.IntRange(1), help="Ranks; 1 locally, else all that the engine has."),
    click.option(
        "--dask-scheduler", metavar="ADDRESS", help="Scheduler to connect to; else processes of this machine."
    ),
    click.option("--spark-master", metavar="URL", help="spark://... or sc://...; else this machine."),
)
mode_options = stacked(
    click.option("--mode", type=click.Choice(["sync"]), help="How the work is spread."),
    click.option("--topology", type=click.Choice(["ring", "tree", "engine"]), help="Who adds the gradients up."),
    click.option("--local-steps", type=IntegerOr("epoch"), help="Steps between two averagings of the weights."),
    click.option("--compression", type=click.Choice(["none", "fp16", "int8", "topk"]), help="How gradients travel."),
)
model_options = stacked(
    click.option(
        "--task", type=click.Choice(["classification", "regression"]), default="classification", show_default=True
    ),
    click.option("--loss", type=click.Choice(LOSSES)),
    click.option("--penalty", type=click.Choice(["none", "l2", "l1", "elasticnet"])),
    click.option("--alpha", type=FloatOr("auto"), help="Strength of the penalty."),
    click.option("--l1-ratio", type=click.FloatRange(0, 1)),
    click.option("--optimizer", type=click.Choice(OPTIMIZERS)),
    click.option("--learning-rate", type=click.Choice(SCHEDULES)),
    click.option("--eta0", type=float, help="First learning rate."),
    click.option("--epochs", "max_iter", type=click.IntRange(1), help="Passes over the rows, at most."),
    click.option("--batch-size", type=IntegerOr("auto"), help="Rows of a mini-batch, all ranks together."),
    click.option("--tol", type=float, help="Stop when the objective improves by less, relatively."),
    click.option("--seed", "random_state", type=click.IntRange(0), default=0, show_default=True),
    click.option(
        "--standardize/--no-standardize",
        default=True,
        show_default=True,
        help="Scale numeric columns to unit variance.",
    ),
)

DATA = ("label", "weight", "offset", "numeric", "categorical", "vectors", "interactions", "hash_bits", "missing")
MODE = ("topology", "local_steps", "compression")
MODEL = ("loss", "penalty", "alpha", "l1_ratio", "optimizer", "learning_rate", "eta0", "max_iter", "batch_size", "tol")
OTHER = ("random_state", "standardize")


@click.command(name="fit")
@click.argument("data")
@data_options
@model_options
@engine_options
@mode_options
@click.option("--validation", metavar="PATH", help="Parquet files on which the loss is measured after each epoch.")
@click.option("--out", required=True, help="Directory for the model; or a URI that pyarrow can open.")
@force
@debug
def command(data: str, out: str, force: bool, validation: str | None, **options: Any) -> None:
    """Train a model on the Parquet files at DATA: a file, a directory, a glob or a URI."""
    from dsgd import read_parquet

    from ..faces import build, session, train
    from ..progress import epochs_bar

    _check_out(out, force)
    columns = given({name: options[name] for name in DATA})
    dataset = read_parquet(data, **columns, filters=list(options["filters"]) or None)
    held_out = None if validation is None else read_parquet(validation, **columns)
    parameters = given({name: options[name] for name in (*MODEL, *OTHER)} | {"n_workers": options["workers"]})
    place = {"workers": options["workers"], "address": _address(options)}
    dataset.spec  # noqa: B018  a wrong column is told before a cluster is asked for
    with session(options["engine"], **place), epochs_bar(options["max_iter"]) as report:
        estimator = build(options["engine"], options["task"], parameters, _mode(options))
        model = train(options["engine"], estimator, dataset, held_out, report)
    _save(model, out, force, {name: options[name] for name in (*ROLES, "engine")} | {"data": data})


def _check_out(out: str, force: bool) -> None:
    from ..outputs import check_free

    if "://" not in out:
        check_free(Path(out), force, marker="model.json")


def _save(model: Any, out: str, force: bool, facts: dict[str, Any]) -> None:
    """Save a model with what is worth remembering about the fit; a URI takes the model alone."""
    from ..jobs import write_job
    from ..outputs import whole

    if "://" in out:
        model.save(out, overwrite=force)
        return
    with whole(Path(out), force, marker="model.json") as unfinished:
        model.save(str(unfinished))
        write_job(unfinished, **facts)


def _mode(options: dict[str, Any]) -> Any:
    """The mode object, or None when the user said nothing about it."""
    from dsgd import Sync

    knobs = given({name: options[name] for name in MODE})
    return Sync(**knobs) if knobs or options["mode"] else None


def _address(options: dict[str, Any]) -> str | None:
    """Where the engine is; an address of another engine is a mistake worth telling."""
    owners = {"dask_scheduler": "dask", "spark_master": "spark"}
    for name, owner in owners.items():
        if options[name] is not None and options["engine"] != owner:
            raise click.UsageError(f"--{name.replace('_', '-')} goes with --engine {owner}, not {options['engine']}")
    return options["dask_scheduler"] or options["spark_master"]
