"""Bad input through every face: each is refused as our own error, with column, place and advice, or works where it should.

Rows come as two tables of thirty, which a face takes as one matrix, two partitions or two files. What is wrong is mostly in row
7 of the second. After every fit, nothing may be left in the scratch directories of the driver or of the workers.
"""

import re
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.sparse
from click.testing import CliRunner

import dsgd
from dsgd import DSGDError
from pipelines.cli import main
from pipelines.faces import spark_parameters

ROWS, BAD_TABLE, BAD_ROW = 30, 1, 7
MEMORY = rf"row {BAD_TABLE * ROWS + BAD_ROW} of the data in memory"
FILE = rf"row {BAD_ROW} of \S+part-{BAD_TABLE}\.parquet"


def good() -> list[pa.Table]:
    """Two tables of two numbers, a category, a weight, and labels of three kinds."""
    rng = np.random.default_rng(3)
    tables = []
    for _ in range(2):
        x, z = rng.normal(size=(2, ROWS))
        columns = {"x": x, "z": z, "city": np.array(["Ulm", "Bonn", "Kiel"])[rng.integers(0, 3, ROWS)]}
        columns |= {"w": np.ones(ROWS), "y": np.arange(ROWS) % 2, "count": np.arange(ROWS) % 4 + 1.0}
        tables.append(pa.table(columns))
    return tables


def with_value(column: str, value: Any, kind: Any = None) -> Callable:
    """Put a value into the bad row of a column."""

    def change(tables):
        table = tables[BAD_TABLE]
        values = table.column(column).to_pylist()
        values[BAD_ROW] = value
        return [tables[0], set_column(table, column, pa.array(values, kind))]

    return change


def set_column(table: pa.Table, column: str, values: pa.Array) -> pa.Table:
    """Replace a column."""
    return table.set_column(table.schema.get_field_index(column), column, values)


def in_all(column: str, value: Callable[[np.ndarray], Any]) -> Callable:
    """Change a column of all tables."""
    return lambda tables: [set_column(t, column, pa.array(value(t.column(column).to_numpy()))) for t in tables]


def without(column: str) -> Callable:
    """Leave a column out of the second file."""
    return lambda tables: [tables[0], tables[1].drop_columns([column])]


@dataclass(frozen=True)
class Case:
    """What is done to good rows, how they are fitted, and what the refusal must say."""

    name: str
    change: Callable[[list[pa.Table]], list[pa.Table]] = field(repr=False)
    says: str
    column: str = ""
    located: bool = False
    label: str = "y"
    weight: str | None = None
    features: tuple[str, ...] = ("x", "z")
    kinds: tuple[str, ...] = ("matrix", "table", "files")
    parameters: dict[str, Any] = field(default_factory=dict)

    @property
    def tables(self) -> list[pa.Table]:
        return self.change(good())

    @property
    def task(self) -> str:
        return "regression" if self.label == "count" else "classification"


