"""Tables: their columns, slices, texts and HTML; the history that is one, and how it is drawn."""

import pickle

import numpy as np
import pandas as pd
import pytest

from dsgd import DataError
from dsgd.display import Table
from dsgd.estimators import History


@pytest.fixture
def history():
    records = [{"epoch": e, "objective": 1 / e, "validation": None, "rows": 9} for e in (1, 2, 3, 4)]
    return History([*records[:3], records[3] | {"validation": 0.5}])


def test_columns_and_slices(history):
    np.testing.assert_array_equal(history["epoch"], [1, 2, 3, 4])
    assert history["epoch"].dtype.kind == "i"
    np.testing.assert_array_equal(history["validation"], [np.nan, np.nan, np.nan, 0.5])
    assert Table([{"a": "x"}, {}, {"a": (1, 2)}])["a"].tolist() == ["x", None, (1, 2)]
    assert history[-1]["validation"] == 0.5
    last = history[2:]
    assert isinstance(last, History)
    assert last == [history[2], history[3]]
    some = history[["rows", "epoch"]]
    assert isinstance(some, History)
    assert some.names == ["rows", "epoch"]
    for wrong in ("loss", ["epoch", "loss"]):
        with pytest.raises(KeyError, match="no column 'loss'; the columns are"):
            history[wrong]


def test_it_is_a_list_that_pandas_takes(history):
    again = pickle.loads(pickle.dumps(history))
    assert isinstance(again, History)
    assert again == list(history)
    pd.testing.assert_frame_equal(again.to_pandas(), pd.DataFrame(list(history)))
    assert list(History().to_pandas()) == []


def test_columns_without_a_value_are_not_shown(history):
    assert repr(history[:1]).splitlines() == ["epoch  objective  rows", "    1          1     9"]
    assert "validation" not in history[:3]._repr_html_()
    assert "validation" in history._repr_html_()
    assert "validation" in history[:1].names


def test_long_tables_are_shown_by_their_ends():
    table = Table({"row": i, "text": "<b>"} for i in range(61))
    text, page = repr(table), table._repr_html_()
    assert text.splitlines()[-1] == "61 rows"
    assert page.count("<tr>") == len(text.splitlines()) - 1 == 22
    assert "<b>" not in page
    assert len(repr(table[:60]).splitlines()) == 61
    assert "no rows" in Table()._repr_html_()


def test_a_history_is_drawn(history):
    pytest.importorskip("matplotlib").use("agg")
    from matplotlib import pyplot

    axes = history.plot()
    try:
        drawn = {line.get_label(): line.get_ydata() for line in axes.lines}
        assert list(drawn) == ["objective", "validation"]
        np.testing.assert_array_equal(drawn["objective"], history["objective"])
        assert history[:2].plot("rows", x="objective", ax=axes) is axes
        np.testing.assert_array_equal(axes.lines[-1].get_xdata(), [1.0, 0.5])
        assert [line.get_label() for line in history[:2].plot().lines] == ["objective"], "no validation there"
        with pytest.raises(DataError, match="no epoch has a value of 'validation'"):
            history[:2].plot("validation")
        with pytest.raises(KeyError, match="no column 'loss'"):
            history.plot(["objective", "loss"])
        with pytest.raises(DataError, match="no epochs"):
            History().plot()
    finally:
        pyplot.close("all")


def test_matplotlib_is_asked_for_where_it_is_missing(history, monkeypatch):
    monkeypatch.setattr("dsgd.importing.find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"plot\(\) needs matplotlib.*dsgd\[notebook\]"):
        history.plot()
