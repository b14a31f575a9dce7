"""Fuzz a parser with atheris, which watches which lines its inputs reach: ``python -m tests.fuzz wire 60``, or ``all 60``.

Needs ``pip install 'dsgd[fuzz]'`` (atheris has wheels for Linux and some versions of Python). It begins with what a parser is
usually given and what is in ``tests/fuzz/corpus/TARGET``. An input that ends in an error that is not documented is written to the
directory in which this was started, and the process ends with a status other than 0; it belongs into the corpus, which CI tries.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"
# Megabytes that the process may have, and seconds that one input may take.
_MEMORY, _SLOW = 2048, 10
# What numba compiles must stay as it was written.
_COMPILED = ("kernels", "losses", "optim", "objective")


def fuzz(name: str, seconds: int) -> None:
    """Fuzz one target in this process, which atheris ends."""
    import atheris

    import dsgd  # of itself, so far, no more than its name

    core = Path(dsgd.__file__).parent
    files = [file for group in _COMPILED for file in core.glob(f"{group}/**/*.py")]
    compiled = [".".join(("dsgd", *file.relative_to(core).with_suffix("").parts)) for file in files]
    with atheris.instrument_imports(include=["dsgd", "pipelines"], exclude=compiled):
        from tests.fuzz.targets import targets
    target = next(target for target in targets() if target.name == name)
    folder = tempfile.mkdtemp(prefix=f"fuzz-{name}-")
    for number, seed in enumerate(target.seeds):
        (Path(folder) / f"seed-{number}").write_bytes(seed)
    limits = [
        f"-max_total_time={seconds}",
        f"-rss_limit_mb={_MEMORY}",
        f"-timeout={_SLOW}",
        f"-artifact_prefix={name}-",
    ]
    known = [str(CORPUS / name)] if (CORPUS / name).exists() else []
    # New inputs go to the first directory; the second is only read.
    atheris.Setup([sys.argv[0], *limits, folder, *known], lambda data: target(bytes(data)))
    atheris.Fuzz()


def main() -> int:
    """Fuzz the target that the command line names, or all, one process each."""
    if len(sys.argv) < 2:
        print(__doc__)
        return 2
    name, seconds = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 60
    if name != "all":
        fuzz(name, seconds)
        return 0
    from tests.fuzz.targets import targets

    ended = {t.name: subprocess.call([sys.executable, "-m", "tests.fuzz", t.name, str(seconds)]) for t in targets()}
    print({name: "found something" if status else "found nothing" for name, status in ended.items()})
    return int(any(ended.values()))


if __name__ == "__main__":
    sys.exit(main())
