"""The table fits a pipe, and the report stands on its own."""

import dataclasses
import html.parser
import re
import xml.etree.ElementTree as ElementTree

from rich.console import Console

from pipelines.demo.report import curves_svg, report
from pipelines.demo.result import Epoch, Result
from pipelines.demo.table import results_table
from pipelines.terminal import PIPED_WIDTH

RESULTS = [
    Result("local", "ring, 2 ranks", 2.0, 3_000_000, 0.25, 0.91, (Epoch(1, 0.5, 0.4), Epoch(2, 1.0, 0.3))),
    Result("spark", "a < b & c", 4.0, 3_000_000, 0.25, 0.91, (Epoch(1, 2.5, 0.4), Epoch(2, 3.0, 0.3))),
]


class Links(html.parser.HTMLParser):
    """Everything that a browser would load from elsewhere."""

    def __init__(self):
        super().__init__()
        self.found = []
        self.open = []

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        outside = [attributes.get("src"), attributes.get("href") if tag == "link" else None]
        self.found += [address for address in outside if address]


def page(results=RESULTS):
    return report(results, title="Late?", summary="<b>", notes=["Left out: spark."], footer="1 s")


def test_the_report_needs_nothing_else():
    links = Links()
    links.feed(page())
    assert links.found == []
    assert "@import" not in page()


def test_every_text_is_escaped():
    text = page()
    assert "<td>a &lt; b &amp; c</td>" in text
    assert "<p>&lt;b&gt;</p>" in text
    assert "Left out: spark." in text


def test_one_line_a_run_and_its_curve():
    text = page()
    assert text.count("<tr><td>") == len(RESULTS)
    drawing = ElementTree.fromstring(curves_svg(RESULTS))
    assert "ring, 2 ranks" in "".join(drawing.itertext())


def test_no_results_is_still_a_report():
    assert "<svg" in page(())


def test_runs_that_agree_are_all_seen():
    twins = [dataclasses.replace(RESULTS[0], engine=engine) for engine in ("local", "dask", "spark")]
    widths = re.findall(r"stroke-width: ([0-9.]+); stroke-linecap: square", curves_svg(twins))
    assert len(set(widths)) >= len(twins)


def test_the_same_results_give_the_same_picture():
    assert curves_svg(RESULTS) == curves_svg(RESULTS)


def test_the_table_is_not_cut_when_piped(capsys):
    Console(width=PIPED_WIDTH).print(results_table(RESULTS, "Late?", "caption"))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= PIPED_WIDTH
    assert any("ring, 2 ranks" in line and "1,500,000" in line and "0.9100" in line for line in lines)
    assert "…" not in "".join(lines)
