"""What is measured of asynchronous training: processes that come and go, tables and pictures of recorded results."""

import json
import multiprocessing
import os
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest
from scipy import sparse

from benchmarks import deaths, real, staleness, staleness_page
from benchmarks.optimum import Objective
from benchmarks.ours import killed, servers


def runs():
    """Recorded runs of two sets."""
    return [
        {"data": data, "rule": "sgd", "way": way, "staleness": bound, "excess": [0.01 * scale, 0.02 * scale, 0.04 * scale]}
        for data, scale in (("a9a", 1.0), ("flights", 0.1))
        for way, bound in (("none", 0), ("none", None), ("none", 4), ("own steps", None))
    ]  # fmt: skip


def test_processes_make_round_trips_in_turns_and_end():
    small = {
        "ahead, encrypted": servers.Way(size=16, trips=3, ahead=1, encrypt=True),
        "directory": servers.Way(size=16, trips=3, near=True),
    }
    # Other tests' clusters may be this process's children, too.
    before = set(multiprocessing.active_children())
    found = servers.measure(1, small)
    assert {name: len(samples) for name, samples in found.items()} == dict.fromkeys(small, 1)
    assert all(sample.seconds > 0 for samples in found.values() for sample in samples)
    assert set(multiprocessing.active_children()) <= before


def test_table_has_a_column_for_each_bound_and_none_last():
    head, rule, *rows = staleness_page.table(runs())
    assert head == "| set | rule | correction | staleness 0 | staleness 4 | staleness None |"
    assert rule == "|---|---|---|---|---|---|"
    assert rows == [
        "| a9a | sgd | none | 2 (1 to 4) | 2 (1 to 4) | 2 (1 to 4) |",
        "| a9a | sgd | own steps |  |  | 2 (1 to 4) |",
        "| flights | sgd | none | 0.2 (0.1 to 0.4) | 0.2 (0.1 to 0.4) | 0.2 (0.1 to 0.4) |",
        "| flights | sgd | own steps |  |  | 0.2 (0.1 to 0.4) |",
    ]


def test_page_is_made_of_recorded_results(tmp_path, monkeypatch):
    guide = tmp_path / "guide.md"
    guide.write_text(f"before\n{staleness_page.BEGIN}old\n{staleness_page.END}after\n")
    monkeypatch.setattr(staleness_page, "GUIDE", guide)
    monkeypatch.setattr(staleness_page, "PICTURE", tmp_path / "picture.svg")
    monkeypatch.setattr(staleness, "RESULT", tmp_path / "staleness.json")
    assert staleness.main(["--draw"]) == 1, "there are no results yet"
    (tmp_path / "staleness.json").write_text(json.dumps({"runs": runs()}))
    assert staleness.main(["--draw"]) == 0
    text, first = guide.read_text(), (tmp_path / "picture.svg").read_text()
    assert text.startswith("before\n<!-- staleness -->\n| set |")
    assert text.endswith("|\n<!-- /staleness -->\nafter\n")
    assert "old" not in text
    assert ">a9a<" in first
    assert ">sgd, own steps<" in first
    staleness.main(["--draw"])
    assert (guide.read_text(), (tmp_path / "picture.svg").read_text()) == (text, first)
    guide.write_text("no marks")
    with pytest.raises(ValueError, match="must have"):
        staleness.main(["--draw"])


def test_the_guide_has_its_marks():
    text = staleness_page.GUIDE.read_text()
    assert text.count(staleness_page.BEGIN) == text.count(staleness_page.END) == 1
    assert os.path.relpath(staleness_page.PICTURE, staleness_page.GUIDE.parent) in text


def test_every_setting_of_staleness_can_be_fitted(monkeypatch):
    from dsgd.data import as_dataset

    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 3))
    dataset = as_dataset(X, np.where(X.sum(axis=1) + rng.normal(size=400) > 0, 1.0, -1.0))
    monkeypatch.setattr(staleness, "WORKERS", 2)
    seen = list(staleness.settings())
    assert len(set(seen)) == len(seen) == 2 * 2 * (5 + 4 + 4 + 2)
    for setting in seen:
        if setting[:2] == ("a9a", "sgd") and setting.staleness in (0, 4):
            assert staleness.run(setting, dataset, seed=0).epochs == staleness.SETS["a9a"][1]


