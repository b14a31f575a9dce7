"""What both estimators on Spark do: stages of a pyspark.ml Pipeline, trained on the executors."""

import uuid
from typing import Any, ClassVar

from pyspark.ml.util import DefaultParamsReadable, DefaultParamsWritable
from pyspark.sql import DataFrame, SparkSession

from dsgd.data.dataset import Dataset
from dsgd.data.resolve import Roles
from dsgd.errors import ConfigError, in_words_of
from dsgd.estimators.parameters import configuration
from dsgd.fitted import LinearModel
from dsgd.train.config import FitConfig

from .cluster.execution import Rows, Run, train
from .cluster.feed import FedDataset, Feed
from .columns import feature_columns, features, plain, samples
from .going_on import begun, going_on, kept_state
from .params.checks import check_columns, check_frame
from .params.contract import refuse_unknown, spark_ml_param, unknown
from .params.names import SPARK_NAMES
from .params.run_params import FitParams


class SparkFace(FitParams, DefaultParamsWritable, DefaultParamsReadable):
    """Mixed into the estimators: the engine of a fit, its data, and the model that comes of it."""

    _task: ClassVar[str]
    _model: ClassVar[Any]

    def setParams(self, **params: Any) -> Any:  # noqa: N802
        """Set parameters by name, and return this estimator.

        Parameters
        ----------
        **params
            Those of the class.

        Returns
        -------
        self

        Raises
        ------
        ConfigError
            For a name that does not exist, or a value of another kind.
        """
        refuse_unknown(self, params)
        return self._set(**params)

    def write(self) -> Any:
        """Return a writer of the parameters: ``estimator.write().overwrite().save(path)``.

        Raises
        ------
        ConfigError
            When ``initialModel`` is set: parameters are saved as text.
        """
        if self.column("initialModel") is not None:
            raise ConfigError(
                "initialModel is a fitted model, which is not saved with an estimator; save it by itself, and the estimator"
                " after clear(estimator.initialModel)"
            )
        return super().write()

    def __getattr__(self, name: str) -> Any:
        """Say what to do instead of setting one of Spark ML's Params that does not exist here."""
        param = spark_ml_param(name)
        told = f"{type(self).__name__!r} object has no attribute {name!r}"
        raise AttributeError(told if param is None else unknown(self, param))

    def _fit(self, dataset: DataFrame) -> Any:
        """Train on a DataFrame's rows, which cross the JVM once."""
        with in_words_of(SPARK_NAMES):
            config = self._configuration()
            check_frame(dataset)
            check_columns(dataset.schema, self, self._task)
            return self._trained(dataset.sparkSession, config, lambda ranks: self._feed(dataset, ranks)).trained_on(
                dataset
            )

    def fitParquet(self, dataset: Dataset, validation: Dataset | None = None) -> Any:  # noqa: N802
        """Train on Parquet files, which the executors read themselves.

        Parameters
        ----------
        dataset : Dataset
            ``dsgd.read_parquet(path, label=...)``; it names its own columns. ``featuresCol``, ``labelCol`` and the like are for
            the model, where they are set: they name the columns of the DataFrames that it transforms.
        validation : Dataset, optional
            For ``earlyStopping``, instead of a fraction of the rows.

        Returns
        -------
        SGDClassificationModel or SGDRegressionModel

        Raises
        ------
        ConfigError
            Also for ``categoricalCols``, ``interactions``, ``hashBits``, ``missing`` and ``validationIndicatorCol``, which the
            dataset says itself.
        DataError, WorkerLost

        Examples
        --------
        >>> from dsgd import read_parquet
        >>> customers = read_parquet("customers", label="bought", missing="mean")  # doctest: +SKIP
        >>> model = spark_ext.SGDClassifier(topology="engine").fitParquet(customers)  # doctest: +SKIP
        """
        self._refuse_what_a_dataset_says()
        with in_words_of(SPARK_NAMES):
            config = self._configuration()
            self._refuse_what_is_no_dataset(dataset, validation)
            model = self._trained(SparkSession.getActiveSession(), config, lambda ranks: (dataset, validation, None))
            return model.following(model.core.spec, dataset.roles).trained_on(None)

    @staticmethod
    def _refuse_what_is_no_dataset(dataset: Any, validation: Any) -> None:
        for given in (dataset,) if validation is None else (dataset, validation):
            if not isinstance(given, Dataset):
                raise ConfigError(
                    f"fitParquet takes dsgd.read_parquet(path, label=...), not {given!r}; a DataFrame is for fit"
                )

    def _refuse_what_a_dataset_says(self) -> None:
        defaults = type(self)()
        for name in ("categoricalCols", "interactions", "hashBits", "missing"):
            value = self.getOrDefault(name)
            if value != defaults.getOrDefault(name):
                raise ConfigError(
                    f"{name}={value!r} is about columns that have names: a dataset says itself what its columns are; say it in "
                    "read_parquet(...)"
                )
        if self.column("validationIndicatorCol") is not None:
            raise ConfigError("validationIndicatorCol is for fit(DataFrame); use fitParquet(dataset, validation=...)")

    def _configuration(self) -> FitConfig:
        """The parameters, checked before anything is asked of Spark; its slots may decide on the ranks later."""
        ranks = self.getOrDefault("numWorkers") or 1
        parameters, dtype = self.core_parameters(), self.getOrDefault("dtype")
        initial = self.column("initialModel")
        if initial is None:
            return configuration(self._task, parameters, dtype=dtype, n_workers=ranks)
        more = going_on(self, initial)
        return configuration(self._task, parameters, dtype=initial.core.coef.dtype.name, n_workers=ranks, **more)

    def _run(self) -> Run:
        """Where and how it runs; the threads of a rank are Spark's cores of a task, unless they are set."""
        own = ("numWorkers", "aggregationDepth", "verbose")
        workers, depth, verbose = (self.getOrDefault(name) for name in own)
        threads = self.getOrDefault("threadsPerWorker") if self.isSet("threadsPerWorker") else None
        least = self.getOrDefault("minWorkers") if self.isSet("minWorkers") else None
        return Run(self.uid, workers, threads, depth, verbose, least)

    def _feed(self, frame: DataFrame, ranks: int) -> tuple[FedDataset, FedDataset | None, Feed]:
        names = feature_columns(self.getOrDefault("featuresCol"))
        roles = Roles(self.column("labelCol"), self.column("weightCol"), self.column("offsetCol"))
        indicator = self.column("validationIndicatorCol")
        selected = plain(frame, [*names, *roles.names, *([indicator] if indicator else [])])
        spec = features(
            selected,
            names,
            roles,
            {
                "categorical": self.getOrDefault("categoricalCols"),
                "interactions": [tuple(pair) for pair in self.getOrDefault("interactions")],
                "hash_bits": self.getOrDefault("hashBits"),
                "missing": self.getOrDefault("missing"),
            },
        )
        feed = Feed(uuid.uuid4().hex, selected)
        found = samples(selected, spec) if self.getOrDefault("mode") in ("columns", "hybrid") else {}
        if indicator is None:
            return FedDataset(feed.name, ranks, roles, spec, samples=found), None, feed
        train, held_out = (
            FedDataset(feed.name, ranks, roles, spec, (indicator, which), found) for which in (False, True)
        )
        return train, held_out, feed

    def _trained(self, session: SparkSession | None, config: FitConfig, rows: Rows) -> Any:
        start, seen = begun(self.column("initialModel"))
        trained = train(session, config, rows, self._run(), initial=start, seen=seen)
        core = LinearModel.of(trained)
        model = self._model(core)._resetUid(self.uid)
        model._state = kept_state(trained, start is not None or config.optimizer != "auto")
        for param in model.params:
            if self.hasParam(param.name) and self.isSet(param.name):
                model._set(**{param.name: self.getOrDefault(param.name)})
        return model
