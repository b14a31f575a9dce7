"""How a model is measured: on rows with labels, and on the rows that it was trained on."""
# ruff: noqa: N802

from typing import Any, ClassVar, TypeVar

from pyspark.sql import DataFrame

from dsgd.data.dataset import Dataset
from dsgd.data.resolve import Roles
from dsgd.fitted import LinearModel

from ..columns import check_present, feature_columns
from ..params.shared import ColumnParams
from .attributes import element_names
from .predictions import measure
from .summary import NoSummaryError, Summary

Self = TypeVar("Self", bound="Measured")


class Measured(ColumnParams):
    """Mixed into the models."""

    core: LinearModel
    _outputs: ClassVar[tuple[str, ...]]
    _element_names: list[str] | None = None
    _summary: Summary | None = None

    def trained_on(self: Self, rows: DataFrame | None) -> Self:
        """Keep what the summary and the table of coefficients need of the training rows.

        Parameters
        ----------
        rows : DataFrame, optional
            None when they are files that the executors read by themselves.

        Returns
        -------
        self
        """
        if rows is not None:
            self._element_names = element_names(rows.schema, self.getOrDefault("featuresCol"))
        self._summary = self._summarise(rows, training=True)
        return self

    def evaluate(self, dataset: DataFrame | Dataset) -> Any:
        """Return the metrics of a model on rows with labels.

        Parameters
        ----------
        dataset : DataFrame or Dataset
            A DataFrame with the model's columns, measured by the executors; or Parquet files, read by the driver.

        Returns
        -------
        Summary
            With the metrics of Spark ML's summaries as attributes, for a DataFrame; and a mapping from the names of dsgd's own
            metrics to their values. Each is computed when it is first asked for.

        Raises
        ------
        DataError
            For a column that is missing; and when metrics are computed, for a label that is none of the classes.
        """
        if isinstance(dataset, Dataset):
            return self._summarise(None, data=dataset)
        check_present(dataset, [*feature_columns(self.getOrDefault("featuresCol")), *self._roles().names])
        return self._summarise(dataset)

    def _roles(self) -> Roles:
        return Roles(self.column("labelCol"), self.column("weightCol"), self.column("offsetCol"))

    def _summarise(self, rows: DataFrame | None, training: bool = False, data: Dataset | None = None) -> Summary:
        core, roles, features = self.core, self._roles(), self.getOrDefault("featuresCol")

        def own() -> dict[str, float]:
            if rows is not None:
                return measure(core, rows, features, roles).results()
            if data is not None:
                return core.evaluate(data)
            raise NoSummaryError("the training rows are files; use model.evaluate(dataset)")

        return self._summary_type(training)(self, rows, own)

    def _summary_type(self, training: bool) -> type[Summary]:
        raise NotImplementedError

    def writing_all(self: Self) -> Self:
        """Return a copy that leaves no column of its results out."""
        unnamed = [name for name in self._outputs if not self.column(name)]
        return self.copy({self.getParam(name): f"__dsgd_{name}__" for name in unnamed})

    @property
    def hasSummary(self) -> bool:
        """Whether there is a summary of the training: not for a model that was loaded."""
        return self._summary is not None

    @property
    def summary(self) -> Any:
        """Objective and metrics of the training; each metric is computed when it is first asked for.

        Raises
        ------
        NoSummaryError
            For a model that was loaded; a RuntimeError, as in Spark ML.
        """
        if self._summary is None:
            raise NoSummaryError(
                f"No training summary available for this {type(self).__name__}: it was loaded, or made of weights; evaluate(rows)"
                " gives the same metrics"
            )
        return self._summary
