"""The demo's report: one HTML file that needs nothing else, with the table and the loss curves as inline SVG.

In: results; out: text. The same curves are given as an SVG of their own, for the README.
"""

import html
import io
import re
from collections.abc import Sequence
from string import Template

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
<h2>Loss curves</h2>
$curves
<p>Left: the training objective after each pass over the rows. Right: the same against the seconds of training; reading
and encoding the files comes before. Runs that agree lie on top of each other.</p>
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
        curves=_inline(curves_svg(results)),
        footer=html.escape(footer),
    )


def curves_svg(results: Sequence[Result]) -> str:
    """Return the loss curves as an SVG document, the same bytes for the same results."""
    import matplotlib

    with matplotlib.rc_context({"svg.hashsalt": "dsgd", "svg.fonttype": "none", "font.family": "sans-serif"}):
        # The object-oriented interface: pyplot would look for a display and keep the figure alive.
        from matplotlib.figure import Figure

        figure = Figure(figsize=(10, 4), layout="constrained")
        by_epoch, by_time = figure.subplots(1, 2, sharey=True)
        for number, result in enumerate(results):
            losses = [epoch.objective for epoch in result.epochs]
            # Later lines are thinner: engines that agree to the bit lie on top of each other, and all must be seen.
            width = 1.0 + 1.2 * (len(results) - 1 - number)
            style = {"marker": "o", "markersize": 2 + width, "linewidth": width, "color": f"C{number % 10}"}
            by_epoch.plot([epoch.number for epoch in result.epochs], losses, label=result.label, **style)
            by_time.plot([epoch.seconds for epoch in result.epochs], losses, **style)
        by_epoch.set(xlabel="epoch", ylabel="training objective")
        by_epoch.xaxis.get_major_locator().set_params(integer=True)
        by_time.set(xlabel="seconds of training")
        for axes in (by_epoch, by_time):
            axes.grid(alpha=0.3)
        if results:
            by_epoch.legend(fontsize="small")
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def _inline(document: str) -> str:
    """The ``svg`` element of an SVG document, without what is only allowed at a file's start."""
    found = re.search(r"<svg.*</svg>", document, flags=re.DOTALL)
    if found is None:
        raise ValueError("no svg element in the figure")
    return found.group(0)
