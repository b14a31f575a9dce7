"""Asynchronous fits under fire: ``python -m benchmarks.deaths``.

In each fit twenty workers, or twenty parameter shards (the first of which leads), are killed (``kill -9``) one after the other,
at times drawn from a seed; beside it stands the same fit undisturbed. Every fit is a process group of its own with a time limit,
so that one that hangs is told as such. Goes out: a line for each fit, and ``benchmarks/results/deaths.json``.
"""

import argparse
import json
import sys
from collections.abc import Sequence

from .isolate import BenchmarkError, call
from .results import DIRECTORY, conditions

RESULT = DIRECTORY / "deaths.json"
ROWS, KILLS, SEEDS = 1_000_000, 20, 2
# Seconds between two kills, least and most; of a fit at most.
GAP, LIMIT = (0.2, 1.5), 400.0
# How far the hold-out loss may end from the undisturbed one, relatively.
MARGIN = 0.01
VICTIMS = ("workers", "shards")
# Epochs by the steps that workers take between two exchanges: enough that a fit outlasts its kills.
EPOCHS: dict[int | str, int] = {1: 8, "auto": 40}


def one(victims: str, kills: int, seed: int, rows: int, steps: int | str, epochs: int) -> dict:
    """A fit in a process group of its own; "problem" says why it has not ended, or is None."""
    about = {"victims": victims, "seed": seed, "local_steps": steps}
    try:
        found = call(
            "benchmarks.ours.killed:run", cores=2, seconds=LIMIT, victims=victims, kills=kills, seed=seed, rows=rows,
            epochs=epochs, local_steps=steps, gap=GAP,
        )  # fmt: skip
    except BenchmarkError as error:
        return {**about, "problem": str(error)}
    return {**about, "problem": None, **found}


def compared(run: dict, undisturbed: dict) -> dict:
    """A run with its "excess", its hold-out loss over that of the undisturbed one less 1, and "good": ended, and near enough.

    Examples
    --------
    >>> found = compared({"problem": None, "validation": 0.5049}, {"problem": None, "validation": 0.5})
    >>> round(found["excess"], 4), found["good"]
    (0.0098, True)
    """
    if run["problem"] or undisturbed["problem"]:
        return {**run, "excess": None, "good": False}
    excess = run["validation"] / undisturbed["validation"] - 1
    return {**run, "excess": excess, "good": abs(excess) <= MARGIN}


def line(run: dict) -> str:
    """A run in a line."""
    name = f"{run['victims']}, local_steps={run['local_steps']}, seed {run['seed']}"
    if run["problem"]:
        return f"{name}: HAS NOT ENDED: {run['problem']}"
    text = f"{name}: {run['epochs']} epochs, loss {run['validation']:.5f}, {run['seconds']:.0f} s"
    if run["victims"] == "nobody":
        return text
    if run["excess"] is None:
        return f"{text}, and nothing to compare it with"
    found = f"{text}, {len(run['kills'])} killed, {run['restarts']} restarts, {100 * run['excess']:+.2f} %"
    why = f" ({run['failure']})" if run["failure"] else ""
    return found + why + ("" if run["good"] else f": NOT within {100 * MARGIN:g} %")


def section(result: dict) -> list[str]:
    """The page's section, in Markdown: a row for each fit in which somebody was killed."""
    machine, runs = result["machine"], result["runs"]
    losses = {(run["local_steps"], run["seed"]): run for run in runs if run["victims"] == "nobody"}
    lines = [
        "## Deaths",
        "",
        f"Click, {result['rows']:,} rows, AdaGrad, two workers and two shards in processes of this machine, snapshots twice a",
        "second. Workers, or shards (the first of which leads), are killed (`kill -9`) one after the other,",
        f"{GAP[0]} to {GAP[1]} s apart, or as soon as the next one has been started again. The hold-out loss at the end is to be",
        f"within {100 * MARGIN:g} % of that of the same fit undisturbed. Made by `python -m benchmarks.deaths`.",
        "",
        "| killed | local_steps | seed | deaths | restarts | loss | undisturbed loss | difference | seconds | undisturbed |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for run in runs:
        beside = losses[run["local_steps"], run["seed"]]
        if run["victims"] == "nobody":
            continue
        name = f"| {run['victims']} | {run['local_steps']} | {run['seed']} |"
        if run["problem"] or beside["problem"]:
            lines.append(f"{name} | | has not ended | | | | |")
            continue
        lines.append(
            f"{name} {len(run['kills'])} | {run['restarts']} | {run['validation']:.5f} | {beside['validation']:.5f} | "
            f"{100 * run['excess']:+.2f} % | {run['seconds']:.0f} | {beside['seconds']:.0f} |"
        )
    return [
        *lines,
        "",
        f"{result['taken']}, {machine['cores']} cores, Python {machine['python']}, load average {machine['load']} at its end.",
    ]


def measure(rows: int, kills: int, seeds: int, victims: Sequence[str], epochs: dict[int | str, int]) -> dict:
    """Run everything: under "runs" the undisturbed fits and those with deaths, each compared with that of its seed."""
    runs = []
    for steps, most in epochs.items():
        for seed in range(seeds):
            undisturbed = one("nobody", 0, seed, rows, steps, most)
            print(line(undisturbed), flush=True)
            runs.append(undisturbed)
            for who in victims:
                run = compared(one(who, kills, seed, rows, steps, most), undisturbed)
                print(line(run), flush=True)
                runs.append(run)
    return {**conditions(), "rows": rows, "runs": runs}


def main(arguments: list[str] | None = None) -> int:
    """Run, print and record; return 1 when a fit has not ended, or ended elsewhere."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.deaths", description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS, help="rows of the click set (default %(default)s)")
    parser.add_argument("--kills", type=int, default=KILLS, help="deaths in each fit (default %(default)s)")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="seeds, from 0 on (default %(default)s)")
    parser.add_argument(
        "--victims",
        nargs="+",
        choices=[*VICTIMS, "everybody"],
        default=VICTIMS,
        help="who is killed (default %(default)s)",
    )
    options = parser.parse_args(arguments)
    asked = options.rows, options.kills, options.seeds, tuple(options.victims)
    result = measure(*asked, EPOCHS)
    # As the page has it; others are printed, not kept.
    if asked == (ROWS, KILLS, SEEDS, VICTIMS):
        RESULT.write_text(json.dumps(result, indent=1) + "\n")
        print(f"wrote {RESULT}")
    return int(any(not run.get("good", not run["problem"]) for run in result["runs"]))


if __name__ == "__main__":
    sys.exit(main())