def test_a_set_that_is_missing_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DSGD_DATA", str(tmp_path))
    with pytest.raises(real.Missing, match=r"train\.libsvm is absent"):
        real.a9a()
    monkeypatch.setattr(staleness, "RESULT", tmp_path / "staleness.json")
    assert staleness.main([]) == 1
    assert "DSGD_DATA" in capsys.readouterr().err


def test_the_minimum_has_no_slope():
    rng = np.random.default_rng(1)
    X = sparse.csr_matrix(rng.normal(size=(200, 4)))
    y = np.where(np.asarray(X.sum(axis=1)).ravel() + rng.normal(size=200) > 0, 1.0, -1.0)
    objective = Objective(X, y, alpha=0.1)
    least = objective.minimum()
    assert least < objective(np.zeros(4), 0.0)
    assert all(least < objective(rng.normal(size=4), rng.normal()) for _ in range(20))


def test_flights_are_read_from_their_package():
    X, y = real.flights()
    assert X.shape == (327_346, 138)
    assert set(y) == {-1.0, 1.0}


SLEEP = "import os, pathlib, sys, time; pathlib.Path(sys.argv[1]).write_text(str(os.getpid())); time.sleep(60)"


def _until(true) -> None:
    limit = time.monotonic() + 60
    while not true():
        assert time.monotonic() < limit
        time.sleep(0.01)


def test_killer_kills_each_attempt_once(tmp_path):
    killer = killed.Killer(tmp_path, [2], 3, (0.0, 0.0), seed=0)
    killer.start()
    processes = []
    try:
        for attempt in range(2):
            mark = tmp_path / f"2-{attempt}"
            processes.append(subprocess.Popen([sys.executable, "-c", SLEEP, str(mark.with_suffix(".partial"))]))
            _until(mark.with_suffix(".partial").exists)
            _until(lambda mark=mark: mark.with_suffix(".partial").read_text())
            mark.with_suffix(".partial").rename(mark)
            assert processes[-1].wait(60) == -9
        # A number that is no child's: the member has been reaped, and it is another's by now.
        (tmp_path / "2-2.partial").write_text(str(os.getppid()))
        (tmp_path / "2-2.partial").rename(tmp_path / "2-2")
        killer.join(60)
    finally:
        for process in processes:
            process.kill()
    assert [(rank, attempt) for _, rank, attempt in killer.kills] == [(2, 0), (2, 1)]
    assert psutil.pid_exists(os.getppid())
    assert killed.restarts(tmp_path) == 2


def test_killer_stops_when_all_is_over(tmp_path):
    killer = killed.Killer(tmp_path, [0], 1, (0.0, 0.0), seed=0)
    killer.start()
    killer.stop()
    assert not killer.is_alive()
    assert killer.kills == []


def test_deaths_are_judged_beside_the_undisturbed_fit(tmp_path, monkeypatch, capsys):
    fits = {
        "nobody": {"validation": 0.5},
        "workers": {"validation": 0.504, "kills": [[1.0, 2, 0]]},
        "shards": {"validation": 0.506, "kills": [[1.0, 0, 0]]},
    }
    common = {"kills": [], "failure": None, "restarts": 1, "epochs": 8, "seconds": 9.0, "objective": 0.5}

    def call(function, *, cores, seconds, victims, **arguments):
        assert function == "benchmarks.ours.killed:run"
        if victims == "workers" and arguments["local_steps"] == "auto":
            raise deaths.BenchmarkError("took longer")
        return common | fits[victims]

    monkeypatch.setattr(deaths, "call", call)
    monkeypatch.setattr(deaths, "RESULT", tmp_path / "deaths.json")
    assert deaths.main([]) == 1
    printed = capsys.readouterr().out
    assert "1 killed, 1 restarts, +0.80 %\n" in printed
    assert "+1.20 %: NOT within 1 %" in printed
    assert "workers, local_steps=auto, seed 0: HAS NOT ENDED: took longer" in printed
    found = json.loads((tmp_path / "deaths.json").read_text())["runs"]
    assert [run.get("good") for run in found[:3]] == [None, True, False]
    rows = deaths.section(json.loads((tmp_path / "deaths.json").read_text()))
    assert "| workers | 1 | 0 | 1 | 1 | 0.50400 | 0.50000 | +0.80 % | 9 | 9 |" in rows
    assert "| workers | auto | 0 | | | has not ended | | | | |" in rows
    monkeypatch.setattr(deaths, "EPOCHS", {1: 8})
    fits["shards"]["validation"] = 0.5
    assert deaths.main(["--kills", "1"]) == 0
