"""Render the results as docs/benchmarks.md: ``python -m benchmarks.report``.

Comes in: the JSON files in ``benchmarks/results``, and ``notes.json`` beside them, which says in a sentence why a line falls
short or what to know about it. Goes out: one Markdown table and the conditions of the measurement.
"""

import json
from pathlib import Path

from .cases import CASES
from .results import DIRECTORY, load_all

PAGE = Path(__file__).resolve().parent.parent / "docs" / "benchmarks.md"
INTRODUCTION = """# Benchmarks

Made by `make bench` (`python -m benchmarks --only NAME` for one). Every figure compares sides that took turns in one process,
on the same data and cores; it is the median of the rounds, with the least and the greatest beside it. Only such ratios travel
from machine to machine; rates depend on it. A line that falls short, or could not be run, says why.

Data: *dense*, 1M x 100 standard normal float32, labels from a logistic model with |w| = 3; *click*, 1M rows of 13 log-normal
numbers (as log1p) and 26 columns of strings with Zipf(1.3) frequencies, labels from an additive logistic model, as 8 Parquet
files. The last tenth of the rows is held out. Peers: `benchmarks/peers`; samples and versions: `benchmarks/results`.

| benchmark | what | ours | peer | figure (least, greatest) | target | reached | note |
|---|---|---|---|---|---|---|---|
"""


def write() -> Path:
    """Write the page from what is in ``benchmarks/results``."""
    results = load_all()
    order = [case.name for case in CASES]
    names = sorted(results, key=lambda name: (order.index(name) if name in order else len(order), name))
    notes = _notes()
    rows = [row for name in names for row in table_rows(results[name], notes)]
    PAGE.write_text(INTRODUCTION + "\n".join(rows) + "\n\n" + _conditions(results) + "\n")
    return PAGE


def _notes() -> dict[str, str]:
    path = DIRECTORY / "notes.json"
    return json.loads(path.read_text()) if path.exists() else {}


def table_rows(result: dict, notes: dict[str, str]) -> list[str]:
    """The Markdown rows of one result."""
    rows = []
    for line in result["lines"]:
        note = notes.get(line["name"], "")
        if result["problem"]:
            reason = result["problem"].strip().splitlines()[-1]
            cells = ["", "", "", _target(line), "not run", f"{note} {reason}".strip()]
        else:
            cells = [*_sides(line), _figure(line), _target(line), "yes" if line["reached"] else "no", note]
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in (line["name"], line["what"], *cells)) + " |")
    return rows


def _sides(line: dict) -> tuple[str, str]:
    ours, peer = _seconds(line["ours_seconds"]), _seconds(line["peer_seconds"])
    if line.get("loss_margin") is not None:
        ours, peer = f"{ours}, loss {line['ours_loss']:.4f}", f"{peer}, loss {line['peer_loss']:.4f}"
    return ours, peer


def _seconds(value: float | None) -> str:
    if value is None:
        return ""
    for size, unit in ((1, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value * 1e9:.3g} ns"


def _number(line: dict, value: float) -> str:
    if line["kind"] == "rate":
        for size, prefix in ((1e9, "G"), (1e6, "M")):
            if value >= size:
                return f"{value / size:.3g}{prefix} {line['unit']}"
        return f"{value:,.0f} {line['unit']}"
    return f"{value:.3g} {line['unit']}"


def _figure(line: dict) -> str:
    low, high = (_number(line, line[key]).split(" ")[0] for key in ("low", "high"))
    return f"{_number(line, line['figure'])} ({low}, {high})"


def _target(line: dict) -> str:
    return ("≥ " if line["kind"] in ("speedup", "rate") else "≤ ") + _number(line, line["target"])


def summary(result: dict) -> list[str]:
    """Lines for a terminal."""
    if result["problem"]:
        return [f"  could not run: {result['problem']}"]
    return [f"  {line['name']}: {_figure(line)}, target {_target(line)}: {'reached' if line['reached'] else 'NOT reached'}"
            for line in result["lines"]]  # fmt: skip


def _conditions(results: dict[str, dict]) -> str:
    if not results:
        return "No results yet."
    lines = ["Conditions:", ""]
    for name, result in sorted(results.items()):
        machine = result["machine"]
        lines.append(
            f"- {name}: {result['taken']}, {result['rows']:,} rows, held to {result['cores']} of {machine['cores']} cores, "
            f"Python {machine['python']}, load average {machine['load']} at its end"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    print(f"wrote {write()}")
