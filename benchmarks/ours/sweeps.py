"""A search over eight configurations beside a fit of one, from the same data on the same workers."""

from pathlib import Path

from ..measure import Sample, Stopwatch

ALPHAS = [10.0**-power for power in range(1, 9)]
ONE = 1e-5


def fit(estimator, *data) -> Sample:
    """One configuration."""
    clock = Stopwatch()
    with clock.running():
        estimator.fit(*data)
    return Sample(clock.seconds, detail={"epochs": int(estimator.n_iter_)})


def search(face, estimator, *data, validation) -> Sample:
    """Eight configurations of ``face.SweepCV``, measured by validation rows."""
    found = face.SweepCV(estimator, {"alpha": ALPHAS}, cv=None, scoring="neg_log_loss")
    clock = Stopwatch()
    with clock.running():
        found.fit(*data, validation=validation)
    return Sample(clock.seconds, detail={"epochs": float(found.cv_results_["mean_n_iter"].sum())})


def parquet(directory: Path, part: str):
    """The rows of a part, read by the workers."""
    from dsgd import read_parquet

    return read_parquet(str(directory / part), label="label")
