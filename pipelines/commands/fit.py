"""``dsgd fit``: train a model on Parquet files, with any engine, and save it whole."""

from typing import Any

import click

from ..jobs import ROLES
from ..options import ByteSize, ColumnList, Cross, FloatOr, IntegerOr, PortRange
from .common import conditions, debug, filters, force, given, stacked

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
    click.option("--port-range", type=PortRange(), help="Ports at which ranks of different hosts listen."),
    click.option("--interface", help="Network interface, or address, at which they listen."),
    click.option("--deadline", type=float, metavar="SECONDS", help="Silence after which a rank counts as lost."),
    click.option(
        "--checkpoint",
        metavar="PATH",
        help="Directory that all workers share, in which the fit keeps what it needs to go on if it is begun again.",
    ),
    click.option(
        "--checkpoint-seconds",
        type=click.FloatRange(0),
        help="With --checkpoint, seconds between two checkpoints; 60 if not given.",
    ),
    click.option("--spark-master", metavar="URL", help="spark://... or sc://...; else this machine."),
    click.option("--memory-limit", type=ByteSize(), help="Resident memory that a worker may use, like 800MB."),
    click.option("--cache-bytes", type=ByteSize(), help="Disk that a worker may use for encoded rows, like 20GB."),
)
mode_options = stacked(
    click.option("--mode", type=click.Choice(["sync", "async", "columns", "hybrid"]), help="How the work is spread."),
    click.option("--topology", type=click.Choice(["ring", "tree", "engine"]), help="Who adds the gradients up."),
    click.option("--local-steps", type=IntegerOr("epoch", "auto"), help="Steps between two averagings, or exchanges."),
    click.option("--compression", type=click.Choice(["none", "fp16", "int8", "topk"]), help="How gradients travel."),
    click.option("--backup-workers", type=click.IntRange(0), help="Ranks that a step need not wait for."),
    click.option(
        "--staleness", type=click.IntRange(0), help="Pushes that a rank may be ahead; without bound if not given."
    ),
    click.option(
        "--grid-rows", "rows", type=click.IntRange(1), help="Groups of ranks among which the rows are divided."
    ),
    click.option("--grid-columns", "columns", type=click.IntRange(1), help="Ranks of a group that divide the columns."),
    click.option(
        "--save-from-ranks",
        "save_to",
        is_flag=True,
        help="Each rank saves its block of the columns; all must reach the directory of --out.",
    ),
    click.option("--shards", type=click.IntRange(1), help="Parameter shards, among which the weights are divided."),
    click.option(
        "--correction", type=click.Choice(["none", "rate", "delay"]), help="What is done about stale gradients."
    ),
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
    click.option(
        "--early-stopping",
        is_flag=True,
        default=None,
        help="Stop when the loss of validation rows falls no more; of a tenth of DATA if none are given.",
    ),
    click.option("--seed", "random_state", type=click.IntRange(0), default=0, show_default=True),
    click.option(
        "--standardize/--no-standardize",
        default=True,
        show_default=True,
        help="Scale numeric columns to unit variance.",
    ),
)

DATA = ("label", "weight", "offset", "numeric", "categorical", "vectors", "interactions", "hash_bits", "missing")
MODE = (
    "topology",
    "local_steps",
    "compression",
    "backup_workers",
    "staleness",
    "shards",
    "correction",
    "rows",
    "columns",
    "save_to",
    "overwrite",
)
MODEL = ("loss", "penalty", "alpha", "l1_ratio", "optimizer", "learning_rate", "eta0", "max_iter", "batch_size", "tol")
LIMITS = ("port_range", "interface", "deadline", "memory_limit", "cache_bytes")
OTHER = ("early_stopping", "random_state", "standardize", *LIMITS)


