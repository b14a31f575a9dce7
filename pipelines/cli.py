"""The command line, ``dsgd``: a model from Parquet, predictions, metrics and a look inside, without a line of Python.

In: the shell's words; out: exit status 0, or one line on the standard error and status 2 for what the user can mend, 1
for what went wrong in dsgd itself; a traceback only with ``--debug``. Commands live in :mod:`pipelines.commands`, and
are imported when they are called, so that ``dsgd --help`` answers at once.
"""

import importlib
import sys
from typing import Any

import click

COMMANDS = {
    "fit": "Train a model on Parquet files.",
    "predict": "Write predictions for Parquet files.",
    "evaluate": "Measure a model on labelled Parquet files.",
    "inspect": "Show what is in a saved model.",
}


class LazyGroup(click.Group):
    """A group that imports a command's module when it is called, and turns exceptions into one line and a status."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        return importlib.import_module(f"pipelines.commands.{cmd_name}").command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            if ctx.meta.get("debug"):
                raise
            from dsgd import DSGDError

            if isinstance(error, (DSGDError, OSError)):
                # An OSError is of the system, and names what it is about: a full disk, a file that is not ours to read.
                _say(str(error))
                ctx.exit(2)
            _say(f"{type(error).__name__}: {error} (this is a fault of dsgd; --debug shows where)")
            ctx.exit(1)


def _say(message: str) -> None:
    """One line; what a rank on another machine said about its stack is for ``--debug``."""
    told = message.partition("Traceback (most recent call last)")[0]
    click.echo(f"dsgd: {' '.join(told.split())}", err=True)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="dsgd")
def main() -> None:
    """Linear models by parallel stochastic gradient descent: on this machine, on Dask or on Spark."""


if __name__ == "__main__":
    sys.exit(main())
