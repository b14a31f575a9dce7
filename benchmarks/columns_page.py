"""The table and the picture of what a step costs by the number of columns; the table goes between two marks of the guide."""

import io
from collections.abc import Sequence
from pathlib import Path

DOCS = Path(__file__).resolve().parent.parent / "docs"
GUIDE, PICTURE = DOCS / "guides" / "columns.md", DOCS / "images" / "columns.svg"
BEGIN, END = "<!-- steps -->\n", "<!-- /steps -->\n"
NAMES = {
    "columns": "column blocks",
    "sync": "synchronous, sparse sums where few weights are touched",
    "sync, dense sums": "synchronous, dense sums",
    "mllib": "MLlib, LogisticRegressionWithSGD",
}


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
    image = "![Time of a step against the number of columns](../images/columns.svg)"
    lines = [*table(result["steps"]), "", *sentences(result), "", image]
    GUIDE.write_text(before + BEGIN + "\n".join(lines) + "\n" + END + rest.split(END)[1])
    PICTURE.write_text(picture(result["steps"]))
    return [GUIDE, PICTURE]


def time_of(seconds: float) -> str:
    """Seconds in a unit that suits them.

    Examples
    --------
    >>> time_of(0.000182), time_of(0.8312), time_of(0.0123)
    ('180 µs', '830 ms', '12 ms')
    """
    for size, unit in ((1.0, "s"), (1e-3, "ms")):
        if seconds >= size:
            return f"{float(f'{seconds / size:.2g}'):g} {unit}"
    return f"{float(f'{seconds * 1e6:.2g}'):g} µs"


def table(steps: Sequence[dict]) -> list[str]:
    """The lines of a Markdown table: a row for each way, a column for each number of columns."""
    counts = sorted({step["columns"] for step in steps})
    lines = [
        "| time of a step | " + " | ".join(f"{d:,} columns" for d in counts) + " |",
        "|---" * (1 + len(counts)) + "|",
    ]
    for way, found in _rows(steps).items():
        cells = [time_of(found[d]) if d in found else "" for d in counts]
        lines.append("| " + " | ".join([NAMES[way], *cells]) + " |")
    return lines


def sentences(result: dict) -> list[str]:
    """What was found of MLlib, of memory and of the wire, as far as it was found, and when."""
    rows = _rows(result["steps"])
    lines = []
    both = sorted(set(rows.get("mllib", {})) & set(rows.get("columns", {})))
    if both:
        d = both[-1]
        ratio = float(f"{rows['mllib'][d] / rows['columns'][d]:.2g}")
        lines.append(f"With {d:,} columns a step of column blocks is {ratio:,.0f} times as fast as MLlib's.")
    if "ranks" in result["memory"]:
        lines.append(_of_memory(result["memory"]["ranks"]))
    sent = ", ".join(
        f"{found['bytes']:,.0f} with {found['columns']:,} columns" for found in result["wire"] if "bytes" in found
    )
    if sent:
        lines.append(f"Bytes that a rank of two sent a step over sockets: {sent}.")
    trained: dict[int, list[str]] = {}
    for way, count in {step["way"]: step["rows"] for step in result["steps"]}.items():
        trained.setdefault(count, []).append(NAMES[way])
    said = "; ".join(f"{count:,}: {' and '.join(names)}" for count, names in trained.items())
    lines.append(
        f"Two processes, 1,000 rows of 30 values a step, AdaGrad (MLlib: plain SGD); the median of epochs. Rows in all, of which "
        f"only MLlib looks at each in every step: {said}. {result['taken']}, load average {result['machine']['load']} before it "
        "began."
    )
    return lines


def _of_memory(ranks: dict) -> str:
    above = ranks["peak_bytes"] - ranks["least_bytes"] - ranks["block_bytes"]
    return (
        f"A rank whose part of weights and sums takes {ranks['state_bytes'] / 1e6:,.0f} MB, and its rows "
        f"{ranks['block_bytes'] / 1e6:,.0f} MB, had at most {ranks['peak_bytes'] / 1e6:,.0f} MB resident in training: "
        f"{above / ranks['state_bytes']:.2f} times its part, beside the rows and the {ranks['least_bytes'] / 1e6:,.0f} MB that "
        f"a rank with hardly any weights has; and {ranks['with_answer_bytes'] / 1e6:,.0f} MB when its answer was packed."
    )


def _rows(steps: Sequence[dict]) -> dict[str, dict[int, float]]:
    rows: dict[str, dict[int, float]] = {}
    for step in steps:
        if "seconds" in step:
            rows.setdefault(step["way"], {})[step["columns"]] = step["seconds"]
    return rows


def picture(steps: Sequence[dict]) -> str:
    """The table as an SVG document: the same bytes for the same results."""
    import matplotlib

    with matplotlib.rc_context({"svg.hashsalt": "dsgd", "svg.fonttype": "none", "font.family": "sans-serif"}):
        # The object-oriented interface: pyplot would look for a display and keep the figure alive.
        from matplotlib.figure import Figure

        figure = Figure(figsize=(8, 3.6), layout="constrained")
        axes = figure.subplots()
        for way, found in _rows(steps).items():
            counts = sorted(found)
            axes.plot(
                counts, [1e3 * found[d] for d in counts], marker="o", markersize=4, linewidth=1.2, label=NAMES[way]
            )
        axes.set(xscale="log", yscale="log", xlabel="columns", ylabel="time of a step, ms")
        axes.spines[["top", "right"]].set_visible(False)
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize="small")
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()