NAMED = ("table", "files")
POISSON = {"loss": "poisson"}
REFUSED = [
    Case("missing feature", lambda t: t, "no column", "nope", features=("x", "nope"), kinds=("files",)),
    Case("missing label", lambda t: t, "no column", "nope", label="nope", kinds=NAMED),
    Case("missing weight", lambda t: t, "no column", "nope", weight="nope", kinds=NAMED),
    Case("dates", in_all("x", lambda x: x.astype("datetime64[s]")), "timestamp", "x", kinds=NAMED),
    Case("lists for labels", in_all("y", lambda y: [[v] for v in y]), "label", "y", kinds=NAMED),
    Case("text for weights", in_all("w", lambda w: w.astype(str)), "number", "w", weight="w", kinds=NAMED),
    Case("text for targets", in_all("count", lambda v: v.astype(str)), "number", label="count", kinds=NAMED),
    Case("NaN", with_value("z", np.nan), "null|NaN", "z", True),
    Case("infinity", with_value("z", np.inf), "inf", "z", True),
    Case("null", with_value("z", None, pa.float64()), "null|NaN", "z", True),
    Case("NaN label", with_value("count", np.nan), "finite|null", "count", True, label="count"),
    Case("null label", with_value("y", None, pa.int64()), "finite|null", "y", True, kinds=NAMED),
    Case("null weight", with_value("w", None, pa.float64()), "finite|null", "w", True, weight="w"),
    Case("infinite weight", with_value("w", np.inf), "finite", "w", True, weight="w"),
    Case("negative weight", with_value("w", -1.0), "negative", "w", True, weight="w"),
    Case("no weight at all", in_all("w", np.zeros_like), "weight", weight="w"),
    Case("one class", in_all("y", np.zeros_like), "class"),
    Case("outside the domain", with_value("count", -1.0), "poisson", "count", True, label="count", parameters=POISSON),
    Case("fractions for classes", with_value("w", 0.5), "class", "w", True, label="w", features=("x",), kinds=NAMED),
    Case("no rows", lambda t: [table.slice(0, 0) for table in t], "no rows|minimum of 1"),
    Case("a column in one file only", without("x"), r"part-1\.parquet", "x", kinds=("files",)),
    Case("a label in one file only", without("y"), r"part-1\.parquet", "y", kinds=("files",)),
    Case(
        "another type in one file",
        lambda t: [t[0], set_column(t[1], "x", pa.array(["a"] * ROWS))],
        r"string \S* ?in \S+part-1\.parquet",
        "x",
        kinds=("files",),
    ),
    Case(
        "another kind of label in one file",
        lambda t: [t[0], set_column(t[1], "y", pa.array(["a"] * ROWS))],
        r"part-1\.parquet",
        "y",
        kinds=("files",),
    ),
]


class Face:
    """A way to train: how rows get in, and how it names a column and a row. These are arrays of this process."""

    kind = "matrix"
    place = MEMORY
    leaves_out: ClassVar[set[str]] = set()
    given: ClassVar[dict[str, Any]] = {"n_workers": 2, "max_iter": 2, "random_state": 0}

    def __init__(self, engine: str | None, session: Any, folder: Path):
        self.engine, self.session, self.folder = engine, session, folder

    def names(self, column: str, case: Case) -> str:
        """What the face calls a column."""
        others = {case.label: "'y'", case.weight: "'sample_weight'"}
        return others.get(column) or f"'X[{case.features.index(column)}]'"

    def estimator(self, case: Case, package: Any = dsgd) -> Any:
        face = package.SGDRegressor if case.task == "regression" else package.SGDClassifier
        return face(**self.given | case.parameters)

    def fit(self, case: Case) -> Any:
        """Train; whatever is wrong is raised."""
        rows = pa.concat_tables(case.tables, promote_options="permissive").to_pandas()
        X, y = rows[list(case.features)].to_numpy(), rows[case.label].to_numpy()
        return self.estimator(case).fit(
            self.matrix(X), y, None if case.weight is None else rows[case.weight].to_numpy()
        )

    def matrix(self, X: np.ndarray) -> Any:
        return X

    def scratch(self) -> list[Path]:
        """Where the workers may leave something."""
        return []


class Sparse(Face):
    def matrix(self, X):
        return scipy.sparse.csr_array(X)


class Table(Face):
    """Columns with names: an Arrow table."""

    kind = "table"

    def names(self, column, case):
        return repr(column)

    def columns(self, case: Case) -> list[str]:
        return list(dict.fromkeys([*case.features, "city", case.label, *([case.weight] if case.weight else [])]))

    def fit(self, case):
        table = pa.concat_tables(case.tables, promote_options="permissive")
        kept = table.select([name for name in self.columns(case) if name in table.column_names])
        return self.estimator(case).fit(self.rows(kept), case.label, case.weight)

    def rows(self, table: pa.Table) -> Any:
        return table


class Pandas(Table):
    def rows(self, table):
        return table.to_pandas()


class Files(Table):
    """Two Parquet files."""

    kind = "files"
    place = FILE
    given: ClassVar = Face.given | {"n_workers": 1}

    def dataset(self, case: Case) -> Any:
        return dsgd.read_parquet(
            str(self.written(case)), label=case.label, weight=case.weight, numeric=case.features, categorical=["city"]
        )

    def written(self, case: Case) -> Path:
        data = self.folder / "data"
        data.mkdir(exist_ok=True)
        for i, table in enumerate(case.tables):
            pq.write_table(table, data / f"part-{i}.parquet")
        return data

    def fit(self, case):
        return self.estimator(case).fit(self.dataset(case))


