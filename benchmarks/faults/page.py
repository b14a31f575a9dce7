"""The table of faults, between two marks of the page on reliability."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from statistics import median

from .plan import CLUSTER_DEADLINE, DEADLINE, FAULTS, Case

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reliability.md"
WHERE = {
    "local": f"in processes of one machine (deadline {DEADLINE:g} s)",
    "dask": f"on a LocalCluster of Dask with Nannies (deadline {CLUSTER_DEADLINE:g} s)",
    "spark": f"on a standalone cluster of Spark in small, `local-cluster` (deadline {CLUSTER_DEADLINE:g} s)",
}
BEGIN, END = "<!-- faults -->\n", "<!-- /faults -->\n"


def write(result: dict) -> Path:
    """Put the section's text into the page; return it.

    Raises
    ------
    ValueError
        When the page has lost its marks.
    """
    text = PAGE.read_text()
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise ValueError(f"{PAGE} must have {BEGIN.strip()} and {END.strip()} once each, around the table")
    before, rest = text.split(BEGIN)
    PAGE.write_text(before + BEGIN + "\n".join(section(result)) + "\n" + END + rest.split(END)[1])
    return PAGE


def section(result: dict) -> list[str]:
    """What was done, the table, and what was left behind."""
    told, machine = result["told"], result["machine"]
    hits = [record for record in told if "outcome" in record]
    hung = sum(record["outcome"] == "hung" for record in hits)
    engines = Counter(record["case"][2] for record in hits)
    shares = ", ".join(f"{count} {WHERE[engine]}" for engine, count in engines.items())
    leaks = [(Case(*record["case"]), leak) for record in told if "case" in record for leak in record["leaks"]]
    lines = [
        f"{len(hits)} faults in real fits of two ranks each, made by `python -m benchmarks.faults --write`:",
        f"{shares}.",
        f"{hung} fits hung; {len(leaks)} things were left behind.",
        "*Told after* is from the fault to the driver's error or warning, or until a killed driver's ranks have ended (medians).",
        "*Lost* is what a fit took longer than one left alone, for each fault, beginning again included. *Apart* is how far a",
        "weight ended from that of the undisturbed fit, relative to the largest: 0 is the same bits; asynchronous fits",
        "differ from one to the next without any fault, too. On one machine these fits are `dsgd.train.fit.fit`'s, which the",
        "program begins again itself; estimators do so by themselves when a rank is lost.",
        "",
        "| fault | mode | engine | times | what happens | told after | lost | epochs repeated | apart |",
        "|---|---|---|---|---|---|---|---|---|",
        *table(told),
        "",
    ]
    lines += [f"- {note}" for note in result.get("notes", ())]
    lines += [f"- Skipped, {reason}: {', '.join(names)}." for reason, names in _skipped(told).items()]
    lines += [f"- Left behind, {count} times: {text}." for text, count in _left(leaks)]
    strays = Counter((" ".join(record["case"][:3]), record["stray"]) for record in told if record.get("stray"))
    lines += [
        f"- {case}: {count} times an error after the fault's own: {said}." for (case, said), count in strays.items()
    ]
    if lines[-1]:
        lines.append("")
    sessions = result["sessions"]
    minutes, loads = sum(session["seconds"] for session in sessions) / 60.0, [session["load"] for session in sessions]
    return [
        *lines,
        f"{result['taken']}, {machine['cores']} cores, Python {machine['python']}; {len(sessions)} sessions of"
        f" {minutes:.0f} minutes all together, at load averages of {min(loads):g} to {max(loads):g}.",
    ]


def table(told: Iterable[dict]) -> list[str]:
    """The table's rows.

    Examples
    --------
    >>> case = ["pause", "ring", "local", 1]
    >>> hit = {"case": case, "outcome": "went on", "detect": None, "repeated": 0, "leaks": []}
    >>> table([hit, {"done": case, "recover": 0.52, "apart": 0.0, "hits": 1}])
    ['| stopped for half a second, less than the deadline | ring | local | 1 | went on | | 0.5 s | 0 | 0 |']
    """
    hits: dict[tuple, list[dict]] = {}
    ends: dict[tuple, dict] = {}
    for record in told:
        if "outcome" in record:
            hits.setdefault(tuple(record["case"][:3]), []).append(record)
        if "done" in record:
            ends[tuple(record["done"][:3])] = record
    order = list(FAULTS)
    lines = []
    for (fault, mode, engine), found in sorted(hits.items(), key=lambda item: order.index(item[0][0])):
        end = ends.get((fault, mode, engine), {})
        outcomes = Counter(record["outcome"] for record in found)
        what = "; ".join(text if len(outcomes) == 1 else f"{count} x {text}" for text, count in outcomes.most_common())
        times = [record["detect"] for record in found if record["detect"] is not None]
        told_after = f"{median(times):.1f} s" if times else ""
        lost = f"{max(end['recover'], 0.0):.1f} s" if "recover" in end else ""
        repeated = end.get("repeated", sum(record["repeated"] for record in found))
        apart = "" if end.get("apart") is None else f"{end['apart']:.1g}"
        cells = [FAULTS[fault], mode, engine, str(len(found)), what, told_after, lost, str(repeated), apart]
        lines.append("| " + " | ".join(cells).replace("|  |", "| |") + " |")
    return lines


def _skipped(told: Iterable[dict]) -> dict[str, list[str]]:
    """Cases that were not tried, by reason."""
    found: dict[str, list[str]] = {}
    for record in told:
        if "skipped" in record:
            fault, mode, engine = record["skipped"][:3]
            found.setdefault(record["reason"], []).append(f"{fault} ({mode}, {engine})")
    return found


def _left(leaks: Iterable[tuple[Case, str]]) -> list[tuple[str, int]]:
    """What was left, by kind: names and numbers are each leak's own."""
    kinds: Counter[str] = Counter()
    for case, leak in leaks:
        kind = "directory of the fit" if leak.startswith("/") else leak.rsplit(" ", 1)[0]
        kinds[f"{case.fault}, {case.mode}, {case.engine}: {kind}"] += 1
    return sorted(kinds.items())
