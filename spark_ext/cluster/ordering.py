"""What the tasks of a job are told, and the way in which their payloads reach them: inside the function, or as rows."""

import pickle
from collections.abc import Sequence
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812

from dsgd.train import versions

from . import cells, worker
from .messages import SHIP
from .session import Session

# Payloads above this many bytes travel as rows, not inside the function.
_LARGE = 1 << 20


def order(
    session: Session, fit: str, function: str, payloads: Sequence[Any], frame: DataFrame | None, **more: Any
) -> tuple[worker.Orders, Any]:
    """Pickle all payloads as one, so that what they share travels once, and choose their way to the workers.

    Parameters
    ----------
    session : Session
    fit, function, payloads
        As in :class:`spark_ext.cluster.worker.Orders`.
    frame : DataFrame or None
        The rows that the tasks run over, beside which payloads can travel; None where they cannot.
    **more
        Other fields of the orders.

    Returns
    -------
    Orders, DataFrame
        The frame with the payloads in it, if they travel so.
    """
    pickled = pickle.dumps(list(payloads), protocol=5)
    inside: bytes | None = pickled
    if len(pickled) > _LARGE and frame is not None:
        parts = [(part, bytearray(cell)) for part, cell in enumerate(cells.cut(pickled, cells.SHIPPED_CELL))]
        rows = F.broadcast(session.spark.createDataFrame(parts, "payload_part int, payload binary"))
        # A share's first row has them beside it; in a frame of one row a share, that is every row.
        frame = frame.join(rows, F.col("part") == 0, "left") if "part" in frame.columns else frame.crossJoin(rows)
        inside = None
    return worker.Orders(fit, len(payloads), function, inside, versions.installed(), SHIP, **more), frame
