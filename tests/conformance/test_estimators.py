"""One suite that the estimators of every package pass, on the same rows: files, frames and matrices in, models out.

A suite says how its package is asked; what is expected is the same everywhere, and for files the same bits.
"""

import contextlib
from abc import ABC, abstractmethod

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import dsgd
from dsgd import ConfigError, DataError

from ..reference.vectors import spark_vectors

ROWS, RANKS = 600, 2
NUMBERS = ["age", "income", "hours"]
CITIES = ["Ulm", "Bonn", "Kiel", "Trier"]
FEATURES = [*NUMBERS, "city"]


def people() -> pd.DataFrame:
    """Numbers and a category with additive effects on a label of text, a number and a count."""
    rng = np.random.default_rng(5)
    frame = pd.DataFrame(rng.normal(size=(ROWS, len(NUMBERS))), columns=NUMBERS)
    frame["city"] = rng.choice(CITIES, ROWS)
    score = frame[NUMBERS].to_numpy() @ [1.5, -1.0, 0.5] + frame["city"].map(
        dict(zip(CITIES, [-1, 0, 1, 2], strict=True))
    )
    frame["late"] = np.where(score + rng.logistic(size=ROWS) * 0.5 > 0, "yes", "no")
    frame["minutes"] = score + rng.normal(size=ROWS) * 0.1
    frame["group"] = np.digitize(score, [-1.0, 1.0])
    return frame


