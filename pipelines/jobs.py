"""What the command line remembers beside a model: which columns a fit called label, weight and offset.

In and out: ``job.json`` in the model's directory, so that ``dsgd evaluate MODEL DATA`` needs no more words. A model that was
saved from Python has none, and then the command's own options say it.
"""

import json
from typing import Any

from dsgd import CheckpointError
from dsgd.foreign import read_json

JOB = "job.json"
ROLES = ("label", "weight", "offset")


def job_file(**facts: Any) -> dict[str, bytes]:
    """The facts of a fit as a file to be saved beside its model, by name."""
    return {JOB: (json.dumps(facts, indent=1, default=str) + "\n").encode()}


def roles(model: str, **given: str | None) -> dict[str, Any]:
    """Return the columns by their role: as given now, else as they were at the fit.

    Raises
    ------
    CheckpointError
        When what was remembered cannot be read.

    Examples
    --------
    >>> roles("no-model", label="late", weight=None)
    {'label': 'late'}
    """
    remembered = _remembered(model)
    found = {name: given.get(name) or remembered.get(name) for name in ROLES}
    return {name: column for name, column in found.items() if column}


def _remembered(model: str) -> dict[str, Any]:
    from dsgd.fitted.files import read_beside

    content = read_beside(model, JOB)
    if content is None:
        return {}
    advice = f"fit again, or remove {JOB} and name the columns by options"
    facts = read_json(content, f"{model}/{JOB}", CheckpointError)
    if not isinstance(facts, dict) or not all(isinstance(facts.get(name), str | None) for name in ROLES):
        raise CheckpointError(f"{model}/{JOB} is damaged: it does not hold the columns of a fit; {advice}")
    return facts
