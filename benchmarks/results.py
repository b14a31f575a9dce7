"""Results as JSON files, one a case: the samples as they were taken, the figures made of them, and where they were taken."""

import json
import os
import platform
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from .cases import Case

DIRECTORY = Path(__file__).resolve().parent / "results"
PACKAGES = (
    *("numpy", "scipy", "numba", "pyarrow", "scikit-learn", "pyspark", "distributed", "dask-ml", "vowpalwabbit"),
)


def success(case: Case, rows: int, outcome: dict) -> dict:
    """The result of a case that ran."""
    lines = [line.judge(outcome["samples"], outcome["units"]) for line in case.lines]
    return {**_about(case, rows), "problem": None, "lines": lines, "samples": outcome["samples"]}


def failure(case: Case, rows: int, problem: str) -> dict:
    """The result of a case that could not run; its lines are kept, without figures."""
    lines = [{"name": line.name, "what": line.what, "target": line.target, "kind": line.kind, "unit": line.unit}
             for line in case.lines]  # fmt: skip
    return {**_about(case, rows), "problem": problem, "lines": lines, "samples": {}}


def _about(case: Case, rows: int) -> dict:
    return {"name": case.name, "data": case.data.format(rows=rows), "cores": case.cores, **conditions()}


def conditions() -> dict:
    """When and where something is measured, and with which versions."""
    machine = {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
    }
    return {"taken": time.strftime("%Y-%m-%d", time.gmtime()), "machine": machine, "versions": _versions()}


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def save(result: dict) -> Path:
    """Write ``results/<name>.json``."""
    DIRECTORY.mkdir(exist_ok=True)
    path = DIRECTORY / f"{result['name']}.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    return path


def load_all() -> dict[str, dict]:
    """All results on disk that have lines, by name."""
    found = {}
    for path in sorted(DIRECTORY.glob("*.json")):
        result = json.loads(path.read_text())
        if "lines" in result:
            found[result["name"]] = result
    return found
