"""What runs in a benchmark's own process: load the data, then let the sides take turns.

Every function takes the number of rounds, and of rows where it depends on them, and returns
``{"samples": {side: [sample, ...]}, "units": n}``, where ``units`` is the work of one sample (rows, or steps) for figures that
are rates.
"""

import os
import tempfile
from pathlib import Path

from . import click, data
from .measure import Sample, take_turns


def _result(sides, rounds: int, units: float, budget: float = 240.0) -> dict:
    return {"samples": take_turns(sides, rounds, budget), "units": units}


# One epoch, one core ---------------------------------------------------------------------------------------------------


def dense_epoch(rows: int, rounds: int) -> dict:
    """Dense mini-batches of 1024 in stored and in shuffled order; scikit-learn's SGD; numpy.sum."""
    from dsgd.data import epoch_order

    from .ours import epochs
    from .peers import scikit

    X, y = data.load_dense(rows, "train")
    store, layout = epochs.dense_store(X, y)
    sides = {
        "in_order": lambda: epochs.epoch(store, layout, None, online=False),
        "numpy_sum": lambda: scikit.read_bandwidth(X),
        "shuffled": lambda: epochs.epoch(store, layout, epoch_order(0, 0), online=False),
        "scikit_learn": lambda: scikit.sgd_epoch(X, y),
    }
    for compiles in ("in_order", "shuffled"):
        sides[compiles]()
    return _result(sides, rounds, X.nbytes)


def click_epoch(rows: int, rounds: int) -> dict:
    """Online AdaGrad and mini-batches from the block store; Vowpal Wabbit from its cache; scikit-learn on CSR."""
    from dsgd.data import epoch_order

    from .ours import epochs
    from .peers import scikit, vowpal

    train = click.click(rows) / "train"
    X, y = click.load_csr(rows, "train")
    cache = vowpal.cache_file(train, f"click-{rows}-vw")
    order = epoch_order(0, 0)
    with tempfile.TemporaryDirectory() as scratch:
        store, layout = epochs.parquet_store(train, scratch)
        with store:
            sides = {
                "online": lambda: epochs.epoch(store, layout, order, online=True),
                "mini_batch": lambda: epochs.epoch(store, layout, order, online=False),
                "vowpal_wabbit": lambda: vowpal.cache_pass(cache),
                "scikit_learn": lambda: scikit.sgd_epoch(X, y),
            }
            for compiles in ("online", "mini_batch"):
                sides[compiles]()
            return _result(sides, rounds, store.rows)


def hogwild_click(rows: int, rounds: int) -> dict:
    """The online epoch by two threads on one vector of weights, by one, and by two that share nothing."""
    from .ours import epochs, hogwild

    with tempfile.TemporaryDirectory() as scratch:
        store, layout = epochs.parquet_store(click.click(rows) / "train", scratch)
        with store:
            epoch = hogwild.Epoch(store, layout)
    sides = {"two_threads": lambda: epoch.together(2), "one_thread": lambda: epoch.together(1), "apart": epoch.apart}
    for side in sides.values():
        side()  # compiles
    return _result(sides, rounds, data.split_rows(rows)[0])


def cold(rows: int, rounds: int) -> dict:
    """Parquet to the end of the first online epoch, against pyarrow reading the files with dictionaries."""
    from .ours import epochs
    from .peers import arrow

    train = click.click(rows) / "train"
    with tempfile.TemporaryDirectory() as scratch:
        sides = {"cold_epoch": lambda: epochs.cold_epoch(train, scratch), "pyarrow": lambda: arrow.read(train)}
        for side in sides.values():
            side()  # compiles, and brings the files into the page cache
        return _result(sides, rounds, data.split_rows(rows)[0])


# To the peer's hold-out log-loss ---------------------------------------------------------------------------------------


def scikit_dense(rows: int, rounds: int) -> dict:
    """``SGDClassifier()`` of dsgd and scikit-learn's L-BFGS at its best C, both in memory."""
    from .ours import fits
    from .peers import scikit

    arrays = (*data.load_dense(rows, "train"), *data.load_dense(rows, "test"))
    strength, _ = scikit.best_strength(*arrays)
    fits.in_memory(*arrays)
    sides = {"fit": lambda: fits.in_memory(*arrays), "scikit_learn": lambda: scikit.lbfgs(*arrays, strength)}
    return _result(sides, rounds, rows)


