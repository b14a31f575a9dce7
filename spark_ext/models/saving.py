"""Models as directories: those of the core, with what Spark asks of a stage beside them: its class, uid and Params."""

import json
import time
from typing import Any

import pyspark
from pyspark.ml.util import MLReader, MLWriter
from pyspark.sql import SparkSession

from dsgd.data.resolve import Roles
from dsgd.errors import CheckpointError, ConfigError
from dsgd.fitted import load
from dsgd.fitted.files import read_beside, save
from dsgd.foreign import read_object

from .storage import readable, written

# What Spark reads of every saved stage, beside the core's files.
_METADATA = "metadata/part-00000"


class ModelWriter(MLWriter):
    """Writes a model's directory.

    Parameters
    ----------
    instance : SGDClassificationModel or SGDRegressionModel
    """

    def __init__(self, instance: Any):
        super().__init__()
        self._instance = instance

    def save(self, path: str) -> None:
        """Save to a path that Spark or pyarrow can write to."""
        session = self._sparkSession or SparkSession.getActiveSession()
        with written(session, path, self.shouldOverwrite) as place:
            beside = {_METADATA: _metadata(self._instance)}
            try:
                save(self._instance.core, place, overwrite=self.shouldOverwrite, beside=beside)
            except ConfigError as error:  # Spark's users ask for it by another call.
                raise ConfigError(str(error).replace("overwrite=True", "write().overwrite()")) from error


def _metadata(instance: Any) -> bytes:
    """One line of JSON as ``pyspark.ml.util.DefaultParamsWriter`` writes it, by which a Pipeline finds its stages."""
    state = {
        "class": f"spark_ext.{type(instance).__name__}",
        "timestamp": round(time.time() * 1000),
        "sparkVersion": pyspark.__version__,
        "uid": instance.uid,
        "paramMap": {param.name: value for param, value in instance._paramMap.items()},
        "defaultParamMap": {param.name: value for param, value in instance._defaultParamMap.items()},
        "elementNames": instance._element_names,
    }
    return json.dumps(state, separators=(",", ":")).encode()


class ModelReader(MLReader):
    """Reads what any of the packages has saved.

    Parameters
    ----------
    cls : type
        Of the model.
    """

    def __init__(self, cls: Any):
        super().__init__()
        self._cls = cls

    def load(self, path: str) -> Any:
        """Load a model; one that was saved elsewhere names its feature columns itself."""
        with readable(self._sparkSession or SparkSession.getActiveSession(), path) as place:
            model = self._cls(load(place))
            state = read_beside(place, _METADATA)
        if state is None:
            return model.following(model.core.spec, Roles())
        try:
            saved = read_object(state, f"{path}/{_METADATA}", CheckpointError)
            model._element_names = saved.get("elementNames")
            return model._resetUid(saved["uid"])._set(**saved["paramMap"])
        except (ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
            raise CheckpointError(f"{path}/{_METADATA} is damaged: {error}; save the model again") from error
