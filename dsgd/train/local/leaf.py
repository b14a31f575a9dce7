"""One task of an aggregate on this machine, in whichever thread or process it runs."""

from typing import Any

from .. import place
from .. import rank as ranks
from ..engine import RankContext, no_gang
from ..rank import Failure


def run_leaf(function: str, index: int, payload: Any, size: int, scratch: str, threads: int) -> bytes | Failure:
    """Run the function on the payload at ``index`` of ``size``; return its bytes, or how it failed."""
    context = RankContext(
        index,
        size,
        host="127.0.0.1",
        machine=place.machine(),
        scratch=scratch,
        allgather=no_gang,
        threads=threads,
    )
    with place.limit_threads(threads):
        return ranks.run(index, function, context, payload)
