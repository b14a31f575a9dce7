"""Outputs are whole or absent, and nothing is replaced that should not be."""

import pytest

from dsgd import ConfigError
from pipelines.outputs import check_free, whole


def names(folder):
    return sorted(entry.name for entry in folder.iterdir())


def make_model(path, text="old"):
    path.mkdir()
    (path / "model.json").write_text(text)


def write_half(path, **options):
    with whole(path, **options) as unfinished:
        make_model(unfinished, "new")
        raise RuntimeError("disk full")


def test_a_failure_leaves_nothing_behind(tmp_path):
    with pytest.raises(RuntimeError, match="disk full"):
        write_half(tmp_path / "out")
    assert names(tmp_path) == []


def test_a_failure_keeps_what_was_there(tmp_path):
    out = tmp_path / "model"
    make_model(out)
    with pytest.raises(RuntimeError, match="disk full"):
        write_half(out, force=True, marker="model.json")
    assert (out / "model.json").read_text() == "old"
    assert names(tmp_path) == ["model"]


def test_replacing_a_directory(tmp_path):
    out = tmp_path / "model"
    make_model(out)
    (out / "stale").write_text("")
    with whole(out, force=True, marker="model.json") as unfinished:
        make_model(unfinished, "new")
    assert (out / "model.json").read_text() == "new"
    assert names(out) == ["model.json"]
    assert names(tmp_path) == ["model"]


def test_replacing_a_file(tmp_path):
    out = tmp_path / "p.parquet"
    out.write_text("old")
    with whole(out, force=True) as unfinished:
        unfinished.write_text("new")
    assert out.read_text() == "new"


def test_existing_output_needs_force(tmp_path):
    make_model(tmp_path / "model")
    with pytest.raises(ConfigError, match=r"exists already.*--force"):
        check_free(tmp_path / "model", marker="model.json")


def test_a_foreign_directory_is_never_replaced(tmp_path):
    (tmp_path / "home").mkdir()
    for marker in (None, "model.json"):
        with pytest.raises(ConfigError, match="did not make"):
            check_free(tmp_path / "home", force=True, marker=marker)


def test_a_missing_parent(tmp_path):
    with pytest.raises(ConfigError, match="make it first"):
        check_free(tmp_path / "nowhere" / "model")
