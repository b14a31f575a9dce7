"""Fits on Dask with its log at DEBUG, and what its scheduler knows of tasks by name."""

import logging
import sys
from pathlib import Path

import dask
from clients import keep_keys, write_rows
from distributed import Client, LocalCluster

import dsgd
from dask_ext import SGDClassifier


def main(folder: Path) -> None:
    """Fit, and print what the cluster has noted."""
    (folder / "written").mkdir()
    keep_keys(folder)
    logging.basicConfig(level=logging.DEBUG)
    dask.config.set({"distributed.logging.distributed": "debug", "logging.distributed": "debug"})
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=":0", local_directory=str(folder / "local"),
            silence_logs=False,
        ) as cluster,
        Client(cluster) as client,
    ):  # fmt: skip
        dataset = dsgd.read_parquet(write_rows(folder), label="y")
        SGDClassifier(mode=dsgd.Sync(topology="ring"), n_workers=2, max_iter=2, tol=None).fit(dataset)
        SGDClassifier(mode="async", optimizer="adagrad", n_workers=2, max_iter=2, tol=None).fit(dataset)
        scheduler = cluster.scheduler
        story = [str(entry) for entry in scheduler.transition_log]
        events = [str(event) for topic in scheduler._broker._topics.values() for event in topic.events]
        logs = [str(client.get_scheduler_logs()), str(client.get_worker_logs())]
        (folder / "written" / "noted").write_text("\n".join([*story, *events, *logs]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
