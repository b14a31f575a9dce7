"""How many tasks an application runs at the same time, once its executors have come.

A session is ready before its executors are: on a cluster they register one by one over some seconds, and a count that is
taken too early is 0, or a part of them.
"""

import re
import time

from dsgd.errors import ConfigError

from .session import Session

# Seconds between two looks; looks at which the number must be the same; looks in which executors may register.
_LOOK, _SAME, _MOST = 0.2, 10, 75
# What the applications of this process had when it was settled.
_settled: dict[str, int] = {}

MORE = "give it more executors (spark.executor.instances, spark.executor.cores; spark.task.cpus counts)"
_NONE = (
    "no executor of the application has registered: see in Spark's own interface whether the cluster has room for one"
    " (spark.executor.memory, spark.executor.cores), and fit again; where executors come with the first job (dynamic"
    " allocation), set n_workers and mode=Sync(topology='engine')"
)


def settled(session: Session, pause: float = _LOOK) -> int:
    """Slots of all executors: those that the settings promise, and no others coming; or what there is after 15 seconds.

    Raises
    ------
    ConfigError
        When there are none.
    """
    slots, same = session.slots(), 0
    if fixed(session):
        return slots
    wanted = promised(session)
    for _ in range(_MOST):
        if slots and (slots >= _settled.get(session.key(), slots + 1) or (slots >= wanted and same >= _SAME)):
            break
        time.sleep(pause)
        before, slots = slots, session.slots()
        same = same + 1 if slots == before else 0
    if slots == 0:
        raise ConfigError(_NONE)
    _settled[session.key()] = slots
    return slots


def require(session: Session, size: int, pause: float = _LOOK) -> None:
    """Wait for ``size`` slots; ConfigError when they do not come within 15 seconds, or cannot."""
    slots = awaited(session, size, pause)
    if not 1 <= size <= slots:
        raise ConfigError(
            f"the application runs 1 to {slots} tasks at the same time, not {size}; lower n_workers, or {MORE}"
        )


def awaited(session: Session, size: int, pause: float = _LOOK) -> int:
    """Wait up to 15 seconds for ``size`` slots; return how many there are, and raise ConfigError when there are none."""
    slots = session.slots()
    for _ in range(0 if fixed(session) else _MOST):
        if slots >= size:
            break
        time.sleep(pause)
        slots = session.slots()
    if slots == 0:
        raise ConfigError(_NONE)
    return slots


def fixed(session: Session) -> bool:
    """Whether waiting cannot bring more slots: the executor is the driver's own process."""
    return re.match(r"local($|\[)", session.setting("spark.master", "")) is not None


def promised(session: Session) -> int:
    """Slots that the settings ask the cluster for; 0 where they leave it to the cluster."""
    cpus = task_cpus(session)
    executors = number(session, "spark.executor.instances", 0) * (number(session, "spark.executor.cores", 1) // cpus)
    return executors or number(session, "spark.cores.max", 0) // cpus


def task_cpus(session: Session) -> int:
    """Cores of a slot, which are the threads of a rank."""
    return max(1, number(session, "spark.task.cpus", 1))


def number(session: Session, key: str, default: int) -> int:
    """A setting that is a whole number; the default where it is none ("infinity", say)."""
    text = session.setting(key, "")
    return int(text) if text.isdigit() else default
