"""Setters and getters of Params, as the classes of Spark ML have them: ``setMaxIter(5)``, ``getMaxIter()``.

A class that derives from :class:`Accessors` has a pair for each of its Params, except where it or a base defines its own.
"""

from collections.abc import Callable
from typing import Any

from pyspark.ml.param import Param, Params

_SETS = """Set ``{name}``.

        Parameters
        ----------
        value
            {explanation}

        Returns
        -------
        self
        """


class Accessors(Params):
    """Gives each subclass ``setX`` and ``getX`` for every Param ``x`` that it has."""

    def __init_subclass__(cls, **kwargs: Any):
        super().__init_subclass__(**kwargs)
        for param in class_params(cls):
            for make in (_setter, _getter):
                method = make(param)
                if not hasattr(cls, method.__name__):
                    method.__qualname__, method.__module__ = f"{cls.__qualname__}.{method.__name__}", cls.__module__
                    setattr(cls, method.__name__, method)


def class_params(cls: type) -> list[Param]:
    """The Params of a class, by name."""
    return [value for value in (getattr(cls, name, None) for name in sorted(dir(cls))) if isinstance(value, Param)]


def _setter(param: Param) -> Callable[..., Any]:
    def method(self: Any, value: Any) -> Any:
        return self._set(**{param.name: value})

    method.__name__ = f"set{_capital(param.name)}"
    method.__doc__ = _SETS.format(name=param.name, explanation=param.doc)
    return method


def _getter(param: Param) -> Callable[..., Any]:
    def method(self: Any) -> Any:
        return self.getOrDefault(param.name)

    method.__name__ = f"get{_capital(param.name)}"
    method.__doc__ = f"Return the value of ``{param.name}``, or its default.\n\n        {param.doc}"
    return method


def _capital(name: str) -> str:
    """Write the first letter in upper case.

    Examples
    --------
    >>> _capital("maxIter")
    'MaxIter'
    """
    return name[:1].upper() + name[1:]