@pytest.fixture(scope="module", name="frame")
def people_once():
    return people()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The rows as Parquet, in row groups enough for two ranks."""
    folder = tmp_path_factory.mktemp("people")
    people().to_parquet(folder / "part.parquet", row_group_size=100)
    return str(folder)


def dataset(files, label, **options):
    options = {"numeric": NUMBERS, "categorical": ["city"], "hash_bits": 6} | options
    return dsgd.read_parquet(files, label=label, **options)


@pytest.fixture(scope="module")
def vectors(tmp_path_factory):
    """Files of sparse vectors of columns of three scales, and the same columns in a frame."""
    frame = people()
    frame = frame[[*NUMBERS, "late"]].assign(income=frame["income"].where(frame["city"] != "Ulm", 0) * 1000)
    table = pa.table({"v": spark_vectors(frame[NUMBERS].to_numpy()), "late": frame["late"]})
    folder = tmp_path_factory.mktemp("vectors")
    pq.write_table(table, folder / "part.parquet", row_group_size=100)
    return dsgd.read_parquet(str(folder), label="late"), frame


PARAMETERS = {
    "random_state": 0,
    "standardize": True,
    "alpha": "auto",
    "n_workers": RANKS,
    "tol": 1e-4,
    "dtype": "float32",
}


@pytest.fixture(scope="module")
def reference(files):
    """What the local estimators make of the files: by label, the model."""
    return {
        "late": dsgd.SGDClassifier(**PARAMETERS).fit(dataset(files, "late")).model_,
        "group": dsgd.SGDClassifier(**PARAMETERS).fit(dataset(files, "group")).model_,
        "minutes": dsgd.SGDRegressor(**PARAMETERS).fit(dataset(files, "minutes")).model_,
    }


class Suite(ABC):
    """What every package does alike; ``fit`` returns its own fitted object."""

    @pytest.fixture
    @abstractmethod
    def package(self):
        """The package, with whatever session it needs."""

    @abstractmethod
    def estimator(self, package, label, **parameters):
        """An estimator for a label, with parameters by the core's names beside those of the suite."""

    @abstractmethod
    def fit(self, estimator, data):
        """Fit on a Dataset, or on the package's own form of ``(pandas frame, feature columns, label)``."""

    @abstractmethod
    def core(self, fitted):
        """The LinearModel of what was fitted."""

    @abstractmethod
    def predictions(self, fitted, frame):
        """Predictions of a pandas frame's rows, as an array in their order, made by the package itself."""

    @abstractmethod
    def probabilities(self, fitted, frame):
        """Probabilities, of shape (n, k)."""

    @abstractmethod
    def load(self, package, path):
        """A classifier's saved model, as this package's object."""

    @abstractmethod
    def engine(self):
        """The package's engine, as a context manager; None for this machine."""

    @pytest.mark.parametrize("label", ["late", "group", "minutes"])
    def test_files_give_the_same_bits_as_on_one_machine(self, package, files, reference, label):
        fitted = self.fit(self.estimator(package, label), dataset(files, label))
        core = self.core(fitted)
        np.testing.assert_array_equal(core.coef, reference[label].coef)
        np.testing.assert_array_equal(core.intercept, reference[label].intercept)
        assert core.history
        assert fitted.evaluate(dataset(files, label)) == reference[label].evaluate(dataset(files, label))

    def test_sparse_vectors_are_standardised_as_dense_ones(self, package, vectors):
        """Not centred, as in Spark ML, which changes the intercept alone: with the penalty, the optimum is the same."""
        sparse, frame = vectors
        fitted = self.core(self.fit(self.estimator(package, "late", alpha=0.02), sparse))
        local = dsgd.SGDClassifier(**PARAMETERS | {"alpha": 0.02})
        np.testing.assert_array_equal(fitted.coef, local.fit(sparse).coef_)
        dense = local.fit(frame, "late")
        np.testing.assert_allclose(fitted.coef, dense.coef_, rtol=0.01)
        np.testing.assert_allclose(fitted.intercept, dense.intercept_, rtol=0.01)

    @pytest.mark.parametrize(("label", "columns"), [("late", FEATURES), ("minutes", NUMBERS)])
    def test_a_frame_is_learnt(self, package, frame, label, columns):
        fitted = self.fit(self.estimator(package, label), (frame, columns, label))
        core = self.core(fitted)
        metrics = core.evaluate(frame, label)
        if label == "minutes":
            assert metrics["r2"] > 0.5
        else:
            assert metrics["accuracy"] > max(np.mean(frame[label] == "yes"), np.mean(frame[label] == "no")) + 0.1
            probabilities = self.probabilities(fitted, frame)
            np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
            np.testing.assert_allclose(probabilities, core.predict_proba(frame), atol=1e-6)
        found = self.predictions(fitted, frame)
        expected = core.predict(frame)
        if label == "minutes":
            np.testing.assert_allclose(found, expected, rtol=1e-6)
        else:
            np.testing.assert_array_equal(found, expected)

    # Beside a shard there is one slot left in the tests' session of Spark.
    @pytest.mark.parametrize("mode", [dsgd.Async(), dsgd.Async(staleness=0)], ids=["without waiting", "together"])
    def test_parameter_shards_learn_files_and_frames(self, package, files, frame, reference, mode):
        for data in (dataset(files, "late"), (frame, FEATURES, "late")):
            estimator = self.estimator(package, "late", mode=mode, n_workers=1, max_iter=200)
            core = self.core(self.fit(estimator, data))
            wanted = reference["late"].evaluate(dataset(files, "late"))
            assert core.evaluate(frame, "late")["log_loss"] < 1.03 * wanted["log_loss"]
            assert core.history[-1]["staleness"] == 0 or mode.staleness is None

    @pytest.mark.parametrize(
        ("mode", "crosses"),
        [(dsgd.Columns(), [("city", "group")]), (dsgd.Hybrid(1, 2), []), (dsgd.Hybrid(2, 1), [("group", "city")])],
        ids=str,
    )
    def test_column_blocks_learn_files(self, package, files, frame, mode, crosses):
        options = {"optimizer": "adagrad", "max_iter": 3, "n_workers": RANKS, "tol": None}
        columns = {"categorical": ["city", "group"], "interactions": crosses} if crosses else {}
        data = dataset(files, "late", **columns)
        core = self.core(self.fit(self.estimator(package, "late", mode=mode, **options), data))
        ranks = mode.rows if isinstance(mode, dsgd.Hybrid) else 1
        plain = dsgd.SGDClassifier(**PARAMETERS | options | {"mode": dsgd.Hybrid(ranks, 1), "n_workers": ranks})
        plain.fit(data)
        assert core.spec == plain.model_.spec
        np.testing.assert_allclose(core.coef, plain.coef_, rtol=1e-4, atol=1e-6)
        assert core.evaluate(frame, "late")["accuracy"] > 0.7

    @pytest.mark.parametrize("mode", [dsgd.Columns(), dsgd.Hybrid(1, 2), dsgd.Hybrid(2, 1)], ids=str)
    def test_column_blocks_learn_frames(self, package, frame, mode):
        """Steps of all rows: engines deal them out in orders of their own."""
        options = {"optimizer": "adagrad", "max_iter": 30, "n_workers": RANKS, "tol": None, "batch_size": ROWS}
        core = self.core(self.fit(self.estimator(package, "late", mode=mode, **options), (frame, FEATURES, "late")))
        plain = dsgd.SGDClassifier(**PARAMETERS | options | {"n_workers": 1, "hash_bits": 6})
        plain.fit(frame[[*FEATURES, "late"]], "late")
        np.testing.assert_allclose(core.coef, plain.coef_, rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(core.intercept, plain.intercept_, rtol=1e-3, atol=1e-5)
        assert core.evaluate(frame, "late")["accuracy"] > 0.7

    def test_ranks_save_their_blocks_and_predict_with_them(self, package, files, frame, tmp_path):
        options = {"optimizer": "adagrad", "max_iter": 2, "n_workers": RANKS, "tol": None}
        place, out = str(tmp_path / "m"), str(tmp_path / "p.parquet")
        here, there = (
            self.fit(self.estimator(package, "group", mode=mode, **options), dataset(files, "group"))
            for mode in (dsgd.Columns(save_to=place), dsgd.Columns())
        )
        loaded = dsgd.load(place)
        np.testing.assert_array_equal(loaded.coef, self.core(there).coef)
        np.testing.assert_array_equal(loaded.intercept, self.core(there).intercept)
        np.testing.assert_array_equal(self.predictions(self.load(package, place), frame), loaded.predict(frame))
        np.testing.assert_array_equal(self.predictions(here, frame), loaded.predict(frame))
        with pytest.raises(ConfigError, match="exists already"):
            self.fit(
                self.estimator(package, "group", mode=dsgd.Columns(save_to=place), **options), dataset(files, "group")
            )
        rows = dsgd.read_parquet(files)
        with self.engine() as engine:
            chances = dsgd.predict_in_blocks(place, rows, method="predict_proba", n_workers=RANKS, engine=engine)
            assert dsgd.predict_in_blocks(place, rows, out=out, keep=["city"], n_workers=RANKS, engine=engine) == ROWS
            with pytest.raises(DataError, match="'income'"):
                dsgd.predict_in_blocks(place, frame.assign(income=np.inf), n_workers=RANKS, engine=engine)
        np.testing.assert_allclose(chances, loaded.predict_proba(frame), atol=1e-6)
        written = pq.read_table(out)
        assert written["city"].to_pylist() == frame["city"].tolist()
        np.testing.assert_array_equal(written["prediction"], loaded.predict(frame))
        assert sorted(path.name for path in tmp_path.iterdir()) == ["m", "p.parquet"]

    def test_a_saved_model_predicts_the_same_in_every_package(self, package, files, frame, reference, tmp_path):
        here = self.fit(self.estimator(package, "late", max_iter=2), dataset(files, "late"))
        here.save(str(tmp_path / "here"))
        np.testing.assert_array_equal(dsgd.load(tmp_path / "here").predict(frame), self.predictions(here, frame))
        reference["late"].save(tmp_path / "there")
        there = self.load(package, str(tmp_path / "there"))
        np.testing.assert_array_equal(self.predictions(there, frame), reference["late"].predict(frame))
        with pytest.raises(ConfigError, match="exists already"):
            here.save(str(tmp_path / "here"))

    def test_more_classes_have_a_probability_each(self, package, files, frame):
        fitted = self.fit(self.estimator(package, "group", max_iter=5), dataset(files, "group"))
        probabilities = self.probabilities(fitted, frame)
        assert probabilities.shape == (ROWS, 3)
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)

    @pytest.mark.parametrize(
        ("label", "options", "message"),
        [
            ("nope", {}, "'nope'"),
            ("late", {"numeric": ["age", "nope"]}, "'nope'"),
            ("late", {"filters": [("late", "=", "yes")]}, "class"),
            ("late", {"filters": [("age", ">", 1e9)]}, "no rows"),
        ],
    )
    def test_files_that_cannot_be_learnt(self, package, files, label, options, message):
        with pytest.raises(DataError, match=message):
            self.fit(self.estimator(package, label), dataset(files, label, **options))

    def test_a_frame_that_cannot_be_learnt(self, package, frame):
        with pytest.raises(DataError, match="'income'"):
            self.fit(self.estimator(package, "late"), (frame.assign(income=np.inf), NUMBERS, "late"))
        with pytest.raises(DataError, match="'nope'"):
            self.fit(self.estimator(package, "late"), (frame, NUMBERS, "nope"))

    def test_parameters_that_cannot_be(self, package, files):
        with pytest.raises(ConfigError, match="loss"):
            self.fit(self.estimator(package, "late", loss="poisson"), dataset(files, "late"))
        with pytest.raises(ConfigError, match=r"max_iter|maxIter"):
            self.fit(self.estimator(package, "late", max_iter=0), dataset(files, "late"))


