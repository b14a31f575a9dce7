"""What the packages offer is there and explained: modules, names, methods, and each parameter with its default.

Docstrings are numpydoc. A parameter is explained in a section of Parameters, or by a reference to what explains it.
"""

import importlib
import inspect
import json
import pkgutil
import re
from functools import cache
from pathlib import Path
from typing import NoReturn

import pytest

PACKAGES = ("dsgd", "dask_ext", "spark_ext", "pipelines")
FACES = ("dsgd", "dask_ext", "spark_ext")
REFERENCE = re.compile(r":(meth|func|class):`")


def modules():
    for package in PACKAGES:
        yield package
        folder = importlib.util.find_spec(package).submodule_search_locations
        for found in pkgutil.walk_packages(folder, f"{package}."):
            if not found.name.endswith("__main__"):
                yield found.name


MODULES = sorted(modules())


@pytest.mark.parametrize("name", MODULES)
def test_a_module_opens_with_a_paragraph(name):
    module = importlib.import_module(name)
    is_empty = not Path(module.__file__).read_text().strip()
    assert is_empty or (module.__doc__ or "").strip(), f"{name} has no docstring"


@pytest.mark.parametrize("name", MODULES)
def test_exported_names_exist_and_are_explained(name):
    module = importlib.import_module(name)
    for symbol in getattr(module, "__all__", ()):
        value = getattr(module, symbol)
        if inspect.isclass(value) or inspect.isroutine(value):
            own = (value.__doc__ or "").strip()
            assert own, f"{name}.{symbol} has no docstring"
            # dataclasses and named tuples make one up that only repeats their signature
            assert not own.startswith(f"{value.__name__}("), f"{name}.{symbol} has only a generated docstring"


@pytest.mark.parametrize("name", MODULES)
def test_public_functions_and_classes_are_explained(name):
    module = importlib.import_module(name)
    bare = [
        symbol
        for symbol, value in vars(module).items()
        if not symbol.startswith("_")
        and (inspect.isclass(value) or inspect.isfunction(value))
        and value.__module__ == name
        and not (inspect.getdoc(value) or "").strip()
    ]
    assert not bare, f"no docstring: {', '.join(f'{name}.{symbol}' for symbol in bare)}"


def section(value, title):
    """Entries of a numpydoc section by name: the line with the type, and the lines of the description."""
    text = inspect.getdoc(value) or ""
    found = re.search(rf"^{title}\n-+\n(.*?)(?=^\S[^\n]*\n-+\n|\Z)", text, flags=re.MULTILINE | re.DOTALL)
    entries, names = {}, []
    for line in found[1].splitlines() if found else ():
        if line and not line.startswith(" "):
            names = [name.strip().lstrip("*") for name in line.split(" : ")[0].split(",")]
            entries |= {name: [line] for name in names}
        elif line.strip():
            for name in names:
                entries[name].append(line.strip())
    return entries


def parameters(function):
    """Parameters by name, without self and without a catch-all."""
    catch_all = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    found = inspect.signature(function).parameters
    return {name: one for name, one in found.items() if name not in ("self", "cls") and one.kind not in catch_all}


@cache
def public():
    """What the faces offer: functions and classes by name, and the public methods of the classes that are our own."""
    found = {}
    for face in FACES:
        module = importlib.import_module(face)
        for symbol in module.__all__:
            value = getattr(module, symbol)
            if inspect.isclass(value) or inspect.isfunction(value):
                found[f"{face}.{symbol}"] = value
            if not inspect.isclass(value):
                continue
            for name in dir(value):
                member = inspect.getattr_static(value, name)
                for wrapped in (
                    "__func__",
                    "fn",
                    "fget",
                ):  # of a class method, of what depends on the loss, of a property
                    member = getattr(member, wrapped, member)
                ours = inspect.isfunction(member) and member.__module__.split(".")[0] in FACES
                if ours and not name.startswith("_"):
                    found[f"{face}.{symbol}.{name}"] = member
    return found


@pytest.mark.parametrize("name", public())
def test_what_is_public_says_what_it_takes(name):
    value = public()[name]
    text = inspect.getdoc(value) or ""
    assert text.strip(), "no docstring"
    if inspect.isclass(value):
        if not issubclass(value, Exception):
            assert set(parameters(value)) <= {*section(value, "Parameters"), *section(value, "Attributes")}
        return
    described = set(section(value, "Parameters"))
    assert REFERENCE.search(text) or set(parameters(value)) <= described, "parameters that are not explained"
    assert described <= set(inspect.signature(value).parameters), "parameters that do not exist"


@pytest.mark.parametrize("name", public())
def test_what_returns_something_says_what(name):
    value = public()[name]
    if inspect.isclass(value) or not parameters(value) or value.__annotations__.get("return", "") in (None, NoReturn):
        return
    text = inspect.getdoc(value)
    says = section(value, "Returns") or text.startswith(("Return ", "Give ")) or REFERENCE.search(text)
    assert says, "returns something, and does not say what"


def defaults(face, estimator):
    """Defaults by name of an estimator: of its constructor, or of Spark's Params (None for one that is not set)."""
    if face != "spark_ext":
        return {name: parameter.default for name, parameter in parameters(estimator).items()}
    instance = estimator()
    return {p.name: instance.getOrDefault(p) if instance.isDefined(p) else ... for p in instance.params}


@pytest.mark.parametrize("symbol", ["SGDClassifier", "SGDRegressor"])
@pytest.mark.parametrize("face", FACES)
def test_an_estimator_explains_every_parameter_and_its_default(face, symbol):
    estimator = getattr(importlib.import_module(face), symbol)
    explained, expected = section(estimator, "Parameters"), defaults(face, estimator)
    assert set(explained) == set(expected)
    for name, (head, *description) in explained.items():
        assert description, f"{name} has no description"
        shown = re.search(r", default=(.+)$", head)
        if expected[name] is ...:
            assert head.endswith(", optional"), head
        else:
            assert shown, f"{head} states no default"
            words = {"None": None, "True": True, "False": False, "()": ()}
            stated = words[shown[1]] if shown[1] in words else json.loads(shown[1])
            assert stated == expected[name], head
    assert ">>> " in inspect.getdoc(estimator), "no example"


def test_what_a_record_of_the_history_holds_is_explained():
    from dsgd import SGDRegressor
    from dsgd.train.config import TrainedLinear

    (record, *_) = SGDRegressor(max_iter=2).fit([[0.0], [1.0]], [0.0, 1.0]).history_
    description = " ".join(section(TrainedLinear, "Attributes")["history"])
    assert set(re.findall(r"``(\w+)``", description)) == set(record)


def test_there_is_something_to_check():
    assert len(MODULES) > 30
    assert sum("." in name.partition(".")[2] for name in public()) > 60, "methods of public classes"
    assert {package for package, _, _ in (name.partition(".") for name in MODULES)} == set(PACKAGES)
