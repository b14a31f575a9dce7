"""What is measured of column blocks: samples of the right kind, and a page that is made of recorded results."""

import pytest

from benchmarks import columns as benchmark
from benchmarks import columns_page
from benchmarks.ours import columns

RESULT = {
    "steps": [
        {"way": "columns", "columns": 10_000, "rows": 9, "seconds": 0.0001},
        {"way": "columns", "columns": 1_000_000, "rows": 9, "seconds": 0.0002},
        {"way": "mllib", "columns": 1_000_000, "rows": 9, "seconds": 0.4},
        {"way": "mllib", "columns": 10_000, "rows": 9, "problem": "no Java"},
    ],
    "wire": [{"columns": 10_000, "bytes": 4136.0}, {"columns": 1_000_000, "problem": "took longer than 180 s"}],
    "memory": {
        "ranks": {
            "state_bytes": 800_000_000, "block_bytes": 12_000_000, "peak_bytes": 1_012_000_000, "least_bytes": 160_000_000,
            "with_answer_bytes": 1_800_000_000,
        },
    },
    "taken": "2026-01-01",
    "machine": {"load": 0.1},
}  # fmt: skip


def test_table_leaves_out_what_could_not_be_measured():
    assert columns_page.table(RESULT["steps"]) == [
        "| time of a step | 10,000 columns | 1,000,000 columns |",
        "|---|---|---|",
        "| column blocks | 100 µs | 200 µs |",
        "| MLlib, LogisticRegressionWithSGD |  | 400 ms |",
    ]


def test_sentences_have_the_ratios():
    mllib, memory, wire, when = columns_page.sentences(RESULT)
    assert mllib == "With 1,000,000 columns a step of column blocks is 2,000 times as fast as MLlib's."
    assert "1.05 times its part" in memory
    assert wire == "Bytes that a rank of two sent a step over sockets: 4,136 with 10,000 columns."
    assert "2026-01-01" in when


def test_sentences_leave_out_what_could_not_be_measured():
    (when,) = columns_page.sentences({**RESULT, "steps": [], "wire": [], "memory": {"problem": "no room"}})
    assert "2026-01-01" in when


def test_the_page_is_written_between_its_marks(tmp_path, monkeypatch):
    guide = tmp_path / "guide.md"
    monkeypatch.setattr(columns_page, "GUIDE", guide)
    monkeypatch.setattr(columns_page, "PICTURE", tmp_path / "columns.svg")
    guide.write_text(f"before\n{columns_page.BEGIN}old\n{columns_page.END}after\n")
    written = columns_page.write(RESULT)
    once = [path.read_text() for path in written]
    assert once[0].startswith("before\n")
    assert once[0].endswith("after\n")
    assert "old" not in once[0]
    assert "column blocks" in once[1]
    columns_page.write(RESULT)
    assert [path.read_text() for path in written] == once
    guide.write_text("no marks")
    with pytest.raises(ValueError, match="must have"):
        columns_page.write(RESULT)


def test_all_is_asked_for_each_in_its_process_and_a_failure_is_kept(monkeypatch):
    monkeypatch.setattr(benchmark, "SIDES", {"no such way": ((1000,), 2000)})
    for name, value in {"WIRE": (500,), "WIRE_ROWS": 2000, "MEMORY": -1}.items():
        monkeypatch.setattr(benchmark, name, value)
    found = benchmark.measure()
    assert "no such way: 'no such way'" in found["steps"][0]["problem"]
    assert found["wire"][0]["bytes"] > 0
    assert "benchmarks.columns:memory ended with code 1" in found["memory"]["problem"]


def test_bytes_a_step_do_not_depend_on_the_columns():
    assert columns.sent(300, 2000) == columns.sent(200_000, 2000)


@pytest.mark.parametrize("way", ["columns", "sync", "sync, dense sums"])
def test_every_way_takes_steps(way):
    assert columns.steps(100_000, 2000, way=way, epochs=3).seconds > 0


def test_memory_of_ranks_is_watched():
    detail = columns.memory(2_000_000, 2000).detail
    assert detail["state_bytes"] == 8_000_000
    assert detail["with_answer_bytes"] >= detail["peak_bytes"] > detail["state_bytes"]