def scikit_click(rows: int, rounds: int) -> dict:
    """The same for the click set: an Arrow table with dictionaries for us, one-hot CSR for scikit-learn."""
    from .ours import fits
    from .peers import scikit
    from .peers.arrow import load

    directory = click.click(rows)
    table = load(directory / "train")
    arrays = (*click.load_csr(rows, "train"), *click.load_csr(rows, "test"))
    strength, _ = scikit.best_strength(*arrays)
    fits.in_memory_table(directory, table)
    sides = {
        "fit": lambda: fits.in_memory_table(directory, table),
        "scikit_learn": lambda: scikit.lbfgs(*arrays, strength),
    }
    return _result(sides, rounds, rows)


def spark(rows: int, rounds: int, which: str) -> dict:
    """spark_ext and Spark ML in one ``local[2]`` session, from the Parquet path."""
    from .ours import fits
    from .peers import spark as peer

    directory = data.dense(rows) if which == "dense" else click.click(rows)
    session = peer.session(2)
    features = peer.dense_features() if which == "dense" else peer.click_features()
    parameters = fits.SPARK[which]
    fits.with_spark(session, directory, **parameters)  # compiles
    sides = {
        "fit": lambda: fits.with_spark(session, directory, **parameters),
        "spark_ml": lambda: peer.fit(session, directory, features, **peer.BEST[which]),
    }
    try:
        return _result(sides, rounds, rows)
    finally:
        session.stop()


def spark_transform(rows: int, rounds: int) -> dict:
    """Predictions for all rows in one ``local[2]`` session: ours natively, Spark ML's; ours by Python, scikit-learn's."""
    from .ours import transforms as ours
    from .peers import spark as peer
    from .peers import transforms as theirs

    session = peer.session(2)
    try:
        frame, model = theirs.frame(session, rows), ours.model()
        native = model.toSparkML()
        sides = {
            "native": lambda: theirs.computed(model.transform(frame)),
            "spark_ml": lambda: theirs.computed(native.transform(frame)),
            "python": lambda: theirs.computed(ours.by_python(frame, "array")),
            "scikit_learn": lambda: theirs.computed(theirs.by_scikit(frame, "array")),
            "python_vectors": lambda: theirs.computed(ours.by_python(frame, "features")),
            "scikit_vectors": lambda: theirs.computed(theirs.by_scikit(frame, "features")),
        }
        for _ in range(3):  # the JVM's compiler takes its time
            for side in sides.values():
                side()
        return _result(sides, rounds, rows)
    finally:
        session.stop()


def dask(rows: int, rounds: int, which: str) -> dict:
    """dask_ext and dask-ml on the same two workers of one thread, from the Parquet path."""
    from .ours import fits
    from .peers import daskml as peer

    directory = data.dense(rows) if which == "dense" else click.click(rows)
    with peer.workers(2) as client:
        parameters = fits.dask_parameters(which)
        fits.with_dask(directory, **parameters)  # compiles
        sides = {
            "fit": lambda: fits.with_dask(directory, **parameters),
            "dask_ml": lambda: peer.fit(client, directory, which, strength=1.0),
        }
        return _result(sides, rounds, rows)


def sweep(rows: int, rounds: int, which: str) -> dict:
    """Eight configurations in one search and a fit of one, in memory."""
    import dsgd

    from .ours import sweeps
    from .peers.arrow import load

    if which == "dense":
        training, held_out = data.load_dense(rows, "train"), data.load_dense(rows, "test")
    else:
        directory = click.click(rows)
        training, held_out = ((load(directory / part), "label") for part in ("train", "test"))
    sides = {
        "eight": lambda: sweeps.search(dsgd, dsgd.SGDClassifier(), *training, validation=held_out),
        "one": lambda: sweeps.fit(dsgd.SGDClassifier(alpha=sweeps.ONE), *training),
    }
    for side in sides.values():
        side()  # compiles
    return _result(sides, rounds, rows)


def sweep_dask(rows: int, rounds: int, which: str) -> dict:
    """The same on two workers of Dask, from the Parquet path."""
    import dask_ext

    from .ours import fits, sweeps
    from .peers import daskml as peer

    directory = data.dense(rows) if which == "dense" else click.click(rows)
    parameters = fits.dask_parameters(which)
    parameters.pop("alpha", None)
    training, held_out = (sweeps.parquet(directory, part) for part in ("train", "test"))
    with peer.workers(2):
        sides = {
            "eight": lambda: sweeps.search(
                dask_ext, dask_ext.SGDClassifier(**parameters), training, validation=held_out
            ),
            "one": lambda: sweeps.fit(dask_ext.SGDClassifier(**parameters, alpha=sweeps.ONE), training),
        }
        for side in sides.values():
            side()  # compiles
        return _result(sides, rounds, rows)


# Growing: ranks, rows, and the first fit of a process ---------------------------------------------------------------------


