"""What staleness costs, and what helps: ``python -m benchmarks.staleness``.

Eight workers in threads, one shard; a9a and the flights; SGD and AdaGrad; with every correction, and with steps of the workers'
own. How far the objective ends above the optimum goes to ``benchmarks/results/staleness.json``, and from there into the guide's
table and picture, which ``--draw`` makes anew without running anything.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from . import staleness_page
from .results import DIRECTORY, conditions

RESULT = DIRECTORY / "staleness.json"
WORKERS, SEEDS, ALPHA = 8, 3, 1e-4
# By set: rows of a step, and epochs; by rule: the rate.
SETS = {"a9a": (64, 5), "flights": (512, 3)}
RULES = {"sgd": 0.5, "adagrad": 0.1}
OWN_STEPS = "own steps"


class Setting(NamedTuple):
    """What is fitted, and how; ``way`` is a correction of pushed gradients, or says that workers take steps of their own."""

    data: str
    rule: str
    way: str
    staleness: int | None


def settings() -> Iterator[Setting]:
    """All that are measured, in the order of the table."""
    ways: dict[str, tuple[int | None, ...]] = {
        "none": (0, 1, 4, 16, None),
        "rate": (1, 4, 16, None),
        "delay": (1, 4, 16, None),
        OWN_STEPS: (4, None),
    }
    for data in SETS:
        for rule in RULES:
            for way, bounds in ways.items():
                yield from (Setting(data, rule, way, bound) for bound in bounds)


def run(setting: Setting, dataset, seed: int):
    """A fit; with ``staleness=0`` a step is what all workers push together."""
    from dsgd import Async
    from dsgd.train.config import FitConfig
    from dsgd.train.fit import fit
    from dsgd.train.local import LocalEngine

    rows, epochs = SETS[setting.data]
    own = setting.way == OWN_STEPS
    mode = Async(
        staleness=setting.staleness, correction="none" if own else setting.way, local_steps="auto" if own else 1
    )
    config = FitConfig(
        mode=mode, n_workers=WORKERS, optimizer=setting.rule, eta0=RULES[setting.rule], alpha=ALPHA, max_iter=epochs, tol=None,
        batch_size=rows * (WORKERS if setting.staleness == 0 else 1), seed=seed,
    )  # fmt: skip
    with LocalEngine(processes=False) as engine:
        return fit(dataset, config, engine)


def measure() -> dict:
    """Run everything.

    Returns
    -------
    dict
        Under "runs", for every setting and each seed how far the objective ends above the optimum, relatively, and the mean
        staleness of the pushes.

    Raises
    ------
    Missing, ConfigError
        When a data set is not here.
    """
    from dsgd.data import as_dataset

    from . import real
    from .optimum import Objective

    # Both are read before anything is run, so that one that is missing is told at once.
    arrays = {"a9a": real.a9a(), "flights": real.flights()}
    objectives = {name: Objective(X, y, ALPHA) for name, (X, y) in arrays.items()}
    minima = {name: objective.minimum() for name, objective in objectives.items()}
    datasets = {name: as_dataset(X, y) for name, (X, y) in arrays.items()}
    runs = []
    for setting in settings():
        excess, stale = [], []
        for seed in range(SEEDS):
            model = run(setting, datasets[setting.data], seed)
            reached = objectives[setting.data](model.coef, model.intercept)
            excess.append(reached / minima[setting.data] - 1)
            stale.append(float(np.mean([record["staleness"] or 0.0 for record in model.history])))
        runs.append({**setting._asdict(), "excess": excess, "mean_staleness": stale})
        print(f"{' '.join(map(str, setting))}: {staleness_page.cell(excess)} % above the optimum", flush=True)
    return {**conditions(), "workers": WORKERS, "runs": runs}


def main(arguments: list[str] | None = None) -> int:
    """Measure, or take what has been; write the guide's table and picture."""
    from dsgd import ConfigError

    from .real import Missing

    parser = argparse.ArgumentParser(prog="python -m benchmarks.staleness", description=__doc__)
    parser.add_argument("--draw", action="store_true", help="make table and picture from the results that are there")
    if not parser.parse_args(arguments).draw:
        try:
            found = measure()
        except (Missing, ConfigError) as error:
            print(error, file=sys.stderr)
            return 1
        RESULT.write_text(json.dumps(found, indent=1) + "\n")
    if not RESULT.exists():
        print(f"{RESULT} is absent: run python -m benchmarks.staleness without --draw first", file=sys.stderr)
        return 1
    for path in staleness_page.write(json.loads(RESULT.read_text())):
        print(f"wrote {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
