"""What is shown of a fit while it runs: lines, the bar of a terminal, the bar of a notebook."""

import re

import pytest

from dsgd import SGDClassifier
from dsgd.display import progress, shown
from dsgd.display.notebook import as_html, curve

RECORDS = [{"epoch": e, "objective": 1 / e, "validation": None, "seconds": e / 2, "rows": 1000} for e in (1, 2, 3)]


@pytest.fixture
def terminal(monkeypatch):
    """The standard error, which is captured, is taken for a terminal, and no epoch is too short to be shown."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr(progress, "_PAUSE", 0.0)


def report(verbose, error=None):
    with shown("the fit", 10, verbose) as tell:
        for record in RECORDS:
            tell(record)
        if error:
            raise error


def test_lines(capsys, monkeypatch, terminal):
    report(2)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "epoch 1, objective 1.000000, seconds 0.50"
    assert len(lines) == 3
    monkeypatch.delenv("FORCE_COLOR")
    report(1)
    assert capsys.readouterr().err.splitlines() == lines, "no terminal"


def test_nothing_and_a_function(capsys, terminal):
    seen = []
    report(0)
    report(seen.append)
    assert seen == RECORDS
    assert capsys.readouterr() == ("", "")


def test_a_bar_in_a_terminal(capsys, terminal):
    report(1)
    out, err = capsys.readouterr()
    assert out == ""
    assert "preparing" in err
    assert "epoch 2/10, objective 0.5, 2k rows/s" in err
    last = re.split(r"[\r\n]+", err)[-2]
    assert "the fit" in last
    assert "3 epochs, objective 0.33333" in last
    assert err.endswith("\x1b[?25h"), "the cursor is there again"


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt()])
def test_a_bar_stands_still_after_an_error(capsys, terminal, error):
    with pytest.raises(type(error)):
        report(1, error)
    err = capsys.readouterr().err
    assert f"stopped by {type(error).__name__}" in err
    assert err.endswith("\x1b[?25h")
    report(1)
    assert "3 epochs" in capsys.readouterr().err, "the next one has a bar again"


def test_two_fits_at_once_share_no_terminal(capsys, terminal):
    with shown("first", 10):
        report(1)
    err = capsys.readouterr().err
    assert "epoch 3, objective 0.333333" in err, "lines"
    assert "the fit" not in err


def test_the_bar_of_a_notebook():
    state = progress.State("a <b>", 10)
    assert "<progress></progress>" in as_html(state), "moves by itself"
    for record in RECORDS:
        state = state.after(record)
    page = as_html(state)
    assert "a &lt;b&gt;" in page
    assert '<progress value="3" max="10">' in page
    assert page.count("polyline") == 1
    assert '<progress value="3" max="10">' in as_html(progress.replace(state, ended="KeyboardInterrupt"))
    assert '<progress value="1" max="1">' in as_html(progress.replace(state, ended=""))
    assert state.after(RECORDS[0]).objectives == (1.0,), "a fit that begins again"


def test_a_curve_has_few_points():
    drawn = re.search(r'points="([^"]*)"', curve(tuple(range(1000))))[1].split()
    points = [tuple(map(float, point.split(","))) for point in drawn]
    assert len(points) <= 90
    assert points[0] == (1.0, 17.0)
    assert points[-1][0] == 89.0
    assert 'points="1.0,17.0 89.0,17.0"' in curve((2.0, 2.0)), "alike"


def test_a_fit_shows_its_bar(capsys, terminal):
    X, y = [[-2.0], [-1.0], [1.0], [2.0]], [0, 0, 1, 1]
    SGDClassifier(max_iter=3, tol=None, optimizer="sgd", verbose=1).fit(X, y)
    err = capsys.readouterr().err
    assert "SGDClassifier" in err
    assert "3 epochs, objective" in err
