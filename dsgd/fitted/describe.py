"""A fitted model as a person sees it: in a line, as HTML in a notebook, and as a table of its coefficients."""

from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from ..display import Table
from ..foreign import is_number
from .coefficients import as_table, coefficient_rows

if TYPE_CHECKING:
    from .model import LinearModel

# Names, classes and coefficients that are shown; a model may have millions.
_FEW = 10


class Described:
    """Mixed into the model."""

    def coefficient_table(self: Any, largest: int | None = None, names: Sequence[str] | None = None) -> Table:
        """Return the coefficients with the names of what they are of: a table, HTML in a notebook, with ``to_pandas()``.

        Of hashed categories and interactions, only coefficients that are not zero are listed: a hash does not tell which value
        a coefficient is of.

        Parameters
        ----------
        largest : int, optional
            Only that many, of the largest absolute value, the largest first. They are on the scale of the data.
        names : sequence of str, optional
            Of the elements of a column of vectors; otherwise they are numbered.

        Returns
        -------
        Table
            With the columns ``name``, ``value`` (of a category, where a column has a vocabulary), ``label`` (the class, for more
            scores than one), ``position`` (in ``coef``) and ``coefficient``.

        Raises
        ------
        ConfigError

        Examples
        --------
        >>> import numpy as np
        >>> from dsgd import LinearModel
        >>> from dsgd.data.spec import FeatureSpec
        >>> model = LinearModel(np.array([[2.0, -3.0]]), np.zeros(1), None, FeatureSpec(("x", "z")), "squared_error")
        >>> model.coefficient_table(largest=1)
        name  position  coefficient
           z         1           -3
        """
        return as_table(self, coefficient_rows(self, names, largest))

    def __repr__(self: Any) -> str:
        return f"<LinearModel: {_facts(self)}>"

    def _repr_html_(self: Any) -> str:
        table, size = self.coefficient_table(largest=_FEW), self.coef.size
        shown = "coefficients" if len(table) == size else f"the {len(table)} largest of {size:,} coefficients"
        note = f"<p>{shown}, as in <code>coefficient_table()</code>:</p>"
        return f"<p><b>LinearModel</b>: {escape(_facts(self))}</p>{note}{table._repr_html_()}"


def _facts(model: "LinearModel") -> str:
    task = model.task if model.classes is None else f"{model.task} ({_few(map(repr, model.classes.tolist()))})"
    columns = model.spec.columns
    facts = [
        f"{task} by {model.loss}",
        f"{len(model.intercept) * model.spec.layout.size:,} weights of {_counted(len(columns), 'column')} ({_few(columns)})",
    ]
    if model.epochs:
        facts.append(_counted(model.epochs, "epoch"))
    # Of a model from a file it may be anything: what was not finite is None there.
    objective = model.history[-1].get("objective") if model.history else None
    if is_number(objective):
        facts.append(f"objective {objective:.6g}")
    return ", ".join(facts)


def _few(names: Iterable[str]) -> str:
    listed = list(names)
    return ", ".join(listed if len(listed) <= _FEW else [*listed[:_FEW], "..."])


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
