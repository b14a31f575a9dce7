"""What the packages do nowhere: run what they read, unpickle what did not come in an engine's task, or open a port to all.

The list of exceptions is exact: one that is no longer needed fails the test as well.
"""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("dsgd", "dask_ext", "spark_ext", "pipelines")
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
# Payloads of a rank, which its driver has pickled: they come by a private pipe from the parent, or inside the engine's own task,
# with whose right to run code the rank runs.
UNPICKLING = {
    "dsgd/train/local/child.py", "dask_ext/shipping.py", "spark_ext/cluster/member.py", "spark_ext/cluster/worker.py",
}  # fmt: skip
PICKLERS = ("pickle", "cPickle", "cloudpickle", "dill", "marshal", "shelve", "joblib", "yaml", "torch")


def trees():
    return ((path.relative_to(ROOT).as_posix(), ast.parse(path.read_text())) for path in FILES)


def dotted(node: ast.expr) -> str:
    """The name that an expression is, with its dots."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def calls(tree: ast.AST):
    return [node for node in ast.walk(tree) if isinstance(node, ast.Call)]


def test_there_are_sources():
    assert len(FILES) > 300


def test_nothing_that_is_read_is_run():
    forbidden = {"eval", "exec", "compile", "os.system", "os.popen", "__import__"}
    found = {
        (path, dotted(call.func)) for path, tree in trees() for call in calls(tree) if dotted(call.func) in forbidden
    }
    assert found == set()
    shells = [path for path, tree in trees() for call in calls(tree) for word in call.keywords if word.arg == "shell"]
    assert shells == []


def unpickles(tree: ast.AST) -> bool:
    """Whether a module loads a pickle, or asks numpy to, or inherits from who does."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Attribute)
            and dotted(node.value) in PICKLERS
            and node.attr in ("load", "loads", "Unpickler")
        ):
            return True
        if isinstance(node, ast.ImportFrom) and node.module in PICKLERS and any("oad" in n.name for n in node.names):
            return True
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            return True
    return False


def test_pickles_are_loaded_in_the_ranks_of_an_engine_only():
    assert {path for path, tree in trees() if unpickles(tree)} == UNPICKLING


@pytest.mark.parametrize(
    "source", ["import pickle\npickle.loads(b'')", "from pickle import load", "f(allow_pickle=True)"]
)
def test_the_search_finds_what_it_is_for(source):
    assert unpickles(ast.parse(source))
    assert not unpickles(ast.parse("import pickle\npickle.dumps(1)"))


def test_no_port_is_open_to_all():
    found = [
        (path, node.value)
        for path, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if node.value in ("0.0.0.0", "::", "tcp://*") or "tcp://*" in node.value or "//0.0.0.0" in node.value
    ]
    assert found == []