@click.command(name="fit")
@click.argument("data")
@data_options
@model_options
@engine_options
@mode_options
@click.option("--validation", metavar="PATH", help="Parquet files to validate on; DATA if only filters are given.")
@conditions("--validation-filter", "validation_filters", "Validate only on rows that meet the condition.")
@click.option("--out", required=True, help="Directory for the model; or a URI that pyarrow can open.")
@force
@debug
def command(data: str, out: str, force: bool, **options: Any) -> None:
    """Train a model on the Parquet files at DATA: a file, a directory, a glob or a URI.

    Validation rows, of --validation or --validation-filter, stop the fit early, and the best epoch is what is saved.
    """
    from dsgd import Checkpoint, read_parquet
    from dsgd.display.progress import movable, shown
    from dsgd.errors import in_words_of

    from ..faces import build, check, linear_model, session, train
    from ..outputs import check_model

    check_model(out, force)
    # What is in shards is written by the ranks themselves.
    options["overwrite"] = force or None if options["save_to"] else None
    options["save_to"] = out if options["save_to"] else None
    columns = given({name: options[name] for name in DATA})
    dataset = read_parquet(data, **columns, filters=list(options["filters"]) or None)
    held_out = None
    if options["validation"] or options["validation_filters"]:
        rows = list(options["validation_filters"]) or None
        held_out = read_parquet(options["validation"] or data, **columns, filters=rows)
        options["early_stopping"] = True
    parameters = given({name: options[name] for name in (*MODEL, *OTHER)} | {"n_workers": options["workers"]})
    seconds = given({"seconds": options["checkpoint_seconds"]})
    if options["checkpoint"] is not None:
        parameters["checkpoint"] = Checkpoint(options["checkpoint"], **seconds)
    elif seconds:
        raise click.UsageError(
            "--checkpoint-seconds is for checkpoints, and there is no --checkpoint; give both, or neither"
        )
    engine, task = options["engine"], options["task"]
    place = {"workers": options["workers"], "address": address(options)}
    with in_words_of(_words(engine)):
        mode = _mode(options)
        check(task, parameters, mode)
        dataset.spec  # noqa: B018  a wrong column is told before a cluster is asked for
        with session(engine, **place), shown("training", options["max_iter"], int(movable())) as report:
            model = train(engine, build(engine, task, parameters, mode), dataset, held_out, report)
    _save(linear_model(model), out, force, {name: options[name] for name in (*ROLES, "engine")} | {"data": data})


def _save(model: Any, out: str, force: bool, facts: dict[str, Any]) -> None:
    """Save a model with what is worth remembering about the fit; one that its ranks have saved lacks nothing but that."""
    from dsgd.fitted import save
    from dsgd.fitted.shards.stored import StoredModel

    from ..jobs import job_file

    if isinstance(model, StoredModel):
        model.place.write(model.place.path, job_file(**facts))
    else:
        save(model, out, overwrite=force, beside=job_file(**facts))


def _words(engine: str) -> dict[str, str]:
    """From the names of parameters to the options that they are here."""
    options = {name: f"--{name.replace('_', '-')}" for name in (*MODEL, *MODE, *OTHER, "mode")}
    options |= {
        "rows": "--grid-rows",
        "columns": "--grid-columns",
        "save_to": "--save-from-ranks",
        "overwrite": "--force",
    }
    options |= {"n_workers": "--workers", "max_iter": "--epochs", "random_state": "--seed", "seed": "--seed"}
    if engine == "spark":
        from spark_ext.params.names import SPARK_NAMES

        options |= {SPARK_NAMES[name]: option for name, option in options.items() if name in SPARK_NAMES}
    return options


def _mode(options: dict[str, Any]) -> Any:
    """The mode object, or None when the user said nothing about it."""
    from dsgd.train.modes import make_mode

    knobs = given({name: options[name] for name in MODE})
    return make_mode(options["mode"] or "sync", knobs) if knobs or options["mode"] else None


def address(options: dict[str, Any]) -> str | None:
    """Where the engine is; an address of another engine is a mistake worth telling."""
    owners = {"dask_scheduler": "dask", "spark_master": "spark"}
    for name, owner in owners.items():
        if options[name] is not None and options["engine"] != owner:
            raise click.UsageError(f"--{name.replace('_', '-')} goes with --engine {owner}, not {options['engine']}")
    return options["dask_scheduler"] or options["spark_master"]
