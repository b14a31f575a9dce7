"""What the clients of both engines share: rows, and a record of the keys that are made."""

import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dsgd.transport import FitKeys


def keep_keys(folder: Path) -> None:
    """From now on write down the keys of this process's fits, for who looks for them."""
    made, generate = [], FitKeys.generate.__func__

    def kept(cls):
        keys = generate(cls)
        made.append((keys.fit, keys.server, keys.client, keys.token))
        (folder / "keys").write_bytes(pickle.dumps(made))
        return keys

    FitKeys.generate = classmethod(kept)


def write_rows(folder: Path) -> str:
    """A Parquet file with a label."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(2000, 2))
    table = pa.table({"a": x[:, 0], "b": x[:, 1], "y": (x[:, 0] > x[:, 1]).astype(np.int64)})
    pq.write_table(table, folder / "rows.parquet", row_group_size=500)
    return str(folder / "rows.parquet")
