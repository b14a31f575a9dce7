"""The benchmarks by name: what runs, on how many cores, for how long at most, and the lines of the table made of it."""

from dataclasses import dataclass, field

from .click import NON_ZEROS
from .column_runs import COLUMNS, MLLIB_COLUMNS
from .measure import Line


@dataclass(frozen=True)
class Case:
    """One isolated process and its lines.

    Attributes
    ----------
    name : str
    function : str
        ``"module:function"``, called with ``rows``, ``rounds`` and ``arguments``.
    cores : int
    seconds : float
        The process is killed after so long.
    rounds : int
        Turns that the sides take.
    lines : tuple of Line
    arguments : dict
    data : str
        What is measured on; a function is told of the rows that the run was asked for if ``{rows}`` is in it.
    """

    name: str
    function: str
    cores: int
    seconds: float
    rounds: int
    lines: tuple[Line, ...]
    arguments: dict = field(default_factory=dict)
    data: str = "{rows:,} rows"

    @property
    def takes_rows(self) -> bool:
        """Whether the function is to be told of rows."""
        return "{rows" in self.data


# Rows of the larger side of cost_per_row, as a multiple of the smaller; what a first fit compiles does not depend on its rows.
GROWTH, FIRST_ROWS = 50, 10_000
MEMORY_LIMIT = 2_000_000_000


def _to_loss(name: str, what: str, target: float, peer: str) -> Line:
    return Line(name, what, "speedup", "fit", target, peer, loss_margin=0.001)


