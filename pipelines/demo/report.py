"""The demo's report: one HTML file that needs nothing else, with the table and a picture of it as inline SVG.

In: results; out: text. The same picture is given as an SVG of its own, for the README.
"""

import html
import io
import re
from collections.abc import Sequence
from string import Template
from typing import Any

from .result import Result
from .table import cells

_PAGE = Template("""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>dsgd: $title</title>
<style>
  body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a; }
  table { border-collapse: collapse; margin: 1rem 0; }
  th, td { padding: .3rem .9rem; border-bottom: 1px solid #ddd; text-align: right; font-variant-numeric: tabular-nums; }
  th:nth-child(-n+2), td:nth-child(-n+2) { text-align: left; }
  svg { max-width: 100%; height: auto; }
  footer { color: #666; font-size: .85rem; margin-top: 2rem; }
</style>
<h1>$title</h1>
<p>$summary</p>
<table>
<thead><tr><th>engine<th>mode<th>wall time<th>rows/s<th>log-loss<th>AUC</tr></thead>
<tbody>
$rows
</tbody>
</table>
$notes
<h2>Where the time goes</h2>
$picture
<p>Light: files are read and encoded, and ranks meet. Dark: training. Beside each bar the passes over the rows, and how well
the model predicts the held-out months.</p>
<footer>$footer</footer>
</html>
""")


def report(results: Sequence[Result], *, title: str, summary: str, notes: Sequence[str], footer: str) -> str:
    """Return the whole HTML page; every text is escaped here."""
    rows = ("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells(result)) + "</tr>" for result in results)
    return _PAGE.substitute(
        title=html.escape(title),
        summary=html.escape(summary),
        rows="\n".join(rows),
        notes="\n".join(f"<p>{html.escape(note)}</p>" for note in notes),
        picture=_inline(picture_svg(results)),
        footer=html.escape(footer),
    )


def picture_svg(results: Sequence[Result]) -> str:
    """Return the runs as bars of their seconds, an SVG document: the same bytes for the same results."""
    import matplotlib

    with matplotlib.rc_context({"svg.hashsalt": "dsgd", "svg.fonttype": "none", "font.family": "sans-serif"}):
        # The object-oriented interface: pyplot would look for a display and keep the figure alive.
        from matplotlib.figure import Figure

        figure = Figure(figsize=(9, 0.9 + 0.36 * max(len(results), 1)), layout="constrained")
        _draw(figure.subplots(), results)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def _draw(axes: Any, results: Sequence[Result]) -> None:
    """One bar a run, the first on top, a colour an engine."""
    engines = list(dict.fromkeys(result.engine for result in results))
    for place, result in enumerate(results):
        colour, training = f"C{engines.index(result.engine)}", min(result.training, result.seconds)
        axes.barh(place, result.seconds - training, color=colour, alpha=0.35)
        axes.barh(place, training, left=result.seconds - training, color=colour)
        passes = f"{result.passes} pass{'' if result.passes == 1 else 'es'}"
        axes.annotate(
            f"{result.seconds:.1f} s, {passes}, log-loss {result.log_loss:.4f}",
            (result.seconds, place), (5, 0), textcoords="offset points", va="center", fontsize="small",
        )  # fmt: skip
    axes.set_yticks(range(len(results)), [result.label for result in results])
    axes.invert_yaxis()
    # Room for what is written beside the longest bar.
    axes.set(xlabel="seconds of fit", xlim=(0, 1.45 * max([result.seconds for result in results], default=1.0)))
    axes.spines[["top", "right"]].set_visible(False)


def _inline(document: str) -> str:
    """The ``svg`` element of an SVG document, without what is only allowed at a file's start."""
    found = re.search(r"<svg.*</svg>", document, flags=re.DOTALL)
    if found is None:
        raise ValueError("no svg element in the figure")
    return found.group(0)
