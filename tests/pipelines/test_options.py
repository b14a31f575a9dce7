"""Words of the shell become the values of Python, or a message that shows what was expected."""

import click
import pytest

from pipelines.options import ByteSize, ColumnList, Cross, FloatOr, IntegerOr, RowFilter


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("month < 11", ("month", "<", 11)),
        ("month>=11", ("month", ">=", 11)),
        ("carrier = UA", ("carrier", "==", "UA")),
        ("carrier != 'UA'", ("carrier", "!=", "UA")),
        ("carrier in ['UA', 'AA']", ("carrier", "in", ["UA", "AA"])),
        ("carrier not in ['UA']", ("carrier", "not in", ["UA"])),
        ("rate <= -1.5e3", ("rate", "<=", -1500.0)),
        ("late == true", ("late", "==", True)),
        ("late in [true, false]", ("late", "in", [True, False])),
        ('"day in week" == 3', ("day in week", "==", 3)),
        ("'dep delay' < 0", ("dep delay", "<", 0)),
    ],
)
def test_filters(text, value):
    assert RowFilter()(text) == value


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        (RowFilter(), "month", "month < 11"),
        (RowFilter(), "carrier in UA", "expects a list"),
        (RowFilter(), "month <> 3", "expected a column, one of < <="),
        (RowFilter(), "month >< 3", "expected a column, one of < <="),
        (ColumnList(), "a,,b", "separated by commas"),
        (Cross(), "carrier", "separated by colons"),
        (IntegerOr("epoch"), "0", "an integer >= 1 or 'epoch'"),
        (IntegerOr("epoch"), "ever", "an integer >= 1 or 'epoch'"),
        (FloatOr("auto"), "little", "a number or 'auto'"),
        (ByteSize(), "much", "like 800MB"),
        (ByteSize(), "-1GB", "like 800MB"),
    ],
)
def test_what_cannot_be_read_is_told_with_an_example(kind, text, expected):
    with pytest.raises(click.BadParameter, match=expected):
        kind(text)


def test_what_can_be_read():
    assert ColumnList()("a, b") == ["a", "b"]
    assert Cross()("carrier:dest:hour") == ("carrier", "dest", "hour")
    assert IntegerOr("epoch")("epoch") == "epoch"
    assert IntegerOr("epoch")("8") == 8
    assert FloatOr("auto")("auto") == "auto"
    assert FloatOr("auto")("1e-4") == 1e-4


@pytest.mark.parametrize(
    ("text", "value"), [("512", 512), ("800MB", 800_000_000), ("2GiB", 2 << 30), ("1.5 kB", 1500), ("1t", 10**12)]
)
def test_sizes(text, value):
    assert ByteSize()(text) == value