CASES = (
    Case(
        "dense_epoch", "benchmarks.runs:dense_epoch", 1, 300, 7,
        (
            Line("dense_in_order", "dense epoch, b = 1024, stored order / SGDClassifier.partial_fit", "speedup",
                 "in_order", 12, "scikit_learn"),
            Line("dense_bandwidth", "the same / what numpy.sum reads per second", "speedup", "in_order", 0.65, "numpy_sum"),
            Line("dense_shuffled", "dense epoch, b = 1024, shuffled / SGDClassifier.partial_fit", "speedup",
                 "shuffled", 9, "scikit_learn"),
        ),
    ),
    Case(
        "click_epoch", "benchmarks.runs:click_epoch", 1, 400, 7,
        (
            Line("click_online", "online AdaGrad epoch from the block store", "rate", "online", 220e6,
                 work=NON_ZEROS, unit="non-zeros/s"),
            Line("click_vowpal", "the same / a pass of Vowpal Wabbit 9 from its cache", "speedup", "online", 12,
                 "vowpal_wabbit"),
            Line("click_scikit", "the same / SGDClassifier.partial_fit on CSR", "speedup", "online", 3, "scikit_learn"),
            Line("click_mini_batch", "AdaGrad epoch, b = 1024, from the block store", "rate", "mini_batch", 150e6,
                 work=NON_ZEROS, unit="non-zeros/s"),
        ),
    ),
    Case(
        "hogwild_click", "benchmarks.runs:hogwild_click", 2, 300, 15,
        (
            Line("hogwild_click", "online AdaGrad epoch, two lock-free threads on the same weights / one thread", "speedup",
                 "two_threads", 1.6, "one_thread", loss_margin=0.005),
            Line("hogwild_apart", "yardstick: the same, each with weights of its own / one thread", "speedup", "apart", None,
                 "one_thread"),
        ),
    ),
    Case(
        "cold", "benchmarks.runs:cold", 1, 300, 7,
        (
            Line("click_cold", "Parquet to the end of the first epoch / pyarrow reading it with dictionaries", "overhead",
                 "cold_epoch", 2.0, "pyarrow"),
        ),
    ),
    Case(
        "scikit_dense", "benchmarks.runs:scikit_dense", 2, 600, 5,
        (_to_loss("scikit_dense", "dense, in memory, default fit / LogisticRegression (lbfgs, best C)", 4, "scikit_learn"),),
    ),
    Case(
        "scikit_click", "benchmarks.runs:scikit_click", 2, 900, 3,
        (_to_loss("scikit_click", "click, in memory, default fit / LogisticRegression (lbfgs, best C)", 40, "scikit_learn"),),
    ),
    *(
        Case(
            f"spark_{which}", "benchmarks.runs:spark", 2, 1200, 3,
            (_to_loss(f"spark_{which}", f"{which}, Parquet, spark_ext / Spark ML, same local[2]", 6, "spark_ml"),),
            {"which": which},
        )
        for which in ("dense", "click")
    ),
    Case(
        "spark_transform", "benchmarks.runs:spark_transform", 2, 900, 7,
        (
            Line("spark_transform", "transform of vectors, local[2] / the same model of Spark ML", "overhead", "native", 1.2,
                 "spark_ml"),
            Line("spark_transform_python", "transform of arrays of float by Python / a pandas_udf of scikit-learn",
                 "speedup", "python", 2.2, "scikit_learn"),
            Line("spark_transform_vectors", "the same, of vectors", "speedup", "python_vectors", 2.2, "scikit_vectors"),
        ),
    ),
    *(
        Case(
            f"dask_{which}", "benchmarks.runs:dask", 2, 1200, 3,
            (_to_loss(f"dask_{which}", f"{which}, Parquet, dask_ext / dask-ml, same two workers", 6, "dask_ml"),),
            {"which": which},
        )
        for which in ("dense", "click")
    ),
    *(
        Case(
            f"sweep_{name}", f"benchmarks.runs:{function}", 2, 900, 5,
            (Line(f"sweep_{name}", f"{where}, SweepCV of 8 configurations / a fit of one", "overhead", "eight", 3.0, "one"),),
            {"which": which},
        )
        for name, function, which, where in (
            ("dense", "sweep", "dense", "dense, in memory"),
            ("click", "sweep", "click", "click, in memory"),
            ("dask_dense", "sweep_dask", "dense", "dense, Parquet, two workers of Dask"),
            ("dask_click", "sweep_dask", "click", "click, Parquet, two workers of Dask"),
        )
    ),
    *(
        Case(
            f"two_ranks_{batch}", "benchmarks.runs:two_ranks", 2, 300, 5,
            (
                Line(f"two_ranks_{batch}", f"dense epoch, b = {batch}, two ranks / one", "speedup", "two_ranks", target,
                     "one_rank"),
                Line(f"two_threads_{batch}", "yardstick: the same rows, two threads that never meet / one", "speedup",
                     "two_threads", None, "one_thread", times=2.0),
            ),
            {"batch": batch},
        )
        for batch, target in ((4096, 1.6), (16_384, 1.75))
    ),
    Case(
        "sync_step", "benchmarks.runs:two_ranks", 2, 300, 5,
        (Line("sync_step", "synchronous steps of two ranks, d = 100, b = 256", "rate", "two_ranks", 10_000, work=1 / 256,
              unit="steps/s"),),
        {"batch": 256},
    ),
    Case(
        "collectives", "benchmarks.runs:collectives", 2, 300, 9,
        (
            Line("allreduce_shared", "all-reduce of 1M float32, two ranks, shared memory", "rate", "shared memory, long", 5e9,
                 work=4e6, unit="B/s"),
            Line("allreduce_ring", "the same, ring over loopback", "rate", "ring, long", 3e9, work=4e6, unit="B/s"),
            Line("allreduce_encrypted", "the same, encrypted (CURVE)", "rate", "ring, encrypted, long", 0.8e9, work=4e6,
                 unit="B/s"),
            Line("allreduce_sockets", "yardstick: the same exchange over bare TCP sockets", "rate", "bare sockets, long",
                 None, work=4e6, unit="B/s"),
            Line("allreduce_short", "all-reduces of 100 float32, ring over loopback", "rate", "ring, short", 10_000,
                 unit="/s"),
        ),
        data="vectors of 100 and of 1,000,000 float32",
    ),
    Case(
        "round_trips", "benchmarks.crew_runs:round_trips", 2, 400, 9,
        (
            Line("trips_ahead", "push and pull of 1 KB, two processes to one shard, one pull ahead", "rate", "short, ahead",
                 8000, unit="/s"),
            Line("trips_waiting", "yardstick: the same without", "rate", "short", None, unit="/s"),
            Line("trips_long", "push and pull of 4 MB, both ways counted, TCP", "rate", "long", 1e9, work=8e6, unit="B/s"),
            Line("trips_encrypted", "the same, encrypted (CURVE)", "rate", "long, encrypted", 0.5e9, work=8e6, unit="B/s"),
            Line("trips_near", "yardstick: the same in a directory of the machine", "rate", "long, directory", None, work=8e6,
                 unit="B/s"),
        ),
        data="vectors of 256 and of 1,000,000 float32",
    ),
    Case(
        "stragglers", "benchmarks.crew_runs:stragglers", 2, 900, 7,
        (
            Line("async", "click, time to the ring's hold-out loss, asynchronous / ring, none slowed", "overhead", "async",
                 1.3, "ring", loss_margin=0.001),
            Line("async_slow", "the same with one worker slowed 4x: ring / asynchronous", "speedup", "async_slow", 2.0,
                 "ring_slow", loss_margin=0.001),
        ),
    ),
    Case(
        "column_steps", "benchmarks.column_runs:column_steps", 2, 600, 3,
        (
            *(
                Line(f"columns_{d:.0e}", f"steps of column blocks, two processes, b = 1000, {d:,} columns", "rate", f"{d:.0e}",
                     target, unit="steps/s")
                for d, target in zip(COLUMNS, (5000, 4000, 1500), strict=True)
            ),
            *(
                Line(f"columns_{d:.0e}_l2", "the same with an l2 penalty", "rate", f"{d:.0e}, l2", None, unit="steps/s")
                for d in COLUMNS
            ),
            Line("columns_mllib", f"a step with {MLLIB_COLUMNS:,} columns / LogisticRegressionWithSGD of MLlib, local[2]",
                 "speedup", "mllib_columns", 1000, "mllib"),
        ),
        data="100,000 rows of 30 values (20,000 beside MLlib)",
    ),
    Case(
        "cost_per_row", "benchmarks.runs:cost_per_row", 1, 2400, 3,
        (Line("cost_per_row", f"click, seconds a row of an online epoch, {GROWTH}M rows / 1M", "overhead", "many_rows", 1.15,
              "few_rows"),),
        {"growth": GROWTH, "memory_limit": MEMORY_LIMIT},
        data=f"{{rows:,}} rows, and the same files {GROWTH} times, memory_limit {MEMORY_LIMIT / 1e9:g} GB",
    ),
    Case(
        "first_fit", "benchmarks.runs:first_fit", 1, 400, 3,
        (
            Line("compile_fresh", "compilation in the first fit, nothing cached", "seconds", "compiled", 6.0, unit="s"),
            Line("compile_cached", "the same with cached kernels", "seconds", "cached", 0.5, unit="s"),
        ),
        {"size": FIRST_ROWS},
        data=f"{FIRST_ROWS:,} rows",
    ),
)  # fmt: skip
BY_NAME = {case.name: case for case in CASES}
