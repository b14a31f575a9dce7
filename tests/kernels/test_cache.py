"""The cache of compiled kernels: kept between processes, void when any source that is compiled in changes."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from numba.core.caching import CompileResultCacheImpl, NullCache

import dsgd
from dsgd.kernels.cache import KernelCache, make_cache

# One small kernel with a formula of another group compiled in; prints how often the cache had it, and had it not.
_CALL = """
from dsgd.kernels.coordinates import clock_table
from dsgd.optim.schedules import Constant
assert clock_table(Constant(0.5), 0, 2).tolist() == [0.0, 0.5, 1.0]
print(sum(clock_table.stats.cache_hits.values()), sum(clock_table.stats.cache_misses.values()))
"""


@pytest.fixture
def package(tmp_path):
    """A copy of the sources that kernels are compiled from, importable by itself."""
    target, source = tmp_path / "tree" / "dsgd", Path(dsgd.__file__).parent
    for part in ("kernels", "losses", "optim"):
        shutil.copytree(source / part, target / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(source / "errors.py", target)
    (target / "__init__.py").touch()
    return target


def _call(tmp_path, entry):
    """Run the kernel in a fresh process; return (hits, misses)."""
    environment = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    environment |= {"PYTHONPATH": str(entry), "HOME": str(tmp_path / "home"), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    command = [sys.executable, "-P", "-c", _CALL] if sys.version_info >= (3, 11) else [sys.executable, "-c", _CALL]
    ran = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    return tuple(map(int, ran.stdout.split()))


def test_kernels_are_kept_until_a_formula_changes(tmp_path, package):
    assert _call(tmp_path, package.parent) == (0, 1)
    assert _call(tmp_path, package.parent) == (1, 0)
    schedules = package / "optim" / "schedules.py"
    schedules.write_text(schedules.read_text() + "\n# another version\n")
    assert _call(tmp_path, package.parent) == (0, 1)
    assert _call(tmp_path, package.parent) == (1, 0)
    kept = list(tmp_path.rglob("*clock_table*.nbc"))
    assert len(kept) == 1, "the code of the older sources is gone"
    assert kept[0].parent == package / "kernels" / "__pycache__"


def test_kernels_of_a_zip_archive_are_kept_in_the_users_cache(tmp_path, package):
    archive = tmp_path / "package.zip"
    with zipfile.ZipFile(archive, "w") as target:
        for path in sorted(package.rglob("*.py")):
            target.write(path, path.relative_to(package.parent))
    assert _call(tmp_path, archive) == (0, 1)
    assert _call(tmp_path, archive) == (1, 0)


def _function(x):
    return x


def test_without_a_place_to_keep_it_a_kernel_is_compiled_each_time(monkeypatch):
    assert isinstance(make_cache(_function), KernelCache)
    monkeypatch.setattr(CompileResultCacheImpl, "_locator_classes", [])
    assert isinstance(make_cache(_function), NullCache)


def test_a_place_that_cannot_be_written_ends_the_attempts(monkeypatch):
    cache = KernelCache(_function)

    def refuse(*arguments):
        raise PermissionError("read-only")

    monkeypatch.setattr(KernelCache.__mro__[1], "save_overload", refuse)
    cache.save_overload(None, None)
    assert not cache._enabled


def test_an_index_that_names_a_class_which_is_elsewhere_now_is_void(tmp_path, monkeypatch):
    import pickle

    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    entries = KernelCache(_function)._cache_file
    entries.save("signature", b"code")
    assert entries.load("signature") == b"code"
    with open(entries._index_path, "rb") as file:
        version = pickle.load(file)
    with open(entries._index_path, "wb") as file:
        file.write(pickle.dumps(version) + b"cdsgd.kernels.cache\nMovedElsewhere\n.")
    assert entries.load("signature") is None
    entries.save("signature", b"new code")
    assert entries.load("signature") == b"new code"
