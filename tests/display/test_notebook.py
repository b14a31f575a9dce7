"""The notebook of the documentation: it runs, its bars move, and what is kept of it is what a run gives.

After a change of the notebook, or of what it shows: ``jupyter execute --inplace docs/guides/notebook.ipynb``.
"""

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from ..conftest import require

NOTEBOOK = Path(__file__).parents[2] / "docs" / "guides" / "notebook.ipynb"


def code(notebook):
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def kinds(cell):
    """What a cell shows, apart from what is logged on the standard error."""
    return [sorted(output["data"]) for output in cell["outputs"] if "data" in output]


def test_what_is_kept():
    text = NOTEBOOK.read_text()
    assert len(text) < 200_000
    cells = code(json.loads(text))
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1)), "run from top to bottom"
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert {output["output_type"] for output in outputs} == {"display_data", "execute_result"}
    assert not re.search(r"/(home|root|tmp|work|Users|var)\b", json.dumps(outputs)), "paths of a machine"


@pytest.mark.timeout(300)
def test_it_runs(tmp_path, monkeypatch):
    nbformat, nbclient = require("nbformat", "dev"), require("nbclient", "dev")
    for package in ("ipykernel", "matplotlib", "distributed"):
        require(package, "notebook,dask")
    for name in ("TMPDIR", "IPYTHONDIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path))
    shown = Counter()

    class Client(nbclient.NotebookClient):
        def process_message(self, message, cell, cell_index):
            if message["msg_type"] in ("display_data", "update_display_data"):
                shown[cell_index, message["content"]["data"]["text/plain"].partition(", ")[0]] += 1
            return super().process_message(message, cell, cell_index)

    kept, run = (nbformat.read(NOTEBOOK, as_version=4) for _ in range(2))
    Client(run, timeout=240, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}).execute()
    for before, now in zip(code(kept), code(run), strict=True):
        assert kinds(now) == kinds(before), now["source"]
    fits = [place for place, cell in enumerate(run["cells"]) if "verbose=1)" in cell["source"]]
    assert len(fits) == 2
    for place in fits:
        assert shown[place, "SGDClassifier: preparing"] == 1
        assert sum(count for (cell, said), count in shown.items() if cell == place and "epoch" in said) >= 1
