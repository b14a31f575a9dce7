"""Figures, verdicts, isolation and the page: what turns samples into the table."""

import os
import time

import numpy as np
import pytest

from benchmarks import report, results
from benchmarks.cases import BY_NAME, CASES
from benchmarks.isolate import BenchmarkError, call
from benchmarks.measure import Line, Sample, take_turns
from benchmarks.ours import apart


def samples(**sides):
    """Samples with the given seconds, all of hold-out loss 0.5."""
    return {name: [{"seconds": s, "loss": 0.5} for s in seconds] for name, seconds in sides.items()}


@pytest.mark.parametrize(
    ("kind", "target", "figure", "reached"),
    [
        ("speedup", 3.0, 4.0, True),
        ("speedup", 5.0, 4.0, False),
        ("overhead", 0.3, 0.25, True),
        ("overhead", 0.2, 0.25, False),
        ("rate", 40.0, 50.0, True),
        ("rate", 60.0, 50.0, False),
        ("seconds", 2.5, 2.0, True),
        ("seconds", 1.5, 2.0, False),
    ],
)
def test_figures_and_verdicts(kind, target, figure, reached):
    line = Line("name", "what", kind, "ours", target, "peer", work=2.0)
    verdict = line.judge(samples(ours=[1.0, 2.0, 4.0], peer=[6.0, 8.0, 8.0]), units=50.0)
    assert verdict["figure"] == figure
    assert verdict["reached"] is reached


def test_a_round_is_compared_with_itself():
    line = Line("name", "what", "speedup", "ours", 1.0, "peer")
    verdict = line.judge(samples(ours=[1.0, 10.0], peer=[2.0, 20.0]))  # the second round was noisy, for both
    assert verdict["low"] == verdict["high"] == 2.0


def test_faster_with_a_worse_loss_is_not_reached():
    line = Line("name", "what", "speedup", "ours", 1.0, "peer", loss_margin=0.001)
    both = samples(ours=[1.0], peer=[9.0])
    assert line.judge(both)["reached"]
    both["ours"][0]["loss"] = 0.5006
    assert not line.judge(both)["reached"]


def test_a_yardstick_has_a_figure_and_no_verdict():
    line = Line("name", "what", "speedup", "together", None, "alone", times=2.0)
    verdict = line.judge(samples(together=[1.25], alone=[1.0]))
    assert verdict["figure"] == 1.6
    assert verdict["reached"] is None


def test_two_threads_that_never_meet_do_what_one_does_twice():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((3000, 5), dtype=np.float32), rng.integers(0, 2, 3000)
    work = apart.halves(X, y)
    expected = [(0.5 - y[rows]) @ X[rows] for rows in (slice(0, 1500), slice(1500, 3000))]  # at weights of zero
    assert apart.both(work).seconds > 0
    assert apart.one(work).seconds > 0
    for half, times, gradient in zip(work, (2, 1), expected, strict=True):
        np.testing.assert_allclose(half.gradient[:-1], times * gradient, rtol=1e-3, atol=1e-2)


def test_sides_take_turns_within_a_budget():
    seen = []

    def side(name):
        seen.append(name)
        return Sample(1.0)

    sides = {name: lambda name=name: side(name) for name in "ab"}
    assert len(take_turns(sides, 3)["a"]) == 3
    assert seen == ["a", "b"] * 3
    assert len(take_turns(sides, 3, budget=-1.0)["a"]) == 1


def environment(name: str) -> dict:
    """Runs in the isolated process."""
    return {
        "value": os.environ.get(name),
        "threads": os.environ["OMP_NUM_THREADS"],
        "cpus": len(os.sched_getaffinity(0)),
    }


def sleep_long() -> None:
    """Runs in the isolated process."""
    time.sleep(60)


HERE = "tests.benchmarks.test_measure"


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system cannot bind a process to CPUs")
def test_isolated_process_is_held_to_its_cores():
    found = call(f"{HERE}:environment", cores=1, seconds=60, env={"DSGD_PROBE": "7"}, name="DSGD_PROBE")
    assert found == {"value": "7", "threads": "1", "cpus": 1}


def test_isolated_process_is_stopped_at_its_limit():
    with pytest.raises(BenchmarkError, match="longer than 1 s"):
        call(f"{HERE}:sleep_long", cores=1, seconds=1)


def test_a_failure_says_why():
    with pytest.raises(BenchmarkError, match="has no attribute 'absent'"):
        call(f"{HERE}:absent", cores=1, seconds=60)


def test_every_case_names_a_function_and_sides():
    from benchmarks import column_runs, crew_runs, runs

    modules = {module.__name__: module for module in (runs, crew_runs, column_runs)}
    assert len(BY_NAME) == len(CASES)
    for case in CASES:
        module, name = case.function.split(":")
        assert callable(getattr(modules[module], name))
        for line in case.lines:
            assert bool(line.peer) == (line.kind in ("speedup", "overhead")), line.name


def test_page_shows_what_fell_short_and_what_did_not_run(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "DIRECTORY", tmp_path)
    monkeypatch.setattr(report, "DIRECTORY", tmp_path)
    monkeypatch.setattr(report, "PAGE", tmp_path / "page.md")
    slow = {"samples": samples(cold_epoch=[0.5], pyarrow=[0.125]), "units": 1.0}
    results.save(results.success(BY_NAME["cold"], 1000, slow))
    results.save(results.failure(BY_NAME["first_fit"], 1000, "a trace\nImportError: no module"))
    (tmp_path / "notes.json").write_text('{"click_cold": "because"}')
    page = report.write().read_text()
    assert "500 ms | 125 ms | 4 x (4, 4) | ≤ 2 x | no | because |" in page
    assert page.count("| not run | ImportError: no module |") == 2
    assert f"first_fit: {time.strftime('%Y')}" in page
    assert "10,000 rows, held to" in page
    assert all(f"| {line.name} |" in page for case in CASES for line in case.lines), "what has no result says so"


def test_page_shows_peaks_and_yardsticks(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "DIRECTORY", tmp_path)
    monkeypatch.setattr(report, "DIRECTORY", tmp_path)
    monkeypatch.setattr(report, "PAGE", tmp_path / "page.md")
    growth = samples(many_rows=[2e-7, 2e-7], few_rows=[2e-7, 2e-7])
    for side, peaks in (("many_rows", (4e8, 5e8)), ("few_rows", (2e8, 3e8))):
        for sample, peak in zip(growth[side], peaks, strict=True):
            sample["detail"] = {"peak_bytes": peak}
    results.save(results.success(BY_NAME["cost_per_row"], 1_000_000, {"samples": growth, "units": 1.0}))
    ranks = samples(two_ranks=[0.5], one_rank=[1.0], two_threads=[0.5], one_thread=[0.5])
    results.save(results.success(BY_NAME["two_ranks_4096"], 1_000_000, {"samples": ranks, "units": 1.0}))
    page = report.write().read_text()
    assert "50M rows / 1M | 200 ns, peak 500 MB | 200 ns, peak 300 MB | 1 x (1, 1) | ≤ 1.15 x | yes |" in page
    assert "never meet / one | 500 ms | 500 ms | 2 x (2, 2) |  |  |" in page