class ScikitLearnSuite(Suite):
    """The two packages with scikit-learn's interface."""

    def estimator(self, package, label, **parameters):
        face = package.SGDRegressor if label == "minutes" else package.SGDClassifier
        return face(**PARAMETERS | parameters)

    def fit(self, estimator, data):
        if isinstance(data, tuple):
            frame, columns, label = data
            estimator.set_params(hash_bits=6)
            kept = frame[[*columns, label]] if label in frame.columns else frame[columns]
            return estimator.fit(self.own(kept), label)
        return estimator.fit(data)

    def own(self, frame):
        return frame

    @pytest.mark.parametrize("parts", [True, False], ids=["partial_fit", "warm_start"])
    def test_going_on_finds_columns_by_name(self, package, frame, parts):
        first, columns = frame[[*FEATURES, "late"]], ["late", *reversed(FEATURES)]
        estimator = self.estimator(package, "late", warm_start=True, hash_bits=6, n_workers=1)
        estimator.fit(self.own(first), "late")
        before = estimator.coef_[:, : len(NUMBERS)].copy()
        go_on = estimator.partial_fit if parts else estimator.set_params(max_iter=1).fit
        go_on(self.own(first[columns]), "late")
        np.testing.assert_allclose(estimator.coef_[:, : len(NUMBERS)], before, atol=0.2 * np.abs(before).max())
        with pytest.raises(DataError, match="'age'"):
            go_on(self.own(first.rename(columns={"age": "years"})), "late")

    def test_a_validation_set_with_an_offset(self, package, frame):
        """Its loss is that of the model's scores, offset included."""
        counts = frame.assign(
            count=np.random.default_rng(0).poisson(np.exp(0.3 * frame.age + 2.0 + frame.hours)),
            exposure=2.0 + frame.hours,
        )
        columns = ["age", "hours", "count", "exposure"]
        train, held_out = (self.own(part[columns].reset_index(drop=True)) for part in (counts[:400], counts[400:]))
        estimator = package.SGDRegressor(loss="poisson", early_stopping=True, random_state=0, n_workers=1)
        estimator.fit(train, "count", offset="exposure", validation=(held_out, "count", None, "exposure"))
        scores = estimator.model_.decision_function(counts[columns][400:], counts.exposure[400:].to_numpy())
        expected = np.mean(np.exp(scores) - counts["count"][400:].to_numpy() * scores)
        assert min(estimator.history_.column("validation")) == pytest.approx(expected, rel=1e-4)
        with pytest.raises(ConfigError, match="the training rows have an offset and the validation rows have none"):
            estimator.fit(train, "count", offset="exposure", validation=(held_out, "count"))

    @pytest.mark.parametrize(
        "parameter",
        [{"hash_bits": 7}, {"categorical": ["city"]}, {"interactions": [("city", "age")]}, {"missing": "mean"}],
        ids=lambda parameter: next(iter(parameter)),
    )
    def test_what_the_data_says_itself_is_not_said_again(self, package, frame, files, parameter):
        name = next(iter(parameter))
        with pytest.raises(ConfigError, match=f"^{name}=.*read_parquet"):
            self.estimator(package, "late", **parameter).fit(dataset(files, "late"))
        if name != "missing":
            X, y = self.own_matrix(frame[NUMBERS].to_numpy(), frame["minutes"].to_numpy())
            with pytest.raises(ConfigError, match=f"^{name}=.*no column names"):
                self.estimator(package, "minutes", **parameter).fit(X, y)

    def own_matrix(self, X, y):
        return X, y

    def core(self, fitted):
        return fitted.model_

    def load(self, package, path):
        return package.SGDClassifier.load(path)


