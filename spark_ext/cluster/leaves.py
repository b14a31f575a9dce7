"""What Spark keeps for an engine between its jobs: the frames under the leaves of aggregates, and the rows of feeds.

In come a number of leaves and, perhaps, a feed; out comes the same frame every time, so that Spark prefers to run a leaf where
it ran before, and what a worker has cached is found again.
"""

import logging

from pyspark.sql import DataFrame

from .feed import Feed
from .kept import Kept
from .session import Session

_log = logging.getLogger(__name__)


class Leaves:
    """Frames by their number of leaves and their feed.

    Parameters
    ----------
    session : Session
    """

    def __init__(self, session: Session):
        self._session = session
        self._frames: dict[tuple[int, str | None], DataFrame] = {}
        self._kept: dict[str, Kept] = {}

    def under(self, count: int, feed: Feed | None) -> DataFrame:
        """The frame under so many leaves."""
        key = count, None if feed is None else feed.name
        if key not in self._frames:
            kept = None if feed is None else self.kept(count, feed)
            self._frames[key] = tasks(self._session, count).persist() if kept is None else kept.leaves
        return self._frames[key]

    def kept(self, count: int, feed: Feed) -> Kept:
        """What Spark keeps of a feed, in so many shares."""
        if feed.name not in self._kept:
            self._kept[feed.name] = Kept.of(feed.name, feed.frame, count)
        kept = self._kept[feed.name]
        # The shares' files are found by the feed's name and a number.
        assert kept.count == count, f"a feed of {kept.count} shares cannot be one of {count}"
        return kept

    def release(self) -> list[str] | None:
        """Have Spark forget it all; return the names of the feeds, whose files are left, or None when there was nothing."""
        frames, self._frames = self._frames, {}
        kept, self._kept = self._kept, {}
        if not frames and not kept:
            return None
        try:
            for frame in frames.values():
                frame.unpersist()
            for one in kept.values():
                one.release()
        except Exception as error:  # The application is gone, and what it kept with it.
            _log.debug("could not let go of the leaves: %s", error)
        return list(kept)


def tasks(session: Session, count: int) -> DataFrame:
    """A frame of so many partitions of one row each."""
    return session.spark.range(0, count, 1, count)
