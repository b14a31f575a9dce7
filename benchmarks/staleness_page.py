"""The table and the picture of what staleness costs, made of recorded results; the table goes between two marks of the guide."""

import io
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

DOCS = Path(__file__).resolve().parent.parent / "docs"
GUIDE, PICTURE = DOCS / "guides" / "asynchronous.md", DOCS / "images" / "staleness.svg"
BEGIN, END = "<!-- staleness -->\n", "<!-- /staleness -->\n"
_COLOURS = {"none": "C0", "rate": "C1", "delay": "C2", "own steps": "C3"}
_LINES = {"sgd": "-", "adagrad": "--"}


def write(result: dict) -> list[Path]:
    """Put the table into the guide, and the picture beside it; return what was written.

    Raises
    ------
    ValueError
        When the guide has lost its marks.
    """
    text = GUIDE.read_text()
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise ValueError(f"{GUIDE} must have {BEGIN.strip()} and {END.strip()} once each, around the table")
    before, rest = text.split(BEGIN)
    GUIDE.write_text(before + BEGIN + "\n".join(table(result["runs"])) + "\n" + END + rest.split(END)[1])
    PICTURE.write_text(picture(result["runs"]))
    return [GUIDE, PICTURE]


def cell(excess: Sequence[float]) -> str:
    """Median and range, in percent.

    Examples
    --------
    >>> cell([0.019, 0.0271, 0.018]), cell([1.1234, 0.71, 1.9])
    ('1.9 (1.8 to 2.7)', '110 (71 to 190)')
    """
    middle, low, high = (f"{float(f'{100 * value:.2g}'):g}" for value in (median(excess), min(excess), max(excess)))
    return f"{middle} ({low} to {high})"


def bounds_of(runs: Sequence[dict]) -> list[int | None]:
    """The bounds on staleness, ascending, none at all being the last."""
    return sorted({run["staleness"] for run in runs}, key=lambda bound: (bound is None, bound or 0))


def table(runs: Sequence[dict]) -> list[str]:
    """The lines of a Markdown table: a row for each set, rule and way, a column for each bound."""
    bounds = bounds_of(runs)
    lines = [
        "| set | rule | correction | " + " | ".join(f"staleness {bound}" for bound in bounds) + " |",
        "|---" * (3 + len(bounds)) + "|",
    ]
    for key, found in _rows(runs).items():
        cells = [cell(found[bound]["excess"]) if bound in found else "" for bound in bounds]
        lines.append("| " + " | ".join([*key, *cells]) + " |")
    return lines


def _rows(runs: Sequence[dict]) -> dict[tuple[str, str, str], dict[int | None, dict]]:
    rows: dict[tuple[str, str, str], dict[int | None, dict]] = {}
    for run in runs:
        rows.setdefault((run["data"], run["rule"], run["way"]), {})[run["staleness"]] = run
    return rows


def picture(runs: Sequence[dict]) -> str:
    """The table as an SVG document, a panel for each set: the same bytes for the same results."""
    import matplotlib

    with matplotlib.rc_context({"svg.hashsalt": "dsgd", "svg.fonttype": "none", "font.family": "sans-serif"}):
        # The object-oriented interface: pyplot would look for a display and keep the figure alive.
        from matplotlib.figure import Figure

        sets = list(dict.fromkeys(run["data"] for run in runs))
        figure = Figure(figsize=(9, 3.4), layout="constrained")
        panels = figure.subplots(1, len(sets), sharey=True, squeeze=False)[0]
        for panel, name in zip(panels, sets, strict=True):
            _draw(panel, name, [run for run in runs if run["data"] == name], bounds_of(runs))
        panels[0].set_ylabel("above the optimum, %")
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right center", fontsize="small")
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def _draw(axes: Any, name: str, runs: Sequence[dict], bounds: Sequence[int | None]) -> None:
    """Lines of medians with bars for the range."""
    for (_, rule, way), found in _rows(runs).items():
        own = [(place, found[bound]["excess"]) for place, bound in enumerate(bounds) if bound in found]
        middle = [100 * median(excess) for _, excess in own]
        reach = [
            [100 * (median(excess) - min(excess)) for _, excess in own],
            [100 * (max(excess) - median(excess)) for _, excess in own],
        ]
        axes.errorbar(
            [place for place, _ in own], middle, yerr=reach, color=_COLOURS[way], linestyle=_LINES[rule], marker="o",
            markersize=4, linewidth=1.2, elinewidth=0.8, label=f"{rule}, {way}",
        )  # fmt: skip
    axes.set_yscale("log")
    axes.set_xticks(range(len(bounds)), [str(bound) for bound in bounds])
    axes.set(title=name, xlabel="staleness")
    axes.spines[["top", "right"]].set_visible(False)
