"""The wheel: pure Python, the four packages and nothing else; each says which extra it misses."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("dsgd", "dask_ext", "spark_ext", "pipelines")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from a copy: what an earlier build has left in the tree does not get in."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    (source / "tests").mkdir()
    (source / "tests" / "__init__.py").touch()
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "."]
    done = subprocess.run([*command, "--wheel-dir", str(out)], cwd=source, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-4000:]
    (built,) = out.iterdir()
    return built


def test_it_is_pure_and_holds_the_four_packages(wheel):
    assert wheel.name.endswith("-py3-none-any.whl")
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    there = {str(path.relative_to(ROOT)) for package in PACKAGES for path in (ROOT / package).rglob("*.py")}
    assert names == there | {f"{package}/py.typed" for package in PACKAGES}


def run_from(wheel, program, *absent):
    """Run a program on the wheel as it is, in a Python that lacks some packages."""
    start = f"import sys; sys.path.insert(0, {str(wheel)!r}); sys.modules.update(dict.fromkeys({absent!r}))"
    return subprocess.run(
        [sys.executable, "-c", f"{start}\n{program}"], capture_output=True, text=True, timeout=120, cwd=wheel.parent
    )


def test_it_trains_with_the_base_dependencies(wheel):
    program = (
        "import dsgd, numpy as np; print(dsgd.__file__); X = np.arange(40.0).reshape(20, 2);"
        " print(dsgd.SGDClassifier().fit(X / 40, X[:, 0] > 20).score(X / 40, X[:, 0] > 20))"
    )
    done = run_from(wheel, program, "dask", "distributed", "pyspark", "matplotlib")
    assert done.returncode == 0, done.stderr[-4000:]
    place, score = done.stdout.split()
    assert place.startswith(str(wheel))
    assert float(score) > 0.8


@pytest.mark.parametrize(
    ("module", "absent", "extra"),
    [("dask_ext", "distributed", "dask"), ("spark_ext", "pyspark", "spark"), ("pipelines.demo", "matplotlib", "demo")],
)
def test_a_missing_extra_is_named_in_one_line(wheel, module, absent, extra):
    done = run_from(wheel, f"import {module}", absent)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("ModuleNotFoundError: ")
    assert f"needs {absent}, which is not installed: pip install 'dsgd[{extra}]'" in last
