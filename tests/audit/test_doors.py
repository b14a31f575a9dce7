"""Where a fit can be reached while it runs, and what others of the machine can see of it."""

import contextlib
import json
import os
import stat
from pathlib import Path

import numpy as np
import psutil
import pytest

import dsgd
from dsgd import SGDClassifier
from dsgd.data.spec import FeatureSpec
from dsgd.errors import CheckpointError
from dsgd.fitted import load
from dsgd.fitted.model import LinearModel

from .clients import write_rows


def family() -> list[psutil.Process]:
    own = psutil.Process()
    return [own, *own.children(recursive=True)]


def listening() -> set[tuple[str, int]]:
    """Addresses at which this process and its children listen."""
    found = set()
    for process in family():
        with contextlib.suppress(psutil.NoSuchProcess):
            sockets = process.net_connections("inet")
            found |= {(one.laddr.ip, one.laddr.port) for one in sockets if one.status == psutil.CONN_LISTEN}
    return found


def modes(folder: Path) -> dict[str, int]:
    """What others may do with the directories and files that a fit has made, those in private directories left out."""
    return {path.name: mode for path in folder.iterdir() if (mode := mode_of(path)) is not None}


def mode_of(path: Path) -> int | None:
    """What others may do with a file of this user's; None for others', and for one that has gone meanwhile."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return stat.S_IMODE(found.st_mode) if found.st_uid == os.getuid() else None


@pytest.mark.parametrize("mode", ["async", "columns", "sync"])
def test_a_running_fit_listens_at_its_interface_and_keeps_its_files_to_itself(
    mode, tmp_path, tmp_path_factory, monkeypatch
):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    # Ranks of Parquet files are processes of their own.
    rows = dsgd.read_parquet(write_rows(tmp_path_factory.mktemp("rows")), label="y")
    before, doors, files, shared = listening(), set(), {}, {}

    def look(record):
        doors.update(listening() - before)
        files.update(modes(tmp_path))
        memory = Path("/dev/shm")
        if memory.exists():
            shared.update({p.name: mode for p in memory.glob("dsgd-*") if (mode := mode_of(p)) is not None})

    SGDClassifier(mode=mode, n_workers=2, max_iter=3, tol=None, optimizer="adagrad", verbose=look).fit(rows)
    assert {address for address, _ in doors} <= {"127.0.0.1"}
    assert doors or mode != "async"
    assert files
    assert not {name: oct(mode) for name, mode in (files | shared).items() if mode & 0o077}
    assert not list(tmp_path.iterdir())


NAMES = [
    "../secret",
    "/etc/hostname",
    "a/../../secret",
    "..",
    ".",
    "",
    "..\\secret",
    "weights.safetensors\x00",
    7,
    None,
    ["x"],
]


@pytest.fixture
def saved(tmp_path):
    model = LinearModel(np.array([[1.0, -2.0]]), np.zeros(1), None, FeatureSpec(("a", "b")), "squared_error")
    model.save(tmp_path / "model")
    (tmp_path / "secret").write_bytes((tmp_path / "model" / "weights.safetensors").read_bytes())
    return tmp_path / "model"


@pytest.mark.parametrize("name", NAMES, ids=repr)
def test_a_header_leads_nowhere_else(saved, name):
    header = json.loads((saved / "model.json").read_text())
    header["weights"]["files"] = [name]
    (saved / "model.json").write_text(json.dumps(header))
    with pytest.raises(CheckpointError):
        load(saved)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with names")
@pytest.mark.parametrize("name", ["model.json", "weights.safetensors"])
def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(saved, name):
    (saved / name).unlink()
    os.mkfifo(saved / name)
    with pytest.raises(CheckpointError, match="is not a file"):
        load(saved)


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="this system has no devices in files")
def test_a_device_is_not_read(saved):
    (saved / "weights.safetensors").unlink()
    (saved / "weights.safetensors").symlink_to("/dev/zero")
    with pytest.raises(CheckpointError, match="is not a file"):
        load(saved)