class Rounds(Files):
    """The engine's own tree-aggregate."""

    given: ClassVar = Files.given | {"mode": dsgd.Sync(topology="engine")}


class DaskArray(Face):
    place = f"row {BAD_ROW} of partition {BAD_TABLE}"

    def estimator(self, case, package=dsgd):
        import dask_ext

        return super().estimator(case, dask_ext)

    def matrix(self, X):
        import dask.array as da

        return da.from_array(X, chunks=(ROWS, X.shape[1]))

    def scratch(self):
        return [Path(path) for path in self.session.run(lambda dask_worker: dask_worker.local_directory).values()]


class DaskFrame(Pandas, DaskArray):
    leaves_out: ClassVar = {"lists for labels"}  # Dask makes text of them, and text is a label.

    def rows(self, table):
        import dask.dataframe as dd

        return dd.from_pandas(table.to_pandas(), chunksize=ROWS)

    def fit(self, case):
        return super().fit(case)


class DaskFiles(Files, DaskArray):
    given: ClassVar = Face.given


class SparkFiles(Files):
    """A job that fails costs Spark its Python workers, and seconds: of what the executors find, a few stand for all."""

    given: ClassVar = Face.given
    leaves_out: ClassVar = {"lists for labels", "text for targets", "NaN", "null", "NaN label", "infinite weight"}
    leaves_out |= {"null weight", "outside the domain", "no weight at all", "fractions for classes", "one class"}
    leaves_out |= {"infinity", "negative weight", "nothing", "cut short", "cut in half", "empty parts", "nulls alone"}

    def estimator(self, case, package=dsgd):
        import spark_ext

        face = spark_ext.SGDRegressor if case.task == "regression" else spark_ext.SGDClassifier
        return face(**spark_parameters(self.given | case.parameters))

    def fit(self, case):
        return self.estimator(case).fitParquet(self.dataset(case))

    def scratch(self):
        return [Path(self.session.conf.get("spark.local.dir"))]


class SparkFrame(SparkFiles):
    kind = "table"
    leaves_out: ClassVar = SparkFiles.leaves_out - {"NaN", "outside the domain", "empty parts"}
    leaves_out |= {"null label", "more ranks than rows"}
    place = r"row \d+ of partition \d of the DataFrame"  # Spark deals the rows out.

    def fit(self, case):
        frame = self.session.read.parquet(str(self.written(case)))
        columns = {"featuresCol": [*case.features, "city"], "labelCol": case.label}
        columns |= {"weightCol": case.weight} if case.weight else {}
        return self.estimator(case).setParams(**columns).fit(frame)


class CommandLine(Files):
    def fit(self, case):
        words = ["fit", self.written(case), "--label", case.label, "--numeric", ",".join(case.features)]
        words += ["--categorical", "city", "--task", case.task, "--epochs", 2, "--out", self.folder / "model"]
        words += [word for name, value in case.parameters.items() for word in (f"--{name}", value)]
        words += ["--weight", case.weight] if case.weight else []
        done = CliRunner().invoke(main, [str(word) for word in words])
        assert (self.folder / "model").exists() == (done.exit_code == 0)
        if done.exit_code == 2:
            raise DSGDError(done.stderr)
        assert done.exit_code == 0, done.output


FACES = {
    "array": Face,
    "sparse": Sparse,
    "arrow": Table,
    "pandas": Pandas,
    "files": Files,
    "rounds": Rounds,
    "dask_array": DaskArray,
    "dask_frame": DaskFrame,
    "dask_files": DaskFiles,
    "spark_frame": SparkFrame,
    "spark_files": SparkFiles,
    "command_line": CommandLine,
}
ENGINES = {"dask": "dask_client", "spark": "spark"}


def pairs(kinds: dict[str, tuple[str, ...]]) -> list:
    """Cases by name, and the faces of their kinds, as parameters; those of an engine stay in its process."""
    marks = {name: [pytest.mark.xdist_group(engine)] for engine in ENGINES for name in FACES if engine in name}
    return [
        pytest.param(name, case, id=f"{name}-{case}", marks=marks.get(name, []))
        for name, face in FACES.items()
        for case, wanted in kinds.items()
        if face.kind in wanted and case not in face.leaves_out
    ]


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
