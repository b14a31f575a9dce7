"""The table fits a pipe, and the report stands on its own."""

import html.parser
import re
import xml.etree.ElementTree as ElementTree

import pytest
from rich.console import Console

from pipelines.demo.report import picture_svg, report
from pipelines.demo.result import Result
from pipelines.demo.table import results_table
from pipelines.terminal import PIPED_WIDTH

RESULTS = [
    Result("local", "ring, 2 ranks", 2.0, 3_000_000, 0.25, 0.91, 1, 0.5),
    Result("spark", "a < b & c", 4.0, 3_000_000, 0.25, 0.91, 2, 3.0),
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


def test_one_line_and_one_bar_a_run():
    text = page()
    assert text.count("<tr><td>") == len(RESULTS)
    said = "".join(ElementTree.fromstring(picture_svg(RESULTS)).itertext())
    assert "local, ring, 2 ranks" in said
    assert "2.0 s, 1 pass, log-loss 0.2500" in said
    assert "4.0 s, 2 passes, log-loss 0.2500" in said


def widths(picture):
    """Of the bars: what is filled with one of the two engines' colours."""
    shapes = ElementTree.fromstring(picture).iter("{http://www.w3.org/2000/svg}path")
    bars = [shape.get("d").split() for shape in shapes if re.search("fill: #(1f77b4|ff7f0e)", shape.get("style", ""))]
    return [float(bar[4]) - float(bar[1]) for bar in bars]


def test_a_bar_is_as_long_as_a_fit_and_its_dark_part_as_the_training():
    before, training, its_before, its_training = widths(picture_svg(RESULTS))
    assert [training / before, its_training / its_before] == pytest.approx([0.5 / 1.5, 3.0 / 1.0], rel=1e-3)
    assert its_before + its_training == pytest.approx(2 * (before + training), rel=1e-3)


def test_no_results_is_still_a_report():
    assert "<svg" in page(())


def test_the_same_results_give_the_same_picture():
    assert picture_svg(RESULTS) == picture_svg(RESULTS)


def test_the_table_is_not_cut_when_piped(capsys):
    Console(width=PIPED_WIDTH).print(results_table(RESULTS, "Late?", "caption"))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= PIPED_WIDTH
    assert any("ring, 2 ranks" in line and "1,500,000" in line and "0.9100" in line for line in lines)
    assert "…" not in "".join(lines)
