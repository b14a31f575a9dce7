"""Files are whole or absent, and nothing is replaced that should not be."""

import pytest

from dsgd import ConfigError
from pipelines.outputs import check_file, check_model, whole


def names(folder):
    return sorted(entry.name for entry in folder.iterdir())


def write_half(path, **options):
    with whole(path, **options) as unfinished:
        unfinished.write_text("half")
        raise RuntimeError("disk full")


def test_a_failure_leaves_nothing_behind(tmp_path):
    with pytest.raises(RuntimeError, match="disk full"):
        write_half(tmp_path / "out")
    assert names(tmp_path) == []


def test_a_failure_keeps_what_was_there(tmp_path):
    out = tmp_path / "p.parquet"
    out.write_text("old")
    with pytest.raises(RuntimeError, match="disk full"):
        write_half(out, force=True)
    assert out.read_text() == "old"
    assert names(tmp_path) == ["p.parquet"]


def test_replacing_a_file(tmp_path):
    out = tmp_path / "p.parquet"
    out.write_text("old")
    with whole(out, force=True) as unfinished:
        unfinished.write_text("new")
    assert out.read_text() == "new"
    assert names(tmp_path) == ["p.parquet"]


@pytest.fixture
def places(tmp_path):
    """A file, a saved model, some directory."""
    (tmp_path / "file").write_text("")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.json").write_text("{}")
    (tmp_path / "home").mkdir()
    return tmp_path


def uri(path):
    return path.as_uri()


@pytest.mark.parametrize("named", [str, uri])
@pytest.mark.parametrize(
    ("name", "force", "told"),
    [
        ("model", False, "exists already.*--force"),
        ("file", False, "exists already.*--force"),
        ("home", False, "exists already.*--force"),
        ("home", True, "no model that dsgd has saved"),
        ("file", True, "no model that dsgd has saved"),
    ],
)
def test_where_no_model_is_saved(places, named, name, force, told):
    with pytest.raises(ConfigError, match=told):
        check_model(named(places / name), force)


@pytest.mark.parametrize(
    ("name", "force", "told"),
    [("file", False, "exists already.*--force"), ("home", False, "is a directory"), ("model", True, "is a directory")],
)
def test_where_no_file_is_written(places, name, force, told):
    with pytest.raises(ConfigError, match=told):
        check_file(places / name, force)


@pytest.mark.parametrize("check", [check_file, lambda path: check_model(str(path))])
def test_a_folder_that_cannot_be_written(places, check, monkeypatch):
    with pytest.raises(ConfigError, match="make it first"):
        check(places / "nowhere" / "model")
    with pytest.raises(ConfigError, match="not a directory"):
        check(places / "file" / "model")
    if places.joinpath("/proc").is_dir():  # Even root makes no file there.
        with pytest.raises(ConfigError, match="nothing can be written to /proc"):
            check(places / "/proc/model")
    check(places / "free")
    check_model(str(places / "model"), force=True)
    assert names(places) == ["file", "home", "model"]
