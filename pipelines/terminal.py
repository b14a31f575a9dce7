"""Where tables are printed: coloured and as wide as it is on a terminal, plain and wide enough in a pipe."""

from rich.console import Console

PIPED_WIDTH = 100  # columns when the output is no terminal, so that nothing is cut off


def console(*, stderr: bool = False) -> Console:
    """Return a console on the standard output, or on the standard error."""
    probe = Console(stderr=stderr)
    return probe if probe.is_terminal else Console(stderr=stderr, width=PIPED_WIDTH)
