"""``python -m benchmarks.peers [NAME ...]``: the peers alone, each in a process of its own, into ``results/peers.json``.

Tells what the peers do on this machine when nothing of ours runs. The table does not use it: there, sides take turns.
"""

import json
import os
import sys
from dataclasses import asdict

from .. import click, data
from ..isolate import BenchmarkError, call
from ..results import DIRECTORY

ROWS = 1_000_000


def vowpal_pass() -> list[dict]:
    """Three passes of Vowpal Wabbit from its cache."""
    from . import vowpal

    cache = vowpal.cache_file(click.click(ROWS) / "train", f"click-{ROWS}-vw")
    return [asdict(vowpal.cache_pass(cache)) for _ in range(3)]


def arrow_read() -> list[dict]:
    """Five readings of the click set by pyarrow."""
    from . import arrow

    return [asdict(arrow.read(click.click(ROWS) / "train")) for _ in range(5)]


def numpy_sum() -> list[dict]:
    """Five readings of the dense set by ``numpy.sum``."""
    from . import scikit

    X, _ = data.load_dense(ROWS, "train")
    return [asdict(scikit.read_bandwidth(X)) for _ in range(5)]


def sgd_epoch(which: str) -> list[dict]:
    """Three epochs of scikit-learn's SGDClassifier."""
    from . import scikit

    X, y = (data.load_dense if which == "dense" else click.load_csr)(ROWS, "train")
    return [asdict(scikit.sgd_epoch(X, y)) for _ in range(3)]


def lbfgs(which: str) -> list[dict]:
    """scikit-learn's LogisticRegression at each strength."""
    from . import scikit

    load = data.load_dense if which == "dense" else click.load_csr
    return scikit.best_strength(*load(ROWS, "train"), *load(ROWS, "test"))[1]


def spark_ml(which: str) -> list[dict]:
    """Spark ML in ``local[2]``, twice: the first fit warms the JVM up."""
    from . import spark

    directory = data.dense(ROWS) if which == "dense" else click.click(ROWS)
    session = spark.session(2)
    features = spark.dense_features() if which == "dense" else spark.click_features()
    try:
        return [asdict(spark.fit(session, directory, features, **spark.BEST[which])) for _ in range(2)]
    finally:
        session.stop()


def dask_ml(which: str) -> list[dict]:
    """dask-ml on two workers, twice."""
    from . import daskml

    directory = data.dense(ROWS) if which == "dense" else click.click(ROWS)
    with daskml.workers(2) as client:
        return [asdict(daskml.fit(client, directory, which, 1.0)) for _ in range(2)]


# name: (function, cores, seconds, arguments)
PEERS = {
    "numpy_sum": ("numpy_sum", 1, 120, {}),
    "pyarrow": ("arrow_read", 1, 120, {}),
    "vowpal_wabbit": ("vowpal_pass", 1, 240, {}),
    **{f"sgd_{which}": ("sgd_epoch", 1, 240, {"which": which}) for which in ("dense", "click")},
    **{f"lbfgs_{which}": ("lbfgs", 2, 580, {"which": which}) for which in ("dense", "click")},
    **{f"spark_{which}": ("spark_ml", 2, 580, {"which": which}) for which in ("dense", "click")},
    **{f"dask_{which}": ("dask_ml", 2, 580, {"which": which}) for which in ("dense", "click")},
}


def main(names: list[str]) -> None:
    """Measure the named peers, or all, and keep what was measured of the others."""
    path = DIRECTORY / "peers.json"
    found = json.loads(path.read_text()) if path.exists() else {}
    for name in names or PEERS:
        function, cores, seconds, arguments = PEERS[name]
        try:
            samples = call(f"benchmarks.peers.__main__:{function}", cores=cores, seconds=seconds, **arguments)
            found[name] = {"cores": cores, "samples": samples, "problem": None}
        except BenchmarkError as error:
            found[name] = {"cores": cores, "samples": [], "problem": str(error)}
        found[name]["load"] = round(os.getloadavg()[0], 1)
        print(name, json.dumps(found[name]), flush=True)
        DIRECTORY.mkdir(exist_ok=True)
        path.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
