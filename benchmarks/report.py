"""Render the results as docs/benchmarks.md: ``python -m benchmarks.report``.

Comes in: the JSON files in ``benchmarks/results``, and ``notes.json`` beside them, which says in a sentence why a line falls
short or what to know about it. Goes out: one Markdown table and the conditions of the measurement.
"""

import json
from dataclasses import asdict
from pathlib import Path

from . import deaths
from .cases import CASES, Case
from .results import DIRECTORY, load_all

PAGE = Path(__file__).resolve().parent.parent / "docs" / "benchmarks.md"
INTRODUCTION = """# Benchmarks

Made by `make bench` (`python -m benchmarks --only NAME` for one). Every figure compares sides that took turns in one process,
on the same data and cores; it is the median of the rounds, with the least and the greatest beside it. Only such ratios travel
from machine to machine; rates depend on it. A line that falls short, or could not be run, says why.

Data: *dense*, 1M x 100 standard normal float32, labels from a logistic model with |w| = 3; *click*, 1M rows of 13 log-normal
numbers (as log1p) and 26 columns of strings with Zipf(1.3) frequencies, labels from an additive logistic model, as 8 Parquet
files. The last tenth of the rows is held out. Peers: `benchmarks/peers`; samples and versions: `benchmarks/results`.

Three things that are no ratios have programs of their own: `python -m benchmarks.staleness` makes the table and the picture of
[what staleness costs](guides/asynchronous.md#what-staleness-costs-and-what-helps) (with `--draw` from what was recorded, without
running anything), `python -m benchmarks.columns` those of [a step of column blocks](guides/columns.md#what-a-step-costs), and
`python -m benchmarks.deaths` kills members of asynchronous fits (the table at the end of this page).

| benchmark | what | ours | peer | figure (least, greatest) | target | reached | note |
|---|---|---|---|---|---|---|---|
"""


def write() -> Path:
    """Write the page: a row for every line that is declared, with what ``benchmarks/results`` has of it."""
    results, notes = load_all(), _notes()
    rows = [row for case in CASES for row in table_rows(case, results.get(case.name), notes)]
    PAGE.write_text(INTRODUCTION + "\n".join(rows) + "\n\n" + _conditions(results) + "\n" + _deaths())
    return PAGE


def _deaths() -> str:
    """The section on deaths, where they have been measured."""
    path = DIRECTORY / deaths.RESULT.name
    return "\n" + "\n".join(deaths.section(json.loads(path.read_text()))) + "\n" if path.exists() else ""


def _notes() -> dict[str, str]:
    path = DIRECTORY / "notes.json"
    return json.loads(path.read_text()) if path.exists() else {}


def table_rows(case: Case, result: dict | None, notes: dict[str, str]) -> list[str]:
    """The Markdown rows of one case; a line that its result does not have, or that has no result, was not run."""
    problem = "" if result is None or not result["problem"] else result["problem"].strip().splitlines()[-1]
    found = {} if result is None or problem else {line["name"]: line for line in result["lines"]}
    rows = []
    for line in case.lines:
        note, what = notes.get(line.name, ""), found.get(line.name, {}).get("what", line.what)
        if line.name in found:
            # What was measured is what the result says; what it has to reach is what is declared now.
            judged = found[line.name] | {"target": line.target}
            reached = "" if line.target is None else "yes" if judged["reached"] else "no"
            cells = [*_sides(judged, result["samples"]), _figure(judged), _target(judged), reached, note]
        else:
            cells = ["", "", "", _target(asdict(line)), "not run", f"{note} {problem}".strip()]
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in (line.name, what, *cells)) + " |")
    return rows


def _sides(line: dict, samples: dict[str, list[dict]]) -> tuple[str, str]:
    ours, peer = _seconds(line["ours_seconds"]), _seconds(line["peer_seconds"])
    if line.get("loss_margin") is not None:
        ours, peer = f"{ours}, loss {line['ours_loss']:.4f}", f"{peer}, loss {line['peer_loss']:.4f}"
    return ours + _peak(samples, line["ours"]), peer + _peak(samples, line["peer"])


def _peak(samples: dict[str, list[dict]], side: str) -> str:
    """The greatest resident memory of a side, where it was measured."""
    peaks = [
        sample["detail"]["peak_bytes"] for sample in samples.get(side, ()) if sample.get("detail", {}).get("peak_bytes")
    ]
    return f", peak {max(peaks) / 1e6:,.0f} MB" if peaks else ""


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
    if line["target"] is None:
        return ""
    return ("≥ " if line["kind"] in ("speedup", "rate") else "≤ ") + _number(line, line["target"])


def summary(result: dict) -> list[str]:
    """Lines for a terminal."""
    if result["problem"]:
        return [f"  could not run: {result['problem']}"]
    return [f"  {line['name']}: {_figure(line)}{_verdict(line)}" for line in result["lines"]]


def _verdict(line: dict) -> str:
    if line["target"] is None:
        return ""
    return f", target {_target(line)}: {'reached' if line['reached'] else 'NOT reached'}"


def _conditions(results: dict[str, dict]) -> str:
    if not results:
        return "No results yet."
    lines = ["Conditions:", ""]
    for name, result in sorted(results.items()):
        machine = result["machine"]
        lines.append(
            f"- {name}: {result['taken']}, {result['data']}, held to {result['cores']} of {machine['cores']} cores, "
            f"Python {machine['python']}, load average {machine['load']} at its end"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    print(f"wrote {write()}")
