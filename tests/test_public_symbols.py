"""What the packages offer: every name in ``__all__`` exists, and every module and public name has a docstring."""

import importlib
import inspect
import pkgutil
from pathlib import Path

import pytest

PACKAGES = ("dsgd", "dask_ext", "spark_ext", "pipelines")


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


def test_there_is_something_to_check():
    assert len(MODULES) > 30
    assert {package for package, _, _ in (name.partition(".") for name in MODULES)} == set(PACKAGES)
