"""What runs in a benchmark's own process, for column blocks; the functions are as those of :mod:`.runs`."""

from .measure import Sample, take_turns

# Columns of the lines about steps; those at which MLlib is asked for.
COLUMNS, MLLIB_COLUMNS = (10_000, 1_000_000, 100_000_000), 10_000_000
ROWS, MLLIB_ROWS = 100_000, 20_000
# Seconds after which no further round begins.
_BUDGET = 200.0
# How often MLlib's iteration is measured for the picture, where it is short.
_TIMES = 3


def column_steps(rounds: int) -> dict:
    """Seconds of a step of column blocks with few and with many columns, with and without a penalty; and of MLlib's."""
    from .ours import columns
    from .peers import mllib, spark

    sides = {f"{d:.0e}": lambda d=d: columns.steps(d, ROWS) for d in COLUMNS}
    sides |= {f"{d:.0e}, l2": lambda d=d: columns.steps(d, ROWS, alpha=1e-4) for d in COLUMNS}
    sides["mllib_columns"] = lambda: columns.steps(MLLIB_COLUMNS, MLLIB_ROWS, epochs=12)
    session = spark.session(columns.RANKS)
    try:
        rdd = mllib.points(session, *columns.rows(MLLIB_COLUMNS, MLLIB_ROWS), columns.RANKS)
        mllib.train(rdd, MLLIB_ROWS, columns.BATCH, 2)  # the first fit compiles the JVM's loops
        sides["mllib"] = lambda: mllib.iteration(rdd, MLLIB_ROWS, columns.BATCH)
        samples = take_turns(sides, rounds, _BUDGET)
    finally:
        session.stop()
    return {"samples": samples, "units": 1}


def one(way: str, d: int, rows: int) -> Sample:
    """A sample for the picture: of a way of :func:`benchmarks.ours.columns.steps`, or of MLlib."""
    from .ours import columns

    if way != "mllib":
        return columns.steps(d, rows, way=way)
    from .peers import mllib, spark

    session = spark.session(columns.RANKS)
    try:
        rdd = mllib.points(session, *columns.rows(d, rows), columns.RANKS)
        mllib.train(rdd, rows, columns.BATCH, 2)  # the first fit compiles the JVM's loops
        # Short iterations are few beside what a fit costs anyway, and long ones take long.
        many, times = (12, 1) if d >= MLLIB_COLUMNS else (42, _TIMES)
        return mllib.iteration(rdd, rows, columns.BATCH, many=many, times=times)
    finally:
        session.stop()