class TestLocal(ScikitLearnSuite):
    @pytest.fixture
    def package(self):
        return dsgd

    def predictions(self, fitted, frame):
        return fitted.predict(frame)

    def probabilities(self, fitted, frame):
        return fitted.predict_proba(frame)

    def engine(self):
        return contextlib.nullcontext()


class TestDask(ScikitLearnSuite):
    @pytest.fixture
    def package(self, dask_client):
        import dask_ext

        return dask_ext

    def own(self, frame):
        import dask.dataframe as dd

        return dd.from_pandas(frame, npartitions=5)

    def own_matrix(self, X, y):
        import dask.array as da

        return da.from_array(X, chunks=(200, -1)), da.from_array(y, chunks=200)

    def predictions(self, fitted, frame):
        return fitted.predict(self.own(frame)).compute().to_numpy()

    def probabilities(self, fitted, frame):
        return fitted.predict_proba(self.own(frame)).compute().to_numpy()

    def engine(self):
        import dask_ext

        return dask_ext.DaskEngine()


class TestSpark(Suite):
    @pytest.fixture
    def package(self, spark):
        import spark_ext

        self.spark = spark
        return spark_ext

    def estimator(self, package, label, **parameters):
        from pipelines.faces import spark_parameters

        face = package.SGDRegressor if label == "minutes" else package.SGDClassifier
        return face(**spark_parameters(PARAMETERS | parameters))

    def fit(self, estimator, data):
        if isinstance(data, tuple):
            frame, columns, label = data
            return estimator.setParams(featuresCol=columns, labelCol=label, hashBits=6).fit(self.own(frame))
        return estimator.fitParquet(data)

    @pytest.mark.parametrize(
        "parameter",
        [{"hashBits": 7}, {"categoricalCols": ["city"]}, {"missing": "mean"}, {"validationIndicatorCol": "held_out"}],
        ids=lambda parameter: next(iter(parameter)),
    )
    def test_what_a_dataset_says_is_not_said_again(self, package, files, parameter):
        with pytest.raises(ConfigError, match=f"^{next(iter(parameter))}.*(read_parquet|validation=)"):
            package.SGDClassifier(**parameter).fitParquet(dataset(files, "late"))

    def own(self, frame):
        return self.spark.createDataFrame(frame.assign(row=np.arange(len(frame))))

    def core(self, fitted):
        return fitted.core

    def predictions(self, fitted, frame):
        rows = fitted.transform(self.own(frame)).orderBy("row").select("prediction").collect()
        return np.array([row.prediction for row in rows])

    def probabilities(self, fitted, frame):
        rows = fitted.transform(self.own(frame)).orderBy("row").select("probability").collect()
        return np.array([row.probability.toArray() for row in rows])

    def load(self, package, path):
        return package.SGDClassificationModel.load(path)

    def engine(self):
        import spark_ext

        return spark_ext.SparkEngine(self.spark)
