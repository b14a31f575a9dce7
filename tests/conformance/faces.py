"""The ways to train: how rows get in, and how each names a column and a row."""

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

from .bad_rows import BAD_ROW, BAD_TABLE, ROWS, Case

MEMORY = rf"row {BAD_TABLE * ROWS + BAD_ROW} of the data in memory"
FILE = rf"row {BAD_ROW} of \S+part-{BAD_TABLE}\.parquet"


def done(found: Any) -> Any:
    """Predictions, computed if they are lazy."""
    return found.compute() if hasattr(found, "compute") else found


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

    def predict(self, fitted: Any, case: Case) -> Any:
        """Predict for what the rows have of the features."""
        rows = pa.concat_tables(case.tables).to_pandas()
        return done(fitted.predict(self.matrix(rows[[name for name in case.features if name in rows]].to_numpy())))

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

    def predict(self, fitted, case):
        return done(fitted.predict(self.rows(pa.concat_tables(case.tables))))


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

    def predict(self, fitted, case):
        return done(fitted.predict(dsgd.read_parquet(str(self.written(case)))))


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

    def predict(self, fitted, case):
        return fitted.transform(self.session.read.parquet(str(self.written(case)))).collect()

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
        self.run(words, self.folder / "model")

    def predict(self, fitted, case):
        out = self.folder / "predictions.parquet"
        self.run(["predict", self.folder / "model", self.written(case), "--out", out], out)
        out.unlink()

    def run(self, words: list[Any], out: Path) -> None:
        """Run a command, which leaves ``out`` if it ends well."""
        ended = CliRunner().invoke(main, [str(word) for word in words])
        assert out.exists() == (ended.exit_code == 0)
        if ended.exit_code == 2:
            raise DSGDError(ended.stderr)
        assert ended.exit_code == 0, ended.output


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
