"""A gang that loses a rank begins again, and a mistake does not."""

import pytest

from dsgd.errors import ConfigError, DataError, WorkerLost
from dsgd.train import again


def test_a_lost_gang_is_tried_again_a_few_times(monkeypatch, caplog):
    monkeypatch.setattr(again, "_LOOK", 0.0)
    ends = [again.RankLost("rank 1"), again.RankLost("rank 0"), "weights"]

    def attempt():
        end = ends.pop(0)
        if isinstance(end, Exception):
            raise end
        return end

    looks = [False, True, True]
    assert again.again(attempt, "fit", lambda: looks.pop(0)) == "weights"
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 2
    assert "rank 1" in caplog.records[0].message
    ends[:] = [again.RankLost("rank 1")] * 9
    with pytest.raises(WorkerLost, match="last of 4 attempts"):
        again.again(attempt, "fit", lambda: True)
    with pytest.raises(WorkerLost, match="rank 1; and no slots have come back"):
        again.again(attempt, "fit", lambda: False, come_back=0.0)
    for error in (DataError("a row"), ConfigError("a word"), WorkerLost("nobody's fault")):
        ends[:] = [error, "weights"]
        with pytest.raises(type(error)):
            again.again(attempt, "fit", lambda: True)
        assert ends == ["weights"]
