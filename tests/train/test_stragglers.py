"""Who was busy and who waited: what the collectives count, and what a history says of it."""

import threading
import time

import numpy as np
import pytest

from dsgd import Async, Hybrid, SGDClassifier, Sync
from dsgd.collectives.shared import SharedMemory, region_bytes
from dsgd.collectives.single import SingleProcess
from dsgd.compression import compressed
from dsgd.kernels import shared as kernels
from dsgd.train.stragglers import Stragglers

WAIT = 60.0


def pair():
    region = np.zeros(region_bytes(2, 1024), np.uint8)
    return [SharedMemory(region, rank, 2, 1024, deadline=WAIT) for rank in range(2)]


def until(condition):
    limit = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < limit, "it did not come to pass"
        time.sleep(0.001)


def test_who_comes_first_waits_and_who_comes_last_does_not():
    first, last = pair()
    buffers = np.ones(4), np.ones(4)
    thread = threading.Thread(target=first.allreduce, args=(buffers[0],), daemon=True)
    thread.start()
    until(lambda: first.waited > 0)
    last.allreduce(buffers[1])
    thread.join(WAIT)
    assert buffers[0].tolist() == [2.0] * 4
    assert last.waited == 0.0
    assert first.waited > 0
    assert compressed(first, "fp16").waited == first.waited
    for collective in (first, last):
        collective.close()


def test_a_compiled_loop_counts_as_well():
    first, last = pair()
    buffer = np.ones(4)
    first._progress[kernels.TAG] = last._progress[kernels.TAG] = 0
    assert kernels.allreduce(*first.meeting(buffer)[:4], buffer, 0, 0) == 1  # The other one is missing.
    assert first.waited > 0


def test_all_ranks_are_told_the_times_of_all():
    ranks = pair()
    watches = [Stragglers(rank) for rank in ranks]
    told = [None, None]

    def end(number):
        told[number] = watches[number].epoch()

    threads = [threading.Thread(target=end, args=(number,), daemon=True) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT)
    assert told[0] == told[1]
    assert [len(told[0][name]) for name in ("busy", "waiting")] == [2, 2]
    assert all(seconds >= 0 for name in told[0] for seconds in told[0][name])
    assert Stragglers(SingleProcess(), SingleProcess()).epoch() == {}
    for rank in ranks:
        rank.close()


@pytest.mark.parametrize(
    ("mode", "workers"),
    [(Sync(), 2), (Sync(topology="tree"), 3), (Sync(local_steps="epoch"), 2), ("columns", 2), (Hybrid(rows=2, columns=2), 4),
     (Async(shards=1), 2)],
    ids=["ring", "tree", "averaging", "columns", "grid", "async"],
)  # fmt: skip
def test_a_history_says_it_of_every_worker(mode, workers, capsys):
    generator = np.random.default_rng(0)
    X = generator.normal(size=(240, 4))
    y = (X[:, 0] > 0).astype(int)
    model = SGDClassifier(mode=mode, n_workers=workers, max_iter=3, tol=None, optimizer="adagrad", verbose=2).fit(X, y)
    assert [len(record[name]) for record in model.history_ for name in ("busy", "waiting")] == [workers] * 6
    table = model.history_.stragglers()
    assert table["worker"].tolist() == list(range(workers))
    assert ((table["waited"] >= 0) & (table["waited"] <= 1)).all()
    assert (table["p95"] >= table["median"]).all()
    assert "of their time" in capsys.readouterr().err
    # Lists are looked up by name, and not printed.
    assert "busy" not in repr(model.history_)


@pytest.mark.parametrize(
    "options", [{"n_workers": 1}, {"n_workers": 2, "mode": Sync(topology="engine")}], ids=["one", "engine"]
)
def test_where_nobody_waits_for_anybody_nothing_is_said(options, capsys):
    X = np.random.default_rng(0).normal(size=(200, 3))
    model = SGDClassifier(max_iter=3, tol=None, verbose=2, **options).fit(X, (X[:, 0] > 0).astype(int))
    assert len(model.history_.stragglers()) == 0
    assert "of their time" not in capsys.readouterr().err
