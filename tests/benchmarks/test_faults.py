"""The program that injects faults: its page, and what it takes for a leak."""

import pytest

from benchmarks.faults import page
from benchmarks.faults.leaks import Before
from benchmarks.faults.plan import Case
from benchmarks.faults.records import merged

CASE = ["kill", "ring", "local", 2]
RESULT = {
    "taken": "2026-01-01",
    "machine": {"cores": 2, "python": "3.11", "load": 1.0},
    "sessions": [{"engine": "local", "mode": "ring", "seconds": 90.0, "load": 1.0}],
    "told": [
        {"case": CASE, "outcome": "`WorkerLost`, begun again", "detect": 0.1, "repeated": 1, "leaks": ["file dsgd-x"]},
        {"case": CASE, "outcome": "hung", "detect": None, "repeated": 0, "leaks": []},
        {"done": CASE, "recover": 2.04, "apart": 0.0, "hits": 2},
        {"skipped": ["disk, scratch", "ring", "local", 1], "reason": "nothing may be mounted here"},
    ],
}


class Bench:
    def left(self):
        return []


def test_the_page_tells_everything_that_came_of_it(tmp_path, monkeypatch):
    path = tmp_path / "reliability.md"
    path.write_text(f"before\n{page.BEGIN}old\n{page.END}after\n")
    monkeypatch.setattr(page, "PAGE", path)
    assert page.write(RESULT) == path
    text = path.read_text()
    assert text.startswith(f"before\n{page.BEGIN}2 faults")
    assert "2 in processes of one machine" in text
    assert "1 sessions of 2 minutes all together" in text
    assert text.endswith(f"{page.END}after\n")
    assert "1 fits hung; 1 things were left behind." in text
    assert "| ring | local | 2 | 1 x `WorkerLost`, begun again; 1 x hung | 0.1 s | 2.0 s | 1 | 0 |" in text
    assert "- Left behind, 1 times: kill, ring, local: file." in text
    assert "- Skipped, nothing may be mounted here: disk, scratch (ring, local)." in text
    path.write_text("no marks")
    with pytest.raises(ValueError, match="once each"):
        page.write(RESULT)


def test_results_of_other_engines_are_kept():
    old = {
        "told": [{"done": ["kill", "ring", "local", 2], "hits": 2}, {"skipped": ["kill", "ring", "dask", 3]}],
        "sessions": [{"engine": engine, "mode": "ring", "seconds": 1.0} for engine in ("local", "dask")],
    }
    new = {
        "taken": "today",
        "told": [{"done": ["kill", "ring", "dask", 3], "hits": 3}],
        "sessions": [{"engine": "dask", "mode": "ring", "seconds": 9.0}],
    }
    planned = [Case("kill", "ring", "local", 2), Case("kill", "ring", "dask", 3)]
    found = merged(old, new, planned)
    assert found["taken"] == "today"
    assert found["told"] == [old["told"][0], *new["told"]]
    assert found["sessions"] == [old["sessions"][0], *new["sessions"]]
    assert merged(old, new, planned[1:]) == new
    assert merged(None, new, planned) == new


def test_a_file_that_is_left_is_a_leak(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("benchmarks.faults.leaks.SETTLE", 0.0)
    before = Before()
    assert before.left(Bench()) == []
    (tmp_path / "dsgd-scratch").mkdir()
    assert before.left(Bench()) == ["file dsgd-scratch"]
