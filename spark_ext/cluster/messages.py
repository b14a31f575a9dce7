"""What a failed job of Spark was about, in Python's words: from the text of its exception to an error of dsgd."""

import re

from dsgd.errors import ConfigError, DSGDError, WorkerLost
from dsgd.train.again import RankLost

from . import worker

SHIP = (
    "Every executor needs the driver's Python with dsgd and spark_ext: install it there, or ship a packed environment"
    " (spark.archives, or spark.addArtifacts(..., archive=True) on Connect) and point PYSPARK_PYTHON into it."
)
# What Spark says of an executor, or of a Python worker, that is gone; and of files that went with it.
_GONE = re.compile(
    r"ExecutorLostFailure|Python worker exited unexpectedly|FetchFailed|Executor heartbeat timed out|"
    r"executor \S+ (is )?(lost|exited|decommissioned)|Slave lost|worker lost",
    re.IGNORECASE,
)


def translate(text: str) -> DSGDError:
    """Say in Python what a failed job was about."""
    failure = worker.find_failure(text)
    if failure is not None:
        return RankLost(failure.message) if failure.severity else failure.exception()
    missing = re.search(r"ModuleNotFoundError: No module named '([\w.]+)'", text)
    if missing:
        return ConfigError(f"Spark's Python workers have no module {missing[1]!r}. {SHIP}")
    if "PYTHON_VERSION_MISMATCH" in text:
        return ConfigError(f"Spark's Python workers run another Python than the driver. {SHIP}")
    rank = re.search(r"barrier task \w+\(\d+, (\d+)\)", text)
    kind = RankLost if _GONE.search(text) else WorkerLost
    return kind(f"Spark lost {f'rank {rank[1]}' if rank else 'a task'}: {_gist(text)}")


def _gist(text: str) -> str:
    """The lines of Spark's message that are not its stack.

    Examples
    --------
    >>> _gist("Job aborted: ExecutorLostFailure\\n\\tat org.apache.spark.Foo(Foo.scala:1)\\n")
    'Job aborted: ExecutorLostFailure'
    """
    # What comes after these words says the same again.
    text = re.sub(r"An error occurred while calling \S+\s*: ", "", text).split("\nDriver stacktrace:")[0]
    lines = [line.strip() for line in text.splitlines() if not re.match(r"\s*(at |\.\.\. \d+ more)", line)]
    return " ".join(line for line in lines if line)[:2000]
