"""``python -m pipelines.demo``: flights to Parquet, fits on every engine, one table, one report.

In: where to write; out: the table on the standard output, ``report.html`` and the dataset in the output folder. An
engine that cannot start is left out, and the table's caption says so.
"""

import platform
import shutil
import time
from importlib.metadata import version
from pathlib import Path

import click

from dsgd import ConfigError, DSGDError

from ..faces import session
from ..outputs import whole
from ..terminal import console
from .flights import LATE_MINUTES, write_flights
from .report import picture_svg, report
from .result import Result
from .runs import RANKS, RUNS, agreement, fit_once, runs_by_engine
from .table import results_table

TITLE = f"Flights from New York, 2013: arrives more than {LATE_MINUTES} minutes late?"
MEASURES = (
    "Trained on January to October, measured on November and December. Wall time is that of fit: files read, encoded "
    "and trained on, and on a fresh install kernels compiled; rows/s are rows times passes in that time."
)


def run_all(data: Path, output: Path, status) -> tuple[list[Result], list[str]]:
    """Return the results, and notes: whether the engines agree, and which of them was left out."""
    results: list[Result] = []
    notes: list[str] = []
    models = output / "models"
    shutil.rmtree(models, ignore_errors=True)
    models.mkdir()
    for engine, runs in runs_by_engine(RUNS):
        status.update(f"starting {engine} ...")
        try:
            with session(engine, workers=RANKS, log=output / "spark.log"):
                for run in runs:
                    status.update(f"{engine}: {run.name} ...")
                    results.append(fit_once(run, data, models))
        except ConfigError as error:
            if any(result.engine == engine for result in results):
                raise
            notes.append(f"Left out: {engine}. {error}")
    return results, [*filter(None, [agreement(models)]), *notes]


@click.command()
@click.option("--output", type=click.Path(path_type=Path, file_okay=False), default="demo-output", show_default=True)
@click.option(
    "--picture", type=click.Path(path_type=Path), help="Write the report's picture to this file, too: an SVG."
)
def main(output: Path, picture: Path | None) -> None:
    """Train on 336,776 flights with every engine that this machine has."""
    begin = time.perf_counter()
    output.mkdir(parents=True, exist_ok=True)
    screen = console()
    with console(stderr=True).status("writing flights ...") as status:
        data = output / "flights"
        rows = write_flights(data)
        results, notes = run_all(data, output, status)
    summary = f"{rows:,} flights in {data}/month=1 ... month=12. {MEASURES}"
    page = report(results, title=TITLE, summary=summary, notes=notes, footer=_footer(time.perf_counter() - begin))
    with whole(output / "report.html", force=True) as unfinished:
        unfinished.write_text(page)
    if picture is not None:
        picture.write_text(picture_svg(results))
    screen.print(results_table(results, TITLE, "\n".join([MEASURES, *notes, f"Report: {output / 'report.html'}"])))


def _footer(seconds: float) -> str:
    packages = ", ".join(f"{name} {version(name)}" for name in ("dsgd", "numpy", "numba", "pyarrow"))
    return f"{packages}, Python {platform.python_version()}, {platform.machine()}; all of it took {seconds:.0f} s."


if __name__ == "__main__":
    try:
        main()
    except DSGDError as error:
        raise SystemExit(f"demo: {error}") from error
