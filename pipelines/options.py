"""How the command line writes what Python writes as objects: columns, crosses, row filters, sizes, numbers or a word.

In: strings from the shell; out: the values that ``dsgd.read_parquet`` and the estimators take. A string that cannot be
read is a usage error of click, which names the option and shows what was expected.
"""

import ast
import contextlib
import json
import re
from typing import Any

import click

_FILTER = re.compile(
    r"""^\s*(?P<column>'[^']+'|"[^"]+"|[^\s<>=!]+)\s*"""  # a name with spaces wants quotes
    r"""(?P<op><=|>=|==|!=|<|>|=|\bnot\ in\b|\bin\b)\s*(?P<value>[^\s<>=!].*?)\s*$"""
)


class ColumnList(click.ParamType):
    """``a,b,c`` as a list of names."""

    name = "columns"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[str]:
        if not isinstance(value, str):
            return value
        names = [name.strip() for name in value.split(",")]
        if not all(names):
            self.fail(f"expected column names separated by commas, like a,b, not {value!r}", param, ctx)
        return names


class Cross(click.ParamType):
    """``a:b`` as a tuple of two or more names."""

    name = "a:b"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        if not isinstance(value, str):
            return value
        names = tuple(name.strip() for name in value.split(":"))
        if len(names) < 2 or not all(names):
            self.fail(f"expected two or more column names separated by colons, like a:b, not {value!r}", param, ctx)
        return names


class RowFilter(click.ParamType):
    """``month < 11`` as the triple that pyarrow's filters are made of."""

    name = "condition"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str, Any]:
        if not isinstance(value, str):
            return value
        match = _FILTER.match(value)
        if match is None:
            self.fail(
                f"expected a column, one of < <= > >= == != in 'not in', and a value, like 'month < 11', not {value!r}",
                param,
                ctx,
            )
        op = {"=": "=="}.get(match["op"], match["op"])
        operand = literal(match["value"])
        if op.endswith("in") and not isinstance(operand, list | tuple | set):
            self.fail(f"'{op}' expects a list, like \"carrier in ['UA', 'AA']\", not {value!r}", param, ctx)
        return match["column"].strip("\"'"), op, operand


class PortRange(click.ParamType):
    """``4000-4100`` as the first and the last port."""

    name = "first-last"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        if not isinstance(value, str):
            return value
        match = re.fullmatch(r"\s*(\d+)\s*-\s*(\d+)\s*", value)
        if match is None:
            self.fail(f"expected the first and the last port, like 4000-4100, not {value!r}", param, ctx)
        return int(match[1]), int(match[2])


class ByteSize(click.ParamType):
    """``800MB`` or ``2GiB`` as a number of bytes."""

    name = "bytes"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if not isinstance(value, str):
            return value
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(i?)B?\s*", value, re.IGNORECASE)
        if match is None:
            self.fail(f"expected a number of bytes, like 800MB or 2GiB, not {value!r}", param, ctx)
        power = " KMGT".index(match[2].upper() or " ")
        return int(float(match[1]) * (1024 if match[3] else 1000) ** power)


class IntegerOr(click.ParamType):
    """A whole number, or one of some words."""

    def __init__(self, *words: str, minimum: int = 1):
        self.words = words
        self.minimum = minimum
        self.name = "|".join(["integer", *words])

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        if value in self.words:
            return value
        try:
            number = int(value)
        except ValueError:
            number = self.minimum - 1
        if number < self.minimum:
            choices = " or ".join([f"an integer >= {self.minimum}", *map(repr, self.words)])
            self.fail(f"expected {choices}, not {value!r}", param, ctx)
        return number


class FloatOr(click.ParamType):
    """A number, or one of some words."""

    def __init__(self, *words: str):
        self.words = words
        self.name = "|".join(["number", *words])

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | str:
        if value in self.words:
            return value
        try:
            return float(value)
        except ValueError:
            self.fail(f"expected a number or {' or '.join(map(repr, self.words))}, not {value!r}", param, ctx)


def literal(text: str) -> Any:
    """Read a literal of Python or JSON (11, 0.5, 'UA', ['UA', 'AA'], true, [true, false]); a bare word is a string.

    Examples
    --------
    >>> literal("11"), literal("UA"), literal("['UA', 'AA']"), literal("[true, false]"), literal("null")
    (11, 'UA', ['UA', 'AA'], [True, False], 'null')
    """
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for read in (ast.literal_eval, json.loads) if text.startswith("[") else (ast.literal_eval,):
        with contextlib.suppress(ValueError, SyntaxError):
            return read(text)
    return text