def two_ranks(rows: int, rounds: int, batch: int) -> dict:
    """Epochs of one rank and of two, dense, synchronous, one step a mini-batch; and of two threads that never meet."""
    from dsgd.data import as_dataset

    from .ours import apart, fits

    X, y = data.load_dense(rows, "train")
    dataset, halves = as_dataset(X, y), apart.halves(X, y)
    for half in halves:
        half()  # compiles
    options = {"optimizer": "sgd", "eta0": 0.1, "batch_size": batch, "max_iter": 21}
    sides = {
        "two_ranks": lambda: fits.epochs(dataset, 2, **options),
        "one_rank": lambda: fits.epochs(dataset, 1, **options),
        "two_threads": lambda: apart.both(halves),
        "one_thread": lambda: apart.one(halves),
    }
    return _result(sides, rounds, data.split_rows(rows)[0])


def collectives(rounds: int) -> dict:
    """All-reduces of two processes: 100 and a million float32, through shared memory and over loopback."""
    from . import collectives as sides

    samples: dict[str, list[dict]] = {}
    for way, found in sides.measure(rounds).items():
        samples[f"{way}, short"] = [{"seconds": 1 / rate} for rate, _ in found]
        samples[f"{way}, long"] = [{"seconds": 4 * sides.LONG / rate} for _, rate in found]
    return {"samples": samples, "units": 1}


def cost_per_row(rows: int, rounds: int, growth: int, memory_limit: int) -> dict:
    """Seconds a row of an online epoch from Parquet, of ``rows`` and of ``growth`` times as many, and the peak of memory.

    The larger side has the same files so many times: rows that are read, encoded and trained on one by one cost what they do,
    whether or not there are others like them.
    """
    from .isolate import call

    source = click.click(rows) / "train"

    def side(copies: int) -> Sample:
        # A process of its own each time: a process never forgets the peak of what it did before.
        options = {"source": str(source), "copies": copies, "memory_limit": memory_limit}
        seconds, peak = call("benchmarks.runs:online_epoch", cores=1, seconds=900, **options)
        count = copies * data.split_rows(rows)[0]
        return Sample(seconds / count, detail={"rows": count, "peak_bytes": peak, "memory_limit": memory_limit})

    sides = {"few_rows": lambda: side(1), "many_rows": lambda: side(growth)}
    return _result(sides, rounds, rows, budget=900)


def online_epoch(source: str, copies: int, memory_limit: int) -> tuple[float, int]:
    """Seconds of an online epoch after the first, and the greatest resident memory of the fit, in bytes."""
    import resource

    from dsgd import read_parquet

    from .ours import fits

    files = sorted(Path(source).glob("*.parquet"))
    with tempfile.TemporaryDirectory(prefix="copies-", dir=Path(source).parent) as directory:
        for copy in range(copies):
            for file in files:
                os.link(file, Path(directory) / f"{copy:04d}-{file.name}")
        dataset = read_parquet(directory, label="label")
        options = {"batch_size": 1, "eta0": 0.1, "max_iter": 3, "memory_limit": memory_limit}
        sample = fits.epochs(dataset, 1, optimizer="adagrad", **options)
    whose = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sample.seconds, max(resource.getrusage(who).ru_maxrss for who in whose) * 1024


def first_fit(rounds: int, size: int) -> dict:
    """Compilation in the first fit of a fresh process: with an empty cache of compiled kernels, and with a full one."""
    from .isolate import call

    samples: dict[str, list[dict]] = {"compiled": [], "cached": []}
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as cache:
            for side in samples:
                env = {"NUMBA_CACHE_DIR": cache}
                seconds = call("benchmarks.runs:compilation", cores=1, seconds=120, env=env, size=size)
                samples[side].append({"seconds": seconds})
    return {"samples": samples, "units": 1}


def compilation(size: int) -> float:
    """Processor seconds that the first fit takes more than the second one of the same click set of ``size`` rows.

    Processor time, because compilation runs on one thread and a difference of two wall times would be mostly other people's.
    """
    from time import process_time

    import dsgd.train.worker  # noqa: F401  modules that a fit would import; that is not compilation
    from dsgd import SGDClassifier

    from .peers.arrow import load

    if not os.environ.get("NUMBA_CACHE_DIR"):
        raise ValueError("compilation() is meant to run with a NUMBA_CACHE_DIR of its own")
    directory = click.click(size)
    table = load(directory / "train")
    marks = [process_time()]
    for _ in range(2):
        SGDClassifier().fit(table, "label")
        marks.append(process_time())
    return (marks[1] - marks[0]) - (marks[2] - marks[1])
