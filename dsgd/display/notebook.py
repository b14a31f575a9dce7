"""The bar of a notebook: an element of the page that is replaced by each report; needs IPython only, which a notebook has.

The page moves the bar by itself before the first report. The objective is drawn as a small curve.
"""

import sys
from html import escape
from typing import Any

from .progress import State

_WIDTH, _HEIGHT = 90, 18


def present() -> bool:
    """Whether this process runs the cells of a notebook; IPython in a terminal has no kernel, and shows no HTML."""
    python: Any = sys.modules.get("IPython")
    shell = python.get_ipython() if python is not None else None
    return getattr(shell, "kernel", None) is not None


class Bar:
    """One display of the cell that calls ``fit``."""

    def __init__(self) -> None:
        self._handle: Any = None

    def update(self, state: State) -> None:
        """Show a state."""
        from IPython.display import DisplayHandle

        first = self._handle is None
        if first:
            self._handle = DisplayHandle()
        show = self._handle.display if first else self._handle.update
        show({"text/plain": as_text(state), "text/html": as_html(state)}, raw=True)

    def close(self) -> None:
        """Nothing stays open: the last state is part of the page."""


def as_text(state: State) -> str:
    """The state as a line.

    Examples
    --------
    >>> as_text(State("SGDClassifier", 10).after({"epoch": 1, "objective": 0.5}))
    'SGDClassifier: epoch 1/10, objective 0.5'
    """
    return f"{state.name}: {state.said()}"


def as_html(state: State) -> str:
    """The state as an element of a page."""
    said = escape(state.said(f"{state.elapsed():.1f} s"))
    parts = [f"<span>{escape(state.name)}</span>", _progress(state), curve(state.objectives), f"<span>{said}</span>"]
    style = "display:flex;flex-wrap:wrap;align-items:center;gap:.7em;font-family:monospace"
    return f'<div style="{style}">{"".join(parts)}</div>'


def _progress(state: State) -> str:
    """An element without a value moves by itself, so that one that has ended needs one."""
    if state.ended == "":
        return '<progress value="1" max="1"></progress>'
    if state.limit is not None and (state.epoch or state.ended is not None):
        return f'<progress value="{state.epoch}" max="{state.limit}"></progress>'
    return "<progress></progress>" if state.ended is None else '<progress value="0" max="1"></progress>'


def curve(values: tuple[float, ...]) -> str:
    """Numbers as a small curve (SVG), of as many points as can be told apart.

    Examples
    --------
    >>> curve((1.0,))
    ''
    """
    if len(values) < 2:
        return ""
    values = values[:: -(-len(values) // _WIDTH)]
    low, high = min(values), max(values)
    across, down = (_WIDTH - 2) / (len(values) - 1), (_HEIGHT - 2) / ((high - low) or 1.0)
    points = " ".join(
        f"{1 + i * across:.1f},{_HEIGHT - 1 - (value - low) * down:.1f}" for i, value in enumerate(values)
    )
    return (
        f'<svg width="{_WIDTH}" height="{_HEIGHT}" role="img" aria-label="objective"><polyline points="{points}" fill="none" '
        'stroke="currentColor" stroke-width="1.5"/></svg>'
    )
