"""The programs and commands of README.md and the guides run as they are written, on a tenth of the demo's flights."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipelines.demo.flights import flights_table
from pipelines.java import java_problem

from ..conftest import unavailable

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A directory in which the demo seems to have run."""
    path = tmp_path_factory.mktemp("documentation")
    table = flights_table()
    table = table.take(list(range(0, table.num_rows, 10)))
    pq.write_to_dataset(table, path / "demo-output" / "flights", partition_cols=["month"])
    return path


def run(command, folder):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYSPARK_PYTHON": sys.executable}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, f"{command}: {done.stdout[-2000:]} {done.stderr[-4000:]}"


def programs(page):
    """The Python of a page, as one program."""
    return "\n".join(re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), flags=re.DOTALL))


def commands(page):
    """The calls of ``dsgd`` on a page that name the demo's files or its model, and no placeholders."""
    text = (ROOT / page).read_text().replace("\\\n", " ")
    found = re.findall(r"^ {4}dsgd (.*(?:demo-output|late\.model).*)$", text, flags=re.MULTILINE)
    return [shlex.split(line) for line in found]


@pytest.mark.timeout(300)
@pytest.mark.xdist_group("spark")
@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        "local.md",
        "scikit-learn.md",
        "search.md",
        "asynchronous.md",
        "columns.md",
        "checkpoints.md",
        "dask.md",
        "spark.md",
    ],
)
def test_programs(page, folder, tmp_path):
    if page in ("README.md", "spark.md") and java_problem():
        unavailable(java_problem())
    program = programs(page if page == "README.md" else f"docs/guides/{page}")
    assert "dsgd" in program
    (tmp_path / "demo-output").symlink_to(folder / "demo-output")
    (tmp_path / "program.py").write_text(program)
    run([sys.executable, "program.py"], tmp_path)


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("page", "count"), [("README.md", 2), ("docs/guides/command-line.md", 1)])
def test_commands(page, count, folder, tmp_path):
    (tmp_path / "demo-output").symlink_to(folder / "demo-output")
    found = commands(page)
    assert len(found) == count
    for arguments in found:
        run([sys.executable, "-m", "pipelines.cli", *arguments], tmp_path)
