"""Bad input through every face: each is refused as our own error, with column, place and advice, or works where it should.

After every fit, nothing may be left in the scratch directories of the driver or of the workers.
"""

import re
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from dsgd import DSGDError

from .bad_rows import BAD_TABLE, REFUSED, ROWS, Case, set_column
from .faces import ENGINES, FACES, Face, pairs


@pytest.fixture
def face(request, tmp_path, monkeypatch):
    """A face, after which all scratch directories are as they were before."""
    engine = next((name for name in ENGINES if name in request.param), None)
    session = engine and request.getfixturevalue(ENGINES[engine])
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "scratch"))
    face = FACES[request.param](engine, session, tmp_path)
    yield face
    roots, limit = [tmp_path / "scratch", *face.scratch()], time.monotonic() + 30.0
    while (left := [path for root in roots for path in root.rglob("*dsgd*")]) and time.monotonic() < limit:
        time.sleep(0.1)  # A rank that was not to blame may end a little later than its fit.
    assert not left
    assert not list(tmp_path.glob(".*.unfinished"))


def expected(face: Face, case: Case) -> list[str]:
    """What the message must have, as regular expressions."""
    column = [re.escape(face.names(case.column, case))] if case.column else []
    return [case.says, *column, *([face.place] if case.located else [])]


@pytest.mark.parametrize(("face", "name"), pairs({case.name: case.kinds for case in REFUSED}), indirect=["face"])
def test_it_is_refused(face, name):
    case = next(case for case in REFUSED if case.name == name)
    with pytest.raises(DSGDError) as caught:
        face.fit(case)
    message = str(caught.value)
    for pattern in expected(face, case):
        assert re.search(pattern, message), (pattern, message)
    assert "Traceback" not in message
    assert "Py4J" not in message


@pytest.mark.parametrize(
    ("face", "column"), pairs({"z": ("matrix", "table", "files"), "city": ("table", "files")}), indirect=["face"]
)
def test_a_column_that_is_missing_when_predicting_is_named(face, column):
    case = Case("good", lambda tables: tables, "")
    fitted = face.fit(case)
    face.predict(fitted, case)
    later = replace(case, change=lambda tables: [table.drop_columns([column]) for table in tables])
    with pytest.raises(DSGDError, match=r"\b1 (column|feature)s" if face.kind == "matrix" else repr(column)) as caught:
        face.predict(fitted, later)
    assert "Traceback" not in str(caught.value)


def replaced(folder: Path, content: Callable[[bytes], bytes]) -> None:
    """Change the bytes of the second file."""
    path = folder / "data" / f"part-{BAD_TABLE}.parquet"
    path.write_bytes(content(path.read_bytes()))


DAMAGE = {
    "text": lambda content: b"x,y\n1,0\n",
    "nothing": lambda content: b"",
    "cut short": lambda content: content[:-20],
    "cut in half": lambda content: content[: len(content) // 2],
    "pages overwritten": lambda content: content[:4] + b"\xff" * 600 + content[604:],
}


@pytest.mark.parametrize(("face", "damage"), pairs(dict.fromkeys(DAMAGE, ("files",))), indirect=["face"])
def test_a_damaged_file_is_named(face, damage, monkeypatch):
    case = Case("damaged", lambda tables: tables, "")
    written = face.written

    def damaged(case):
        folder = written(case)
        replaced(face.folder, DAMAGE[damage])
        return folder

    monkeypatch.setattr(face, "written", damaged)
    with pytest.raises(DSGDError, match=r"part-1\.parquet.* cannot be read as Parquet.*write it again") as caught:
        face.fit(case)
    assert "Traceback" not in str(caught.value)


ALL = ("matrix", "table", "files")
WORKS = {
    "empty parts": (ALL, lambda tables: [tables[0], tables[0].slice(0, 0), tables[1]]),
    "more ranks than rows": (ALL, lambda tables: [tables[0].slice(0, 1), tables[1].slice(1, 1)]),
    "nulls alone": (("files",), lambda tables: [tables[0], set_column(tables[1], "city", pa.nulls(ROWS))]),
}


@pytest.mark.parametrize(
    ("face", "name"), pairs({name: kinds for name, (kinds, _) in WORKS.items()}), indirect=["face"]
)
def test_it_works(face, name, monkeypatch):
    if "ranks" in name and not face.engine:  # The engines' sessions have two slots, and here there is one row a rank.
        monkeypatch.setattr(face, "given", face.given | {"n_workers": 3})
    face.fit(Case(name, WORKS[name][1], ""))
