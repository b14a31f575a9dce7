"""Where compiled kernels are kept between processes, and when they are compiled anew.

numba keeps the machine code of a function beside its source, stamped with a digest of that one file. But the formulas of
losses and update rules are compiled into the kernels, so here the stamp covers all sources that can take part; and every
entry has a file of its own, so that processes that compile at the same moment never mix up each other's code. The
place is numba's choice: the package's directory, else (read-only, or in a zip archive) the user's cache directory, or what
NUMBA_CACHE_DIR says. Where nothing can be written, every process compiles for itself.
"""

import hashlib
import uuid
from functools import cache
from importlib.resources import files
from pathlib import Path

from numba.core.caching import FunctionCache, IndexDataCacheFile, NullCache

_PARTS = ("kernels", "losses", "optim")


@cache
def source_digest() -> str:
    """Digest of the sources of everything that is compiled into a kernel, wherever the package lies."""
    digest = hashlib.sha256()
    for part in _PARTS:
        sources = [entry for entry in files("dsgd").joinpath(part).iterdir() if entry.name.endswith((".py", ".pyc"))]
        for source in sorted(sources, key=lambda entry: entry.name):
            content = source.read_bytes()
            digest.update(f"{part}/{source.name} {len(content)}\n".encode())
            digest.update(content)
    return digest.hexdigest()


class _Entries(IndexDataCacheFile):
    """numba's index and data files, with a data file's name never used twice."""

    def save(self, key, data):
        overloads = self._load_index()
        if not overloads:
            self._remove_stale()
        name = self._data_name_pattern.replace("{number:d}", uuid.uuid4().hex[:16])
        # The data comes first: an index never names a file that is not there, or is another's.
        self._save_data(name, data)
        overloads[key] = name
        self._save_index(overloads)

    def _load_index(self):
        try:
            return super()._load_index()
        except (AttributeError, ImportError):
            return {}  # Written by other sources, in which a class that a signature names was elsewhere.

    def _remove_stale(self):
        """Remove the data files of older sources: the index, stamped with their digest, is void."""
        prefix, suffix = self._data_name_pattern.split("{number:d}")
        for path in Path(self._cache_path).glob(f"{prefix}*{suffix}"):
            path.unlink(missing_ok=True)


class KernelCache(FunctionCache):
    """The disk cache of one kernel."""

    def __init__(self, function):
        super().__init__(function)
        self._cache_file = _Entries(self._cache_path, self._impl.filename_base, source_digest())

    def save_overload(self, sig, data):
        """Save the code of one signature; a place that turns out not to be writable ends the attempts."""
        try:
            super().save_overload(sig, data)
        except OSError:
            self.disable()


def make_cache(function) -> KernelCache | NullCache:
    """Return the cache of a function; one that keeps nothing where no directory can be written."""
    try:
        return KernelCache(function)
    except RuntimeError:
        # numba found no place at all.
        return NullCache()
