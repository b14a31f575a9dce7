"""What the command line remembers beside a model: which columns a fit called label, weight and offset.

In and out: ``job.json`` in the model's directory, so that ``dsgd evaluate MODEL DATA`` needs no more words. A model that was
saved from Python has none, and then the command's own options say it.
"""

import json
from pathlib import Path
from typing import Any

JOB = "job.json"
ROLES = ("label", "weight", "offset")


def write_job(model: Path, **facts: Any) -> None:
    """Write the facts of a fit beside its model."""
    (model / JOB).write_text(json.dumps(facts, indent=1, default=str) + "\n")


def roles(model: str, **given: str | None) -> dict[str, Any]:
    """Return the columns by their role: as given now, else as they were at the fit.

    Examples
    --------
    >>> roles("no-model", label="late", weight=None)
    {'label': 'late'}
    """
    path = Path(model, JOB)
    remembered = json.loads(path.read_text()) if path.is_file() else {}
    found = {name: given.get(name) or remembered.get(name) for name in ROLES}
    return {name: column for name, column in found.items() if column}
